"""How the keys and tokens of vendors look, as (beginning, rest), out of `sensitive/keys.txt`, which the SDK reads too. The
beginnings are what the fast first pass looks for, so they hold no look-around; both together are a finding."""

from importlib import resources

_LINES = resources.files("watchkeeper").joinpath("sensitive/keys.txt").read_text("utf-8").splitlines()
FORMS: tuple[tuple[str, str], ...] = tuple(
    (begin, rest) for begin, _, rest in (line.partition("\t") for line in _LINES if line[:1] != "#")
)

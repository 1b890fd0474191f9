"""What people call passwords and other secrets, and the papers and accounts that carry a person's number, out of `sensitive/names.txt`,
which the SDK reads too."""

import re
from importlib import resources


def _sections(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    listed: list[str] = []
    for line in text.splitlines():
        head = re.fullmatch(r"\[(\w+)\]", line)
        if head is not None:
            listed = found.setdefault(head.group(1), [])
        elif not line.startswith("#"):
            listed.append(line)
    return found


_NAMES = _sections(resources.files("watchkeeper").joinpath("sensitive/names.txt").read_text("utf-8"))
PASSWORDS = "|".join(_NAMES["passwords"])
# What a secret is assigned to. The first pass and the search after it read the same: a name in one alone would never be found.
WEAK = "|".join(_NAMES["weak"])
SECRETS = "|".join([PASSWORDS, WEAK, *_NAMES["secrets"]])
# What a text in lower case must hold to hold a name of a secret.
NAMED = tuple(_NAMES["beginnings"])
_PAPERS = [line.partition(",") for line in _NAMES["papers"]]
# The beginnings in lower case, and one pattern of whole names. Those that are parts of other words stand alone.
PAPERS: tuple[str, ...] = (*(begin.lower() for begin, _, _ in _PAPERS), *_NAMES["alone"])
PAPER = "|".join([*(begin + rest for begin, _, rest in _PAPERS), rf"\b(?:{'|'.join(_NAMES['alone'])})\b"])
(MADE_LIKE_A_KEY,) = _NAMES["made"]
# Countries of account numbers with their lengths.
IBANS = " ".join(_NAMES["iban"]).split()

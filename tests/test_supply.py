"""What is installed is what was meant: versions pinned by hash, and nothing that runs by itself at every start."""

import re
import site
import sysconfig
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Those that run code at every start of the interpreter and are known: of setuptools and of virtualenv.
KNOWN = {"distutils-precedence.pth", "_virtualenv.pth"}
PINNED = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)", re.MULTILINE)


def name_of(text: str) -> str:
    return re.sub(r"[-_.]+", "-", text).lower()


def pinned(text: str) -> dict[str, str]:
    return {name_of(name): version for name, version in PINNED.findall(text)}


def started(folder: Path) -> list[str]:
    """The .pth files of a folder with code in them that are not known."""
    found = [p for p in folder.glob("*.pth") if p.name not in KNOWN]
    return [p.name for p in found if re.search(r"^import[ \t]", p.read_text(errors="replace"), re.MULTILINE)]


def test_no_package_runs_code_at_every_start_of_the_interpreter(tmp_path: Path) -> None:
    folders = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *site.getsitepackages()}
    assert not [name for folder in folders for name in started(Path(folder))]
    # The control: one that does is found.
    (tmp_path / "helper.pth").write_text("/somewhere\nimport os; os.getcwd()\n")
    assert started(tmp_path) == ["helper.pth"]


def test_the_lock_names_every_dependency_by_hash_and_no_index() -> None:
    lock, wanted = (
        (ROOT / "requirements.lock").read_text(),
        tomllib.loads((ROOT / "pyproject.toml").read_text()),
    )
    versions = pinned(lock)
    named = [
        *wanted["project"]["dependencies"],
        *wanted["project"]["optional-dependencies"]["server"],
        "hatchling",
    ]
    assert {name_of(re.split(r"[>=<; \[]", n, maxsplit=1)[0]) for n in named} <= versions.keys()
    for entry in re.split(r"\n(?=\S)", lock.strip()):
        assert "--hash=sha256:" in entry, entry
    assert "index" not in lock and "://" not in lock


def test_the_lock_and_the_constraints_name_the_same_versions() -> None:
    lock, pins = (
        pinned((ROOT / "requirements.lock").read_text()),
        pinned((ROOT / "constraints.txt").read_text()),
    )
    assert not {n: (v, pins[n]) for n, v in lock.items() if pins.get(n, v) != v}

"""The layers of docs/architecture.md, checked on every syntax tree: imports inside functions and type-checking blocks count."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SRC = Path(__file__).resolve().parents[1] / "src" / "watchkeeper"
FACTS = {"model", "patterns"}
RULES = {
    "dialects",
    "redaction",
    "scoring",
    "stats",
    "detection",
    "alerting",
    "reviewing",
    "gating",
}
PORTS = {"store", "llm", "notify", "egress", "wire", "control"}
FLOWS = {"pipeline", "config"}
SURFACES = {"server", "web", "cli", "demo", "mcp"}

ALLOWED: dict[str, set[str]] = {
    **dict.fromkeys(FACTS, FACTS),
    **{r: FACTS | {"stats", r} for r in RULES},
    **{p: FACTS | {p} for p in PORTS},
    **dict.fromkeys(FLOWS, FACTS | RULES | PORTS | FLOWS),
    **dict.fromkeys(SURFACES, FACTS | RULES | PORTS | FLOWS | SURFACES),
    "sdk": {"sdk", "redaction"},
    "testing": FACTS | RULES | PORTS | FLOWS | {"testing"},
    "__init__": {"sdk"},
    "__main__": {"cli"},
    "compose": FACTS | RULES | PORTS | FLOWS | SURFACES - {"cli"} | {"compose"},
}
# The command line and the demo start servers, so they are the two callers of compose.
for surface in ("cli", "demo"):
    ALLOWED[surface] = ALLOWED[surface] | {"compose", "sdk", "testing", "__init__"}

# An agent's gate runs the same targets as the command line.
ALLOWED["mcp"] = ALLOWED["mcp"] | {"testing"}

# The core of the product must not reach for the clock or the dice: time and randomness arrive as arguments.
FORBIDDEN_CALLS = {
    ("time", "time"),
    ("time", "time_ns"),
    ("datetime", "now"),
    ("datetime", "utcnow"),
    ("random", "random"),
}


def modules() -> list[Path]:
    return sorted(SRC.rglob("*.py"))


def part_of(path: Path) -> str:
    return path.relative_to(SRC).parts[0].removesuffix(".py")


def imported_parts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the layer; write the whole name"
            names = [node.module or ""]
            if node.module == "watchkeeper":
                names = [f"watchkeeper.{a.name}" for a in node.names]
        for name in names:
            pieces = name.split(".")
            if pieces[0] == "watchkeeper":
                known = pieces[1] if len(pieces) > 1 else "__init__"
                yield (
                    node.lineno,
                    known if (SRC / known).exists() or (SRC / f"{known}.py").exists() else "__init__",
                )


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(SRC)))
def test_it_imports_only_what_its_layer_may(path: Path) -> None:
    part = part_of(path)
    assert part in ALLOWED, f"{part} is in no layer: name it in tests/test_layers.py"
    wrong = [
        f"{path.name}:{line} imports {target}"
        for line, target in imported_parts(ast.parse(path.read_text()))
        if target not in ALLOWED[part] and target != part
    ]
    assert not wrong, wrong


@pytest.mark.parametrize("part", sorted(FACTS | RULES))
def test_facts_and_rules_never_ask_for_the_time_or_throw_dice(part: str) -> None:
    wrong: list[str] = []
    for path in (SRC / part).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and isinstance(node.func.value, ast.Name)
                and (node.func.value.id, node.func.attr) in FORBIDDEN_CALLS
            ):
                wrong.append(f"{path.relative_to(SRC)}:{node.lineno}")
    assert not wrong, wrong


def test_files_stay_small_enough_to_read() -> None:
    long = {str(p.relative_to(SRC)): n for p in modules() if (n := p.read_text().count("\n")) > 600}
    assert not long, long


def test_no_function_is_over_a_hundred_lines() -> None:
    long = [
        f"{path.relative_to(SRC)}:{node.lineno} {node.name}"
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno > 100
    ]
    assert not long, long

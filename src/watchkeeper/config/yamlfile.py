"""YAML read strictly: no tags, no duplicate keys, no silent booleans, bounded size, depth and aliases.

The tree is built from parser events without recursion, because a file of 20,000 brackets must be a message and not
a crash, and because PyYAML's own constructor keeps the last of two equal keys without a word.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from watchkeeper.config.problems import ConfigError, Problem, shown

MAX_BYTES = 2 << 20
MAX_DEPTH = 24
MAX_ALIASES = 100
MAX_NODES = 100_000
MAX_DIGITS = 30

Loc = tuple[str | int, ...]
# The last step of the path under which the place of a key itself is kept; no key can be spelled so.
KEY = "\x00"

_INT = re.compile(r"[-+]?[0-9]+\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
# YAML 1.1 reads these as booleans and YAML 1.2 as text; as a key they are only words.
_AMBIGUOUS = frozenset(w for b in ("yes", "no", "on", "off") for w in (b, b.title(), b.upper()))
_SPECIAL_FLOATS = re.compile(r"[-+]?\.(inf|nan)\Z", re.IGNORECASE)


@dataclass(frozen=True)
class Place:
    """Where a value was written, 1-based."""

    file: str
    line: int
    column: int


@dataclass
class _Node:
    place: Place
    kind: str
    value: Any = None
    items: list["_Node"] = field(default_factory=list)
    pairs: list[tuple["_Node", "_Node"]] = field(default_factory=list)
    key: "_Node | None" = None


@dataclass
class Document:
    """A file's plain data, and where every part of it was written, by its path of keys and indexes."""

    data: Any
    places: dict[Loc, Place]


class _Builder:
    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self.anchors: dict[str, _Node] = {}
        self.stack: list[_Node] = []
        self.open_anchors: set[str] = set()
        self.root: _Node | None = None
        self.aliases = 0
        self.documents = 0

    def place(self, event: Any) -> Place:
        mark = event.start_mark
        return Place(self.file, mark.line + 1, mark.column + 1)

    def problem(self, place: Place, message: str, allowed: str = "", key: str = "") -> None:
        self.problems.append(Problem(place.file, place.line, place.column, key, message, allowed))

    def stop(self, place: Place, message: str, allowed: str = "") -> ConfigError:
        self.problem(place, message, allowed)
        return ConfigError(self.problems)

    def add(self, node: _Node) -> None:
        if not self.stack:
            self.root = node
            return
        parent = self.stack[-1]
        if parent.kind == "list":
            parent.items.append(node)
        elif parent.key is None:
            parent.key = node
        else:
            parent.pairs.append((parent.key, node))
            parent.key = None

    def scalar(self, event: Any) -> None:
        place = self.place(event)
        plain = event.style is None or event.style == ""
        as_key = bool(self.stack) and self.stack[-1].kind == "map" and self.stack[-1].key is None
        node = _Node(place, "scalar", event.value)
        if any("\ud800" <= c <= "\udfff" for c in event.value):
            self.problem(place, "half of a surrogate pair is not text", "write the whole character")
        if plain and not as_key:
            node.value = self.resolved(event.value, place)
        self.add(node)
        if event.anchor:
            self.anchors[event.anchor] = node

    def resolved(self, text: str, place: Place) -> Any:
        """The plain scalar's value by the YAML 1.2 rules, without the spellings that surprise people."""
        if text in _NULL:
            return None
        if text in _BOOL:
            return _BOOL[text]
        if text in _AMBIGUOUS:
            self.problem(
                place,
                f"{shown(text)} means different things to different readers",
                "write true, false or quote it",
            )
            return None
        if _INT.match(text) and len(text) <= MAX_DIGITS:
            # A leading zero was octal in YAML 1.1 and decimal in 1.2; keep such codes as the text they are.
            return text if len(text.lstrip("+-")) > 1 and text.lstrip("+-")[0] == "0" else int(text)
        if _FLOAT.match(text) and len(text) <= MAX_DIGITS:
            return float(text)
        if _SPECIAL_FLOATS.match(text):
            self.problem(place, f"{shown(text)} is not a usable number", "write a finite number")
            return None
        return text

    def alias(self, event: Any) -> None:
        place = self.place(event)
        self.aliases += 1
        if self.aliases > MAX_ALIASES:
            raise self.stop(place, f"more than {MAX_ALIASES} aliases", "write the values out")
        if event.anchor in self.open_anchors:
            raise self.stop(place, f"the alias *{event.anchor} contains itself", "write the values out")
        if event.anchor not in self.anchors:
            raise self.stop(place, f"the alias *{event.anchor} has no anchor before it")
        self.add(self.anchors[event.anchor])

    def start(self, event: Any, kind: str) -> None:
        place = self.place(event)
        if len(self.stack) >= MAX_DEPTH:
            raise self.stop(place, f"nested deeper than {MAX_DEPTH} levels")
        node = _Node(place, kind)
        self.add(node)
        self.stack.append(node)
        if event.anchor:
            self.anchors[event.anchor] = node
            self.open_anchors.add(event.anchor)
            node.value = event.anchor

    def end(self) -> None:
        node = self.stack.pop()
        if node.value is not None:
            self.open_anchors.discard(node.value)

    def feed(self, event: Any) -> None:
        if isinstance(event, yaml.DocumentStartEvent):
            self.documents += 1
            if self.documents > 1:
                raise self.stop(self.place(event), "more than one document", "use one file for each")
        tag = getattr(event, "tag", None)
        if tag is not None and tag != "!":
            raise self.stop(self.place(event), f"the tag {shown(tag)} is not allowed", "remove it")
        if isinstance(event, yaml.ScalarEvent):
            self.scalar(event)
        elif isinstance(event, yaml.AliasEvent):
            self.alias(event)
        elif isinstance(event, yaml.SequenceStartEvent):
            self.start(event, "list")
        elif isinstance(event, yaml.MappingStartEvent):
            self.start(event, "map")
        elif isinstance(event, yaml.SequenceEndEvent | yaml.MappingEndEvent):
            self.end()

    def plain(self, node: _Node, loc: Loc, places: dict[Loc, Place]) -> Any:
        """Plain data of a node, filling `places`. Recursion is bounded by MAX_DEPTH, work by MAX_NODES."""
        if len(places) > MAX_NODES:
            raise self.stop(node.place, f"more than {MAX_NODES} values", "split or shorten the configuration")
        if len(loc) > MAX_DEPTH:
            raise self.stop(node.place, f"nested deeper than {MAX_DEPTH} levels")
        places[loc] = node.place
        if node.kind == "scalar":
            return node.value
        if node.kind == "list":
            return [self.plain(item, (*loc, i), places) for i, item in enumerate(node.items)]
        made: dict[str, Any] = {}
        first: dict[str, Place] = {}
        for key, value in node.pairs:
            name = key.value
            if key.kind != "scalar" or not isinstance(name, str):
                self.problem(key.place, "a key must be plain text")
                continue
            if name == "<<":
                self.problem(key.place, "merge keys (<<) are not supported", "write the keys out", "<<")
                continue
            if name in made:
                line = first[name].line
                self.problem(
                    key.place, f"the key is already set in line {line}", "keep one of them", shown(name)
                )
                continue
            first[name] = key.place
            made[name] = self.plain(value, (*loc, name), places)
            places[(*loc, name, KEY)] = key.place
            # A fault in a value is shown at its key when the value spans lines, so that the eye finds the name.
            if value.kind != "scalar":
                places[(*loc, name)] = key.place
        return made


def _events(text: str) -> Iterator[Any]:
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return iter(yaml.parse(text, Loader=loader))


def parse(text: str | bytes, file: str) -> Document:
    """The data of one YAML file. `ConfigError` lists what is wrong with it; nothing else is ever raised."""
    at_top = Place(file, 1, 1)
    if len(text) > MAX_BYTES:
        raise ConfigError(
            [Problem(file, 1, 1, "", f"larger than {MAX_BYTES >> 20} MiB", "split the configuration")]
        )
    try:
        decoded = text if isinstance(text, str) else text.decode("utf-8-sig")
        decoded.encode()
    except UnicodeError as error:
        raise ConfigError([Problem(file, 1, 1, "", f"is not UTF-8 text: {error.args[-1]}")]) from None
    builder = _Builder(file)
    try:
        for event in _events(decoded):
            builder.feed(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        said = " ".join(str(w) for w in (error.context, error.problem) if w)
        if "cannot start any token" in said and mark is not None:
            found = "".join(decoded.splitlines()[mark.line : mark.line + 1])[mark.column : mark.column + 1]
            said = (
                "a tab cannot indent; use spaces"
                if found == "\t"
                else f"nothing begins with {found!r}; quote it"
            )
        builder.problem(Place(file, line, column), f"is not valid YAML: {said}")
    except yaml.reader.ReaderError as error:
        line = decoded.count("\n", 0, int(error.position)) + 1
        builder.problem(Place(file, line, 1), f"has a character YAML does not allow: {error.reason}")
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        builder.problem(at_top, f"is not valid YAML: {shown(error)}")
    places: dict[Loc, Place] = {(): at_top}
    data = (
        builder.plain(builder.root, (), places) if builder.root is not None and not builder.problems else None
    )
    if builder.problems:
        raise ConfigError(builder.problems)
    return Document(data, places)

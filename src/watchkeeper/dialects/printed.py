"""Objects of Python as they print themselves: what a client left of a request or an answer that it turned into text."""

import ast
import re
from typing import Any, cast

from watchkeeper.dialects.values import REPR_LIMIT

# `Message(role='user', …)`, or a list of such.
_CALL = re.compile(r"\[?[A-Z]\w{0,80}\(_?[a-z]\w{0,80}=")
# Texts stay as they are; `<Role.USER: 'user'>` is its value, and any other object that has no way to print itself nothing.
_TOKEN = re.compile(
    r"""(?P<text>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
    r"""|(?P<open>['"](?s:.*))"""
    r"""|<[\w.]+: (?P<value>'[^']{0,200}'|-?\d{1,20})>|(?P<object><[\w.]+(?: [^<>]{0,500})?>)"""
)
# What ends the name of a class that is a part of a message: TextContent, ToolCallBlock, ReasoningPart.
_PART = re.compile(r"(?<=[a-z])(?:Content|Block|Part)$|(?<=Call)$|(?<=Result)$")
_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def objects(text: str) -> Any:
    """The dict (or list of dicts) that `text` prints as constructor calls, None for any other text.

    Fields keep their names, without a leading underscore. A message and what is part of
    one have the name of their class as `type`.
    """
    if text[-1:] not in (")", "]") or len(text) > REPR_LIMIT or _CALL.match(text) is None:
        return None
    try:
        read = _value(ast.parse(_TOKEN.sub(_literal, text), mode="eval").body)
    except (TypeError, ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    listed = cast(list[Any], read) if isinstance(read, list) else [read]
    return read if listed and all(isinstance(one, dict) for one in listed) else None


def _literal(found: re.Match[str]) -> str:
    return found["text"] or found["open"] or found["value"] or "None"


def _value(node: ast.expr) -> Any:
    match node:
        case ast.Constant():
            return _constant(node.value)
        case ast.List() | ast.Tuple() | ast.Set():
            return [_value(item) for item in node.elts]
        case ast.Dict():
            pairs = zip(node.keys, node.values, strict=True)
            return {str(_value(key)): _value(value) for key, value in pairs if key is not None}
        case ast.Call():
            return _object(node)
        case ast.UnaryOp(op=ast.USub()):
            return -_value(node.operand)
        case ast.Name() | ast.Attribute():
            # `NOT_GIVEN`, `nan`, `Role.USER`.
            return None
        case _:
            raise ValueError("no printed value")


def _constant(value: Any) -> Any:
    """What JSON can hold too; bytes, complex and huge numbers as they are written."""
    plain = value is None or isinstance(value, str | bool | float)
    return value if plain or (isinstance(value, int) and abs(value) < 2**63) else str(value)


def _object(node: ast.Call) -> Any:
    name = node.func.id if isinstance(node.func, ast.Name) else ""
    if not node.keywords:
        # `datetime.datetime(2026, 1, 2)`, `SecretStr('****')`.
        return _value(node.args[0]) if len(node.args) == 1 else None
    fields = {word.arg.lstrip("_"): _value(word.value) for word in node.keywords if word.arg}
    if name.endswith("Message"):
        fields.setdefault("type", name.lower())
    elif _PART.search(name) is not None:
        fields.setdefault("type", _WORDS.sub("_", _PART.sub("", name)).lower())
    return fields


def unprinted(table: dict[str, Any]) -> dict[str, Any]:
    """A request whose messages are printed objects, with those as dicts."""
    listed = table.get("messages")
    items = cast(list[Any], listed) if isinstance(listed, list) else []
    told = [objects(item) if isinstance(item, str) else item for item in items]
    return {**table, "messages": told} if told and None not in told else table

"""JSON Schema validation that untrusted schemas cannot abuse: no remote references, RE2 for `pattern`."""

from collections.abc import Iterator
from functools import cache, lru_cache
from typing import Any, cast

import msgspec

from watchkeeper.patterns import UserPattern

# By lower-case name: what Python, Java and Gemini call the types; None accepts anything.
_SPELLINGS: dict[str, str | None] = {
    **{name: name for name in ("object", "array", "string", "number", "integer", "boolean", "null")},
    **dict.fromkeys(("dict", "hashmap", "map", "hashtable"), "object"),
    **dict.fromkeys(("list", "tuple", "set", "arraylist"), "array"),
    **dict.fromkeys(("str", "char", "text"), "string"),
    **dict.fromkeys(("float", "double", "decimal"), "number"),
    **dict.fromkeys(("int", "long", "short", "byte", "bigint"), "integer"),
    "bool": "boolean",
    "any": None,
}


@lru_cache(maxsize=256)
def _pattern(pattern: str) -> UserPattern | None:
    try:
        return UserPattern(pattern)
    except ValueError:
        # A pattern RE2 cannot run judges nothing; running it with `re` would let a trace's own schema hang us.
        return None


@cache
def _library() -> Any:
    """`jsonschema`. Loaded when first asked: it brings fifty other modules, and most processes never meet a schema."""
    import jsonschema

    return jsonschema


def _check_pattern(_validator: Any, pattern: str, instance: Any, _schema: Any) -> Iterator[Any]:
    if isinstance(instance, str):
        compiled = _pattern(pattern)
        if compiled is not None and compiled.search(instance) is None:
            yield _library().ValidationError(f"{instance!r} does not match {pattern!r}")


def _check_pattern_properties(validator: Any, patterns: Any, instance: Any, _schema: Any) -> Iterator[Any]:
    if not isinstance(instance, dict):
        return
    for pattern, inner in patterns.items():
        compiled = _pattern(pattern)
        for key, value in cast("dict[str, Any]", instance).items():
            if compiled is not None and compiled.search(key) is not None:
                yield from validator.descend(value, inner, path=key, schema_path=pattern)


@cache
def _own_validator() -> Any:
    own = {"pattern": _check_pattern, "patternProperties": _check_pattern_properties}
    return _library().validators.extend(_library().Draft202012Validator, own)


def _normal(schema: Any) -> Any:
    """JSON Schema's own spelling of what some benchmarks, frameworks and older drafts send."""
    if isinstance(schema, list):
        return [_normal(v) for v in cast("list[Any]", schema)]
    if not isinstance(schema, dict):
        return schema
    out: dict[str, Any] = {}
    for key, value in cast("dict[str, Any]", schema).items():
        if key == "type" and isinstance(value, str) and value.lower() in _SPELLINGS:
            if (known := _SPELLINGS[value.lower()]) is not None:
                out[key] = known
        elif key == "required" and isinstance(value, bool):
            continue
        elif key == "items" and isinstance(value, list):
            out["prefixItems"] = _normal(value)
        else:
            out[key] = _normal(value)
    if out.get("nullable") is True and isinstance(out.get("type"), str):
        out["type"] = [out["type"], "null"]
    return out


@lru_cache(maxsize=1024)
def _compiled(encoded: bytes) -> Any:
    schema = _normal(msgspec.json.decode(encoded))
    _own_validator().check_schema(schema)
    from referencing import Registry

    # An own empty registry: the library's default one fetches remote references over the network.
    return _own_validator()(schema, registry=Registry())


def check_schema(schema: Any) -> None:
    """Raise ValueError saying what is wrong with the schema itself."""
    try:
        _compiled(msgspec.json.encode(schema, order="deterministic"))
    except _library().SchemaError as error:
        raise ValueError(f"not a JSON Schema: {error.message}") from error


def problem(schema: Any, instance: Any) -> str | None:
    """What is wrong with the instance, in words with its path, or None. Raises ValueError for a broken schema."""
    try:
        validator = _compiled(msgspec.json.encode(schema, order="deterministic"))
    except _library().SchemaError as error:
        raise ValueError(f"not a JSON Schema: {error.message}") from error
    from referencing.exceptions import Unresolvable

    try:
        error = next(validator.iter_errors(instance), None)
    except Unresolvable as missing:
        raise ValueError(
            f"Unresolvable reference {missing.ref!r}: remote schemas are never fetched"
        ) from missing
    if error is None:
        return None
    path = ".".join(str(p) for p in error.absolute_path)
    return f"{path}: {error.message}" if path else str(error.message)

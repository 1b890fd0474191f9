"""From files to a `Config`, with every fault at its file, line and column."""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

from pydantic import BaseModel, ValidationError

from watchkeeper.config.base import fault_in_words
from watchkeeper.config.models import NOT_AVAILABLE, Config
from watchkeeper.config.problems import ConfigError, Problem, did_you_mean, shown
from watchkeeper.config.semantics import findings
from watchkeeper.config.units import env_name
from watchkeeper.config.yamlfile import KEY, MAX_BYTES, Document, Loc, Place, parse

SUFFIXES = (".yaml", ".yml")
MAX_FILES = 500


@dataclass(frozen=True)
class Loaded:
    """A usable configuration and what is doubtful about it."""

    config: Config
    warnings: tuple[Problem, ...] = ()


def files_of(path: Path) -> list[Path]:
    """The YAML files of a file or folder, sorted by name. `ConfigError` when there are none."""
    shown_path = str(path)
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise ConfigError([Problem(shown_path, 1, 1, "", "there is no such file or folder")])
    try:
        found = sorted(p for p in path.rglob("*") if p.suffix in SUFFIXES and p.is_file())
    except OSError as error:  # a folder that goes away meanwhile, or that may not be read
        place = str(error.filename or shown_path)
        raise ConfigError([Problem(place, 1, 1, "", f"cannot be read: {error.strerror or error}")]) from None
    found = [p for p in found if not any(part.startswith(".") for part in p.relative_to(path).parts)]
    if not found:
        raise ConfigError([Problem(shown_path, 1, 1, "", "the folder holds no .yaml file")])
    if len(found) > MAX_FILES:
        raise ConfigError([Problem(shown_path, 1, 1, "", f"more than {MAX_FILES} files")])
    return found


def _read(path: Path) -> Document:
    try:
        if path.stat().st_size > MAX_BYTES:
            message = f"larger than {MAX_BYTES >> 20} MiB"
            raise ConfigError([Problem(str(path), 1, 1, "", message, "split the configuration")])
        data = path.read_bytes()
    except OSError as error:
        message = f"cannot be read: {error.strerror or error}"
        raise ConfigError([Problem(str(path), 1, 1, "", message)]) from None
    return parse(data, str(path))


def _merged(documents: Iterable[tuple[str, Document]]) -> Document:
    """One document: lists of the same section are joined, other sections may be written only once."""
    data: dict[str, Any] = {}
    places: dict[Loc, Place] = {}
    problems: list[Problem] = []
    for file, document in documents:
        places.setdefault((), Place(file, 1, 1))
        if document.data is None:
            continue
        if not isinstance(document.data, dict):
            problems.append(Problem(file, 1, 1, "", "must be sections with a name each, such as 'monitors:'"))
            continue
        for key, value in cast("dict[str, Any]", document.data).items():
            offset = 0
            if key in data and isinstance(value, list) and isinstance(data[key], list):
                offset = len(data[key])
                data[key].extend(cast("list[Any]", value))
            elif key in data:
                at, before = document.places[(key,)], places[(key,)]
                said = f"the section is already written in {before.file}:{before.line}"
                problems.append(Problem(file, at.line, at.column, key, said, "keep one of them"))
                continue
            else:
                data[key] = value
            for loc, place in document.places.items():
                if not loc or loc[0] != key:
                    continue
                moved = (key, loc[1] + offset, *loc[2:]) if len(loc) > 1 and isinstance(loc[1], int) else loc
                places.setdefault(moved, place)
    if problems:
        raise ConfigError(problems)
    return Document(data, places)


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) in (Annotated, Union, UnionType, tuple, list, dict):
        return [m for argument in get_args(annotation) for m in _models(argument)]
    return []


def _literals(annotation: Any) -> list[str]:
    if get_origin(annotation) is Literal:
        return [str(a) for a in get_args(annotation)]
    return [v for argument in get_args(annotation) for v in _literals(argument)]


def allowed_keys(loc: Loc) -> list[str]:
    """The keys that may stand at a path, by walking the models; empty where anything may."""
    models: list[type[BaseModel]] = [Config]
    for step in loc:
        if isinstance(step, int):
            continue
        nexts = [
            m
            for model in models
            if step in model.model_fields
            for m in _models(model.model_fields[step].annotation)
        ]
        # A discriminated union puts its tag into the path; it selects the model of that tag.
        tagged = [
            m
            for m in models
            if "type" in m.model_fields and step in _literals(m.model_fields["type"].annotation)
        ]
        models = nexts or tagged
    return sorted({name for model in models for name in model.model_fields})


def _place(places: Mapping[Loc, Place], loc: Loc) -> Place:
    for size in range(len(loc), -1, -1):
        if loc[:size] in places:
            return places[loc[:size]]
    return Place("configuration", 1, 1)


def _real(loc: Loc, places: Mapping[Loc, Place]) -> Loc:
    """The path without the union tags and function names pydantic adds; the last step may be missing."""
    path: Loc = ()
    for index, step in enumerate(loc):
        if (*path, step) in places or index == len(loc) - 1:
            path = (*path, step)
    return path


def key_text(loc: Loc) -> str:
    """A path as people write it: `monitors[0].owner`."""
    text = ""
    for step in loc:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text


def _problem(error: Any, places: Mapping[Loc, Place], data: Any) -> Problem:
    raw: Loc = error["loc"]
    kind, message = str(error["type"]), str(error["msg"])
    loc = raw if kind in ("extra_forbidden", "missing") else _real(raw, places)
    path = _real(raw, places)
    allowed = ""
    if kind == "extra_forbidden":
        message, allowed = "unknown key", did_you_mean(str(raw[-1]), allowed_keys(raw[:-1]))
        loc = (*_real(raw[:-1], places), raw[-1])
        place = _place(places, (*loc, KEY))
        return Problem(place.file, place.line, place.column, key_text(loc), message, allowed)
    elif kind == "missing":
        message, allowed = "is required", _meaning(raw)
        loc = path if raw[-1] == path[-1] else (*path, raw[-1])
        place = _place(places, loc[:-1])
        return Problem(place.file, place.line, place.column, key_text(loc), message, allowed)
    elif kind == "literal_error":
        message = f"{shown(_value(data, path))} is not known"
        allowed = did_you_mean(str(_value(data, path)), [w.strip("'") for w in _expected(error)])
    elif kind == "union_tag_invalid":
        message = f"{shown(error['ctx'].get('tag', ''))} is not a known type"
        tags = [t.strip().strip("'") for t in str(error["ctx"].get("expected_tags", "")).split(",")]
        allowed = did_you_mean(str(error["ctx"].get("tag", "")), tags)
    elif kind == "too_short":
        message = "is empty; it needs at least one entry"
    elif kind == "union_tag_not_found":
        message = "'type' is required"
    else:
        message = fault_in_words(error)
        message = message[0].lower() + message[1:]
    place = _place(places, loc)
    return Problem(place.file, place.line, place.column, key_text(loc), message, allowed)


def _expected(error: Any) -> list[str]:
    text = str(error.get("ctx", {}).get("expected", ""))
    return [w.strip() for part in text.split(" or ") for w in part.split(",") if w.strip()]


def _meaning(loc: Loc) -> str:
    if loc[-1] == "owner":
        return "who answers when it fires"
    if loc[-1] == "runbook":
        return "what to do when it fires: a path or URL"
    return ""


def _value(data: Any, loc: Loc) -> Any:
    for step in loc:
        try:
            data = data[step]
        except (KeyError, IndexError, TypeError):
            return None
    return data


def _early(document: Document) -> list[Problem]:
    """Faults the models would describe badly: sections of later versions, variables outside secrets."""
    problems: list[Problem] = []
    for key in cast("dict[str, Any]", document.data):
        if key in NOT_AVAILABLE:
            place = document.places[(key,)]
            said = f"not available in this version: {NOT_AVAILABLE[key]}"
            problems.append(Problem(place.file, place.line, place.column, key, said, "remove the section"))
    for loc, place in document.places.items():
        if loc and loc[-1] == KEY:
            continue
        value = _value(document.data, loc)
        if isinstance(value, str) and env_name(value) and not _may_be_secret(loc):
            said = f"{shown(value)} is not replaced here"
            hint = "environment variables are read only for urls, keys, secrets and passwords"
            problems.append(Problem(place.file, place.line, place.column, key_text(loc), said, hint))
    return problems


def _may_be_secret(loc: Loc) -> bool:
    if loc and loc[0] == "forward":
        return len(loc) == 4 and loc[2] == "headers"
    return bool(loc) and loc[0] == "routes" and loc[-1] in ("url", "secret", "key", "password")


def _causes(error: ValidationError) -> list[Any]:
    """The faults without those that only follow: pydantic misses an entry that is wrong in its list too."""
    found: list[Any] = list(error.errors(include_url=False, include_input=False))

    def follows(one: Any) -> bool:
        loc = one["loc"]
        return one["type"] == "too_short" and any(
            other["loc"][: len(loc)] == loc for other in found if other is not one
        )

    return [one for one in found if not follows(one)]


def build(document: Document, env: Mapping[str, str], allow_missing_env: bool = False) -> Loaded:
    """The configuration of a document. Raises `ConfigError` with every fault."""
    problems = _early(document)
    data = {k: v for k, v in cast("dict[str, Any]", document.data).items() if k not in NOT_AVAILABLE}
    context = {"env": env, "allow_missing_env": allow_missing_env}
    try:
        config = Config.model_validate_json(json.dumps(data), context=context)
    except ValidationError as error:
        found = [_problem(e, document.places, data) for e in _causes(error)]
        raise ConfigError([*problems, *found]) from None
    warnings: list[Problem] = []
    for finding in findings(config, env):
        place = _place(document.places, finding.loc)
        made = Problem(
            place.file,
            place.line,
            place.column,
            key_text(finding.loc),
            finding.message,
            finding.allowed,
            finding.level,
        )
        (warnings if finding.level == "warning" else problems).append(made)
    if problems:
        raise ConfigError(problems)
    return Loaded(config, tuple(warnings))


def load_text(text: str | bytes, file: str = "config.yaml", env: Mapping[str, str] | None = None) -> Loaded:
    """The configuration of one YAML text. Raises `ConfigError`."""
    return build(_merged([(file, parse(text, file))]), env or {})


def load(path: Path, env: Mapping[str, str] | None = None, allow_missing_env: bool = False) -> Loaded:
    """The configuration of a file or folder, secrets from `env` (the process environment when None).

    Raises `ConfigError` listing every fault of every file; nothing else.
    """
    documents: list[tuple[str, Document]] = []
    problems: list[Problem] = []
    for file in files_of(path):
        try:
            documents.append((str(file), _read(file)))
        except ConfigError as error:
            problems.extend(error.problems)
    if problems:
        raise ConfigError(problems)
    return build(_merged(documents), dict(os.environ) if env is None else env, allow_missing_env)

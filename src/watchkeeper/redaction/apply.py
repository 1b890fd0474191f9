"""Replacing what `find` found, in texts and in whole spans and log records."""

import hashlib
import json
import re
from collections import Counter
from typing import Any, TypeVar, cast

from watchkeeper.model.sensitive import Found
from watchkeeper.model.span import LogRecord, RawEvent, RawSpan
from watchkeeper.redaction.find import default_policy, find
from watchkeeper.redaction.identity import IN_TEXT, METADATA, is_person, may_hold, names_user
from watchkeeper.redaction.policy import SESSION_KEYS, Policy, placeholder
from watchkeeper.redaction.secrets import SECRET_KEYS

_SHORTEST = 6
# What is remembered is what repeats: names and models. Questions of users would stay as well, each with the page of memory
# it stands in.
_CACHED_LENGTH = 64
_CACHE_SIZE = 2_000
_LONGEST_NAME = 200
_DEEPEST = 64
_DIGIT = re.compile(r"[0-9]")


def replace(text: str, found: list[Found]) -> str:
    """The text with every finding replaced by its placeholder."""
    pieces: list[str] = []
    at = 0
    for f in found:
        pieces += (text[at : f.start], placeholder(f.kind, f.label))
        at = f.end
    return "".join(pieces) + text[at:]


def redact_text(text: str, policy: Policy | None = None, context: str = "") -> tuple[str, dict[str, int]]:
    """The redacted text and how many findings of each kind were replaced.

    >>> redact_text("mail ann@example.com")
    ('mail [EMAIL]', {'email': 1})
    """
    found = find(text, policy, context)
    return (replace(text, found), dict(Counter(f.kind for f in found))) if found else (text, {})


def keyed_hash(value: str, key: str) -> str:
    """A user id's stand-in: equal ids stay equal, nobody without the key can go back or try candidates."""
    return (
        "h_"
        + hashlib.blake2b(value.encode("utf-8", "replace"), key=key.encode()[:64], digest_size=16).hexdigest()
    )


K = TypeVar("K")


def _remember(known: dict[K, str], key: K, value: str) -> None:
    if len(known) >= _CACHE_SIZE:
        known.clear()
    known[key] = value


class Redactor:
    """Redacts spans and logs in place under one policy. Remembers short clean strings (service names, models), attribute
    names that need nothing, and the last resource, because the same ones come with every span, which all get the one remembered: a
    request has a copy of each for every span."""

    def __init__(self, policy: Policy | None = None) -> None:
        self.policy = policy or default_policy()
        self._clean: dict[str, str] = {}
        # The same of texts that are clean under one attribute name: models, and the ids of users and sessions, which every span of a
        # trace repeats.
        self._clean_there: dict[tuple[str, str], str] = {}
        self._plain: dict[str, str] = {}
        self._resource: tuple[dict[str, Any], dict[str, Any], Counter[str]] | None = None
        self._unnamed = self.policy.spec.user_ids != "keep"

    def text(self, value: str, counts: Counter[str], context: str = "") -> str:
        """One string, with findings counted."""
        if self._unnamed and may_hold(value):
            value = IN_TEXT.sub(lambda m: self._id_in_text(m, counts), value)
        short = len(value) <= _CACHED_LENGTH
        if short:
            if len(value) < _SHORTEST and not self.policy.own:
                return value
            known = self._clean.get(value)
            if known is None:
                known = self._clean_there.get((context, value))
            if known is not None:
                return known
        found = find(value, self.policy, context)
        if found:
            counts.update(f.kind for f in found)
            return replace(value, found)
        if short:
            # A weak number is clean only under its own attribute name.
            if value.isascii() and _DIGIT.search(value) is None:
                _remember(self._clean, value, value)
            elif len(context) <= _LONGEST_NAME:
                _remember(self._clean_there, (context, value), value)
        return value

    def value(self, value: Any, counts: Counter[str], context: str = "", depth: int = 0) -> Any:
        """Any attribute value: strings in lists and maps, map keys, long integers and bytes as well."""
        if isinstance(value, str):
            return self.text(value, counts, context)
        if isinstance(value, bool | float) or value is None:
            return value
        if isinstance(value, int):
            if value < 10**11:
                return value
            cleaned = self.text(str(value), counts, context)
            return value if cleaned == str(value) else cleaned
        if isinstance(value, bytes):
            return self._bytes(value, counts, context)
        if depth >= _DEEPEST:
            counts["too_deep"] += 1
            return "[TOO_DEEP]"
        if isinstance(value, dict):
            return self.mapping(cast("dict[str, Any]", value), counts, depth + 1)
        if isinstance(value, list | tuple):
            return [self.value(v, counts, context, depth + 1) for v in cast("list[Any]", value)]
        return value

    def _bytes(self, value: bytes, counts: Counter[str], context: str) -> Any:
        text = value.decode("utf-8", "replace")
        cleaned = self.text(text, counts, context)
        return value if cleaned == text else cleaned

    def mapping(self, values: dict[str, Any], counts: Counter[str], depth: int = 0) -> dict[str, Any]:
        """A map of attributes, keys included."""
        out: dict[str, Any] = {}
        for raw_key, value in values.items():
            key = self._plain.get(raw_key)
            if key is None:
                self._named(out, raw_key, value, counts, depth)
            elif type(value) is str:
                out[key] = self.text(value, counts, key)
            else:
                out[key] = self.value(value, counts, key, depth)
        return out

    def _named(self, out: dict[str, Any], raw_key: str, value: Any, counts: Counter[str], depth: int) -> None:
        """One attribute whose name may say what becomes of its value. A name that says nothing is remembered."""
        key = self.text(raw_key, counts)
        action = self.policy.action(raw_key)
        if action == "keep":
            out[key] = value
        elif action == "drop":
            counts["dropped"] += 1
        elif action == "hash" and value is not None:
            counts["hashed"] += 1
            out[key] = keyed_hash(str(value), self.policy.spec.key)
        elif action == "redact":
            counts["custom"] += 1
            out[key] = "[REDACTED]"
        elif (is_user := names_user(raw_key, self._unnamed)) or raw_key in SESSION_KEYS:
            self._identity(out, key, value, counts, is_user)
        elif self._unnamed and raw_key in METADATA:
            out[key] = self._metadata(value, counts, depth)
        elif "secret" in self.policy.kinds and SECRET_KEYS.search(raw_key):
            if isinstance(value, str) and len(value) >= 6:
                counts["secret"] += 1
                out[key] = "[SECRET]"
            else:
                out[key] = self.value(value, counts, raw_key, depth)
        else:
            if action is None and key == raw_key and len(key) <= _LONGEST_NAME:
                if len(self._plain) >= 10 * _CACHE_SIZE:
                    self._plain.clear()
                self._plain[key] = key
            out[key] = self.value(value, counts, raw_key, depth)

    def _shared(self, resource: dict[str, Any], counts: Counter[str]) -> dict[str, Any]:
        """The resource, which all spans of a batch have in common as one object."""
        known = self._resource
        if known is None or known[0] is not resource:
            inner: Counter[str] = Counter()
            known = self._resource = (resource, self.mapping(resource, inner), inner)
        if known[2]:
            counts.update(known[2])
        return known[1]

    def _identity(
        self, out: dict[str, Any], key: str, value: Any, counts: Counter[str], is_user: bool
    ) -> None:
        mode = self.policy.spec.user_ids if is_user else "keep"
        if mode == "drop":
            counts["dropped"] += 1
            return
        secret = self.policy.spec.key
        if mode == "hash" and value is not None:
            counts["hashed"] += 1
            out[key] = keyed_hash(str(value), secret)
            return
        inner: Counter[str] = Counter()
        cleaned = self.value(value, inner, key)
        # Two users must not become one because both ids are e-mail addresses.
        out[key] = keyed_hash(str(value), secret) if inner and secret else cleaned
        counts.update(inner)

    def _id_in_text(self, found: re.Match[str], counts: Counter[str]) -> str:
        hashed = self.policy.spec.user_ids == "hash"
        counts["hashed" if hashed else "dropped"] += 1
        told = keyed_hash(found["id"] or found["number"], self.policy.spec.key) if hashed else ""
        quoted = found["open"] + told if found["open"] else found["quote"] + told + found["quote"]
        return found["before"] + quoted

    def _metadata(self, value: Any, counts: Counter[str], depth: int) -> Any:
        """An application's own map, or the text of one, in which a bare `user` is the user."""
        if isinstance(value, str):
            try:
                told = json.loads(value)
            except (ValueError, RecursionError):
                told = None
            if not isinstance(told, dict):
                return self.text(value, counts, "metadata")
            return json.dumps(self._metadata(told, counts, depth), ensure_ascii=False)
        if not isinstance(value, dict) or depth >= _DEEPEST:
            return self.value(value, counts, "metadata", depth)
        table = cast("dict[str, Any]", value)
        out = self.mapping({k: v for k, v in table.items() if not is_person(k)}, counts, depth + 1)
        for name in table.keys() - out.keys():
            if is_person(name):
                self._identity(out, name, table[name], counts, True)
        return out

    def span(self, span: RawSpan) -> dict[str, int]:
        """Redact a span in place; returns how many findings of each kind were replaced. Ids of spans stay."""
        counts: Counter[str] = Counter()
        span.name = self.text(span.name, counts)
        if span.status_message:
            span.status_message = self.text(span.status_message, counts)
        if span.trace_state:
            span.trace_state = self.text(span.trace_state, counts)
        span.scope_name = self.text(span.scope_name, counts)
        span.scope_version = self.text(span.scope_version, counts)
        span.attributes = self.mapping(span.attributes, counts)
        span.resource = self._shared(span.resource, counts)
        if len(span.events) > 1:
            self._across(span.events, counts)
        for event in span.events:
            event.name = self.text(event.name, counts)
            event.attributes = self.mapping(event.attributes, counts)
        for link in span.links:
            if link.attributes:
                link.attributes = self.mapping(link.attributes, counts)
        return dict(counts)

    def log(self, record: LogRecord) -> dict[str, int]:
        """Redact a log record in place, as `span`."""
        counts: Counter[str] = Counter()
        record.name = self.text(record.name, counts)
        record.scope_name = self.text(record.scope_name, counts)
        record.body = self.value(record.body, counts)
        record.attributes = self.mapping(record.attributes, counts)
        record.resource = self._shared(record.resource, counts)
        return dict(counts)

    def _across(self, events: list[RawEvent], counts: Counter[str]) -> None:
        """Findings split over consecutive events (stream chunks): the first piece keeps the placeholder."""
        rows: dict[tuple[str, str], list[RawEvent]] = {}
        for event in events:
            for key, value in event.attributes.items():
                if isinstance(value, str) and value:
                    rows.setdefault((event.name, key), []).append(event)
        for (_, key), chunks in rows.items():
            if len(chunks) < 2:
                continue
            texts = [cast("str", e.attributes[key]) for e in chunks]
            cleaned = redact_pieces(texts, self.policy, counts)
            for event, text in zip(chunks, cleaned, strict=True):
                event.attributes[key] = text


def redact_pieces(pieces: list[str], policy: Policy | None, counts: Counter[str]) -> list[str]:
    """Pieces of one text, redacted where a finding crosses a border; findings inside one piece are left to it."""
    joined = "".join(pieces)
    crossing: list[Found] = []
    borders = [0]
    for piece in pieces:
        borders.append(borders[-1] + len(piece))
    for f in find(joined, policy):
        if any(f.start < b < f.end for b in borders[1:-1]):
            crossing.append(f)
    if not crossing:
        return pieces
    counts.update(f.kind for f in crossing)
    out: list[str] = []
    for start, end, piece in zip(borders, borders[1:], pieces, strict=False):
        text, at = "", start
        for f in crossing:
            if f.end <= start or f.start >= end:
                continue
            text += piece[at - start : max(f.start, start) - start]
            if f.start >= start:
                text += placeholder(f.kind, f.label)
            at = min(f.end, end)
        out.append(text + piece[at - start :])
    return out


def redact_raw(item: RawSpan | LogRecord, policy: Policy | None = None) -> dict[str, int]:
    """Redact a span or log record in place with a fresh `Redactor`; loops keep one instead."""
    redactor = Redactor(policy)
    return redactor.span(item) if isinstance(item, RawSpan) else redactor.log(item)

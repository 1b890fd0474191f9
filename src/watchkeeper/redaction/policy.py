"""What to look for and what to do with it."""

import re
from functools import cached_property
from typing import Any, Literal, get_args

import msgspec

from watchkeeper.model.sensitive import SENSITIVE_KINDS

PLACEHOLDERS = {
    "email": "[EMAIL]",
    "phone": "[PHONE]",
    "card": "[CARD]",
    "iban": "[IBAN]",
    "ssn": "[SSN]",
    "national_id": "[NATIONAL_ID]",
    "ip": "[IP]",
    "secret": "[SECRET]",
    "name": "[NAME]",
}
SESSION_KEYS = frozenset(
    ("session.id", "gen_ai.conversation.id", "langfuse.session.id", "langfuse.trace.session_id", "thread.id")
)
FieldAction = Literal["keep", "drop", "hash", "redact"]
ACTIONS: tuple[FieldAction, ...] = get_args(FieldAction)


class CustomPattern(msgspec.Struct, frozen=True):
    """A user's own RE2 pattern; matches become `[LABEL]`."""

    label: str
    pattern: str


class PolicySpec(msgspec.Struct, frozen=True):
    """The policy as plain data.

    kinds: what to redact. names: people and code names to hide. patterns: own RE2 patterns. user_ids: keep, hash or drop
    values of user attributes. key: secret for keyed hashes (BLAKE2b); without it user ids that hold personal data become
    placeholders. fields: attribute name (a trailing * matches any rest) to keep, drop, hash or redact (whole value).
    """

    kinds: tuple[str, ...] = tuple(k for k in SENSITIVE_KINDS if k not in ("name", "custom"))
    names: tuple[str, ...] = ()
    patterns: tuple[CustomPattern, ...] = ()
    user_ids: str = "keep"
    key: str = ""
    fields: dict[str, str] = {}


class Policy:
    """A checked and compiled policy. Raises ValueError that starts with the setting's name."""

    def __init__(self, spec: PolicySpec | None = None) -> None:
        self.spec = spec or PolicySpec()
        unknown = [k for k in self.spec.kinds if k not in SENSITIVE_KINDS]
        if unknown:
            raise ValueError(
                f"privacy.kinds: {unknown[0]!r} is not allowed; any of {', '.join(SENSITIVE_KINDS)}"
            )
        if self.spec.user_ids not in ("keep", "hash", "drop"):
            raise ValueError(
                f"privacy.user_ids: {self.spec.user_ids!r} is not allowed; one of keep, hash, drop"
            )
        needs_key = self.spec.user_ids == "hash" or "hash" in self.spec.fields.values()
        if needs_key and not self.spec.key:
            raise ValueError("privacy.key: a secret key is required to hash fields or user ids")
        for name, action in self.spec.fields.items():
            if action not in ACTIONS:
                raise ValueError(
                    f"privacy.fields.{name}: {action!r} is not allowed; one of {', '.join(ACTIONS)}"
                )
        self.kinds = frozenset(self.spec.kinds)
        self.own: list[tuple[str, str, Any]] = [
            ("custom", _label(p.label), _compile(f"privacy.patterns.{p.label}", p.pattern))
            for p in self.spec.patterns
        ]
        if self.spec.names:
            bodies = (r"\s+".join(re.escape(w) for w in n.split()) for n in self.spec.names if n.strip())
            self.own.append(("name", "", _compile("privacy.names", rf"(?i)\b(?:{'|'.join(bodies)})\b")))

    def action(self, key: str) -> str | None:
        """What the policy says about an attribute as a whole, None for nothing."""
        if not self.spec.fields:
            return None
        exact = self.spec.fields.get(key)
        if exact is not None:
            return exact
        return next((a for prefix, a in self._prefixes if key.startswith(prefix)), None)

    @cached_property
    def _prefixes(self) -> list[tuple[str, str]]:
        found = [(n[:-1], a) for n, a in self.spec.fields.items() if n.endswith("*")]
        return sorted(found, key=lambda item: -len(item[0]))


def _label(label: str) -> str:
    name = re.sub(r"\W+", "_", label).strip("_").upper()
    if not name:
        raise ValueError(f"privacy.patterns: {label!r} is not a label; use letters, digits and underscores")
    return name


def _compile(where: str, pattern: str) -> Any:
    import re2

    options = re2.Options()
    options.log_errors = False
    options.max_mem = 32 << 20
    try:
        compiled = re2.compile(pattern, options)
    except re2.error as error:
        raise ValueError(f"{where}: {pattern[:80]!r} is not valid RE2: {error}") from error
    if compiled.search("") is not None:
        raise ValueError(f"{where}: {pattern[:80]!r} matches the empty text")
    return compiled


def placeholder(kind: str, label: str = "") -> str:
    """The typed placeholder of a finding."""
    return PLACEHOLDERS.get(kind) or f"[{label or kind.upper()}]"

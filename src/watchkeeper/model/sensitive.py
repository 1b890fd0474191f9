"""Personal data and secrets found in a text."""

import msgspec

SENSITIVE_KINDS = ("email", "phone", "card", "iban", "ssn", "national_id", "ip", "secret", "name", "custom")


class Found(msgspec.Struct, frozen=True, order=True):
    """One finding: characters `start` to `end`, of a kind in `SENSITIVE_KINDS`; `label` names a custom pattern."""

    start: int
    end: int
    kind: str
    label: str = ""

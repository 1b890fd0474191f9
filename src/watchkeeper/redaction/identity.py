"""Which attributes say who the user is, by their names, and the ids of users that stand inside texts."""

import re

# How the names end, without case and separators; a prefix of the client's own changes nothing.
_ENDS = (
    "userid", "useridentifier", "useruuid", "useraccountid", "useraccountuuid", "usrid", "customerid", "customeridentifier",
)  # fmt: skip
# What names a person where ids must not; elsewhere an address or a name in a text.
_NAMES = ("useremail", "username")
# Names that hold the id without saying so.
_WHOLE = frozenset(
    ("llm.user", "gen_ai.user", "gen_ai.request.user", "mlflow.trace.user", "user.email", "user.name")
)
_PERSON = frozenset(("user", "enduser"))
# Attributes whose value is a map of an application's own words, as a map or as its text.
METADATA = frozenset(("metadata", "langfuse.trace.metadata", "latitude.metadata", "confident.trace.metadata"))
IN_TEXT = re.compile(
    r"""(?P<before>(?:user|customer|usr)[_.]?id(?:entifier)?(?P<quote>\\{0,8}["'])\s{0,8}:\s{0,8})"""
    r"""(?:(?P<open>\\{0,8}["'])(?P<id>[^"'\\]{1,256})(?=\\{0,8}["'])|(?P<number>\d{1,20})(?![\d.]))""",
    re.IGNORECASE,
)
_MAYBE = ("ser", "SER", "stomer", "STOMER", "usr", "USR")


def _loose(name: str) -> str:
    return name.lower().replace("_", "").replace(".", "").replace("-", "")


def names_user(name: str, hidden: bool) -> bool:
    """Whether the value under this name is who the user is; `hidden` where nothing may say who that is."""
    loose = _loose(name)
    if name in _WHOLE or loose.endswith(_ENDS) or (hidden and loose.endswith(_NAMES)):
        return True
    own = "metadata." in name or "properties." in name
    return own and is_person(name.rpartition(".")[2])


def is_person(name: str) -> bool:
    """The same of a name within metadata, where a bare `user` is one."""
    return _loose(name) in _PERSON


def may_hold(text: str) -> bool:
    """Whether it is worth looking for ids of users in a text."""
    return any(part in text for part in _MAYBE)

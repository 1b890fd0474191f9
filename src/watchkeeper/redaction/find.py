"""Where personal data and secrets are in a text."""

import ipaddress
import re
from collections.abc import Iterator
from functools import lru_cache

from watchkeeper.model.sensitive import Found
from watchkeeper.patterns import PatternSet
from watchkeeper.redaction import papers, prefilter, spoken, verify, views
from watchkeeper.redaction.digits import numbers
from watchkeeper.redaction.policy import Policy
from watchkeeper.redaction.secrets import assigned, keys

_EMAIL = re.compile(
    r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9](?:[A-Za-z0-9._%+'-]{0,63})@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,62}[A-Za-z0-9])?\.)+[A-Za-z]{2,24}"
    r"(?![A-Za-z0-9])|[^\W\d_][\w.%+-]{0,63}@(?:[\w-]{1,63}\.)+[^\W\d_]{2,24}"
)
_IBAN = re.compile(
    r"[A-Za-z](?<![A-Za-z0-9].)[A-Za-z](?:\d{2}(?=[ .-]?[A-Za-z0-9]{4})|(?<=[A-Z]) \d{2}(?=[A-Z0-9 ]{6}))"
)
_IPV4 = re.compile(r"\d(?<![A-Za-z0-9_.].)\d{0,2}\.(?:\d{1,3}\.){2}\d{1,3}(?![A-Za-z0-9_]|\.\d)")
_IPV6 = re.compile(r"(?<![A-Za-z0-9_:.])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{1,4}(?![A-Za-z0-9_:])")
# A product's version too, as browsers write it: Chrome/120.0.0.0.
_VERSION = re.compile(
    r"(?:(?:(?<!<)\bv|version|release|build|firmware|section|chapter|v\.)\W*|(?<![\w/.])(?-i:[A-Z])\w*/)$",
    re.IGNORECASE,
)


def _ibans(text: str) -> Iterator[tuple[int, int]]:
    for match in _IBAN.finditer(text):
        length = verify.iban_length(match.group(0)[:2])
        if length is None:
            continue
        compact, at = "", match.start()
        while at < len(text) and len(compact) < length:
            char = text[at]
            if char.isascii() and char.isalnum():
                compact += char
            elif char not in " -." or text[at - 1] in " -.":
                break
            at += 1
        ends_clean = at >= len(text) or not (text[at].isascii() and text[at].isalnum())
        if len(compact) == length and ends_clean and verify.iban(compact):
            yield match.start(), at


def _ipv4s(text: str) -> Iterator[tuple[int, int]]:
    for match in _IPV4.finditer(text):
        parts = match.group(0).split(".")
        if any(int(p) > 255 or (len(p) > 1 and p[0] == "0") for p in parts):
            continue
        network = parts[3] == "0" and text[match.end() : match.end() + 1] == "/"
        if (
            network
            or parts[0] in ("0", "127", "255")
            or _VERSION.search(text[max(0, match.start() - 24) : match.start()])
        ):
            continue
        yield match.span()


def _ipv6s(text: str) -> Iterator[tuple[int, int]]:
    for match in _IPV6.finditer(text):
        groups = [g for g in match.group(0).split(":") if g]
        if len(groups) < 3 or not any(c.isdigit() for c in match.group(0)):
            continue
        try:
            ipaddress.IPv6Address(match.group(0))
        except ValueError:
            continue
        yield match.span()


def _plain(text: str, hits: frozenset[int], policy: Policy, context: str) -> Iterator[Found]:
    """Findings in the text as it stands."""
    kinds = policy.kinds
    if prefilter.EMAIL in hits and "email" in kinds:
        for match in _EMAIL.finditer(text):
            # A repository's address: everybody is called git there.
            if not (match.group().startswith("git@") and text[match.end() : match.end() + 1] == ":"):
                yield Found(match.start(), match.end(), "email")
        yield from (Found(a, b, "email") for a, b in spoken.emails(text))
    if prefilter.IBAN in hits and "iban" in kinds:
        yield from (Found(a, b, "iban") for a, b in _ibans(text))
    if prefilter.DIGITS in hits:
        yield from (Found(a, b, kind) for a, b, kind in numbers(text, kinds, context))
    if prefilter.IPV4 in hits and "ip" in kinds:
        yield from (Found(a, b, "ip") for a, b in _ipv4s(text))
    if prefilter.IPV6 in hits and "ip" in kinds:
        yield from (Found(a, b, "ip") for a, b in _ipv6s(text))
    if prefilter.SAID_ID in hits and "national_id" in kinds:
        yield from (Found(a, b, "national_id") for a, b in papers.said(text))
    if prefilter.SECRET in hits and "secret" in kinds:
        yield from (Found(a, b, "secret") for a, b in keys(text))
    if prefilter.ASSIGNED in hits and "secret" in kinds:
        yield from (Found(a, b, "secret") for a, b in assigned(text))
    if prefilter.ALNUM_ID in hits and "national_id" in kinds:
        yield from (Found(a, b, "national_id") for a, b in papers.lettered(text))
    for kind, label, pattern in policy.own:
        for match in pattern.finditer(text):
            if match.end() > match.start():
                yield Found(match.start(), match.end(), kind, label)


@lru_cache(maxsize=1)
def _prefilter() -> PatternSet:
    return prefilter.first_pass()


@lru_cache(maxsize=1)
def default_policy() -> Policy:
    """All built-in kinds, no names, no own patterns."""
    return Policy()


def find(text: str, policy: Policy | None = None, context: str = "") -> list[Found]:
    """Personal data and secrets in a text, left to right, overlaps merged (a secret, else the longer finding, names the kind).

    Looks through URL, JSON and character-reference escapes, compatibility characters, invisible characters and base64.
    `context` is what stood before the text elsewhere, for example an attribute's name. Names of people are found only
    when listed in the policy; postal addresses are not found.

    >>> [f.kind for f in find("write to ann@example.com")]
    ['email']
    """
    policy = policy or default_policy()
    hits = frozenset(_prefilter().ids(text))
    if not policy.own and not hits and text.isascii():
        return []
    return _merge(_all(text, policy, context, 0, hits))


def _all(
    text: str, policy: Policy, context: str, depth: int, hits: frozenset[int] | None = None
) -> list[Found]:
    if hits is None:
        hits = frozenset(_prefilter().ids(text))
    escaped = prefilter.ESCAPED in hits and depth < 3
    plain, exotic = views.quickly(text) if escaped else (text, False)
    found: list[Found] = []
    # Backslash escapes never stand inside a finding, so the plain text shows all there is.
    if (plain is text or plain == text or exotic) and (hits or policy.own):
        found = list(_plain(text, hits, policy, context))
    if depth >= 3:
        return found
    if escaped and plain != text:
        inner = _all(plain, policy, context, depth + 1)
        if inner:
            found += _through(views.unescaped(text), plain, inner, policy, context, depth)
    mail = views.mailed(text) if escaped else None
    if mail is not None:
        inner = _all(mail.text, policy, context, depth + 1)
        found += _through(mail, mail.text, inner, policy, context, depth)
    simple = views.quickly_folded(text)
    if simple is not text:
        inner = _all(simple, policy, context, depth + 1)
        if inner:
            found += _through(views.folded(text), simple, inner, policy, context, depth)
    if prefilter.RUN in hits:

        def holds(decoded: str) -> str | None:
            inner = _all(decoded, policy, context, depth + 1)
            return inner[0].kind if inner else None

        found += [Found(a, b, kind) for a, b, kind in views.encoded(text, holds)]
    return found


def _through(
    view: views.View | None, seen: str, inner: list[Found], policy: Policy, context: str, depth: int
) -> list[Found]:
    """Findings of a changed text at their places in the original; `inner` is what was found in `seen`, which nearly always
    is that text."""
    if view is None:
        return []
    found = inner if view.text == seen else _all(view.text, policy, context, depth + 1)
    return [Found(*view.back(f.start, f.end), f.kind, f.label) for f in found]


def _merge(found: list[Found]) -> list[Found]:
    if len(found) < 2:
        return found
    out: list[Found] = []
    for f in sorted(found, key=lambda f: (f.start, -f.end)):
        if out and f.start < out[-1].end:
            last = out[-1]
            # A password before an @ is no e-mail address, however long the host's name.
            named = max(last, f, key=lambda x: (x.kind == "secret", x.end - x.start))
            out[-1] = Found(last.start, max(last.end, f.end), named.kind, named.label)
            continue
        out.append(f)
    return out

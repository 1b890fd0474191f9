"""Addresses of an alert's chart that open without signing in, for a while: whoever got the message may see its picture."""

import base64
import binascii
import hashlib
import hmac

DAY_S = 86_400


def _sign(key: str, text: str) -> str:
    digest = hmac.new(key.encode(), b"alert chart\x1f" + text.encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest[:24]).decode()


def token(key: str, project: str, alert_id: str, expires_s: int) -> str:
    """The part of the address that says which alert, until when, and that we said so. `expires_s`: seconds since 1970.

    >>> read("k", token("k", "default", "a1", 100), 99)
    ('default', 'a1')
    """
    what = base64.urlsafe_b64encode(f"{expires_s}|{project}|{alert_id}".encode()).decode().rstrip("=")
    return f"{what}.{_sign(key, what)}"


def read(key: str, given: str, now_s: int) -> tuple[str, str] | None:
    """Project and alert of an address that is ours and not over; None for any other. Constant time in the signature."""
    what, _, signature = given.partition(".")
    if not hmac.compare_digest(_sign(key, what).encode(), signature.encode("utf-8", "replace")):
        return None
    try:
        expires, project, alert_id = (
            base64.urlsafe_b64decode(what + "=" * (-len(what) % 4)).decode().split("|", 2)
        )
    except (ValueError, binascii.Error):
        return None
    return (project, alert_id) if expires.isdigit() and now_s <= int(expires) else None

"""Signing in by one-time link, and out."""

import html
import time

from watchkeeper.server import answers
from watchkeeper.server.auth import COOKIE, SECURE_COOKIE
from watchkeeper.server.routing import EVERY_PROJECT, Call, HttpError, Response, route, sent_form
from watchkeeper.store.records import access, audit


def safe_next(value: str | None) -> str:
    """Where to go after signing in: a path of this server, `/` for anything else."""
    ok = value and value.startswith("/") and not value.startswith(("//", "/\\"))
    return value if value and ok and "\\" not in value and value.isprintable() else "/"


def session_cookie(call: Call, secret: str, seconds: int) -> str:
    """The Set-Cookie value. Under TLS the name is `__Host-` and the cookie Secure; plain http is loopback only."""
    tls = (call.services.config.current.server.public_url or "").startswith("https://")
    name, secure = (SECURE_COOKIE, "; Secure") if tls else (COOKIE, "")
    return f"{name}={secret}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}"


@route("GET", "/login", permission="public")
async def login_page(call: Call) -> Response:
    """The page a one-time link opens. Opening it changes nothing, so that link previews do not use the link up."""
    if call.banner:
        return Response(status_code=303, headers={"location": "/"})
    token = call.request.query_params.get("token", "")
    there = safe_next(call.request.query_params.get("next"))
    if not token:
        said = (
            "<h1>Sign in</h1><p>Open the one-time link that was printed when Watchkeeper first started, "
            "or make a new one on the server:</p><pre>watchkeeper login-link</pre>"
        )
        return answers.page("Sign in", said)
    form = (
        "<h1>Sign in to Watchkeeper</h1><form method='post' action='/login'>"
        f"<input type='hidden' name='token' value='{html.escape(token, quote=True)}'>"
        f"<input type='hidden' name='next' value='{html.escape(there, quote=True)}'>"
        "<button type='submit' class='primary' autofocus>Sign in</button></form>"
    )
    return answers.page("Sign in", form)


@route("POST", "/login", permission="public", kind="page")
async def log_in(call: Call) -> Response:
    """Use the link up and open a session."""
    address = call.source
    wait = call.services.auth.logins.wait(address, time.monotonic())
    if wait:
        raise HttpError(429, "too many attempts", f"wait {wait} seconds", {"retry-after": str(wait)})
    length = call.request.headers.get("content-length", "0")
    if not length.isdigit() or len(length) > 5:
        raise HttpError(413, "that is too much for a login form", "")
    form = await sent_form(call.request, 5)
    token, there = form.get("token"), form.get("next")
    now = call.services.wall_clock()
    made = None
    if isinstance(token, str) and 20 <= len(token) <= 100:
        text = token
        made = await call.services.records.write(lambda c: access.log_in(c, text, now))
    if made is None:
        call.services.auth.logins.failed(address, time.monotonic())
        call.services.counters.add("watchkeeper_auth_failures_total", reason="login")
        raise HttpError(
            400, "this link was used already or is too old", "make another: watchkeeper login-link"
        )
    session, secret = made
    await call.services.records.write(
        lambda c: audit.record(
            c, project=EVERY_PROJECT, now_ns=now, actor=f"user:{session.email}", source=address,
            action="login", target=session.email,
        )
    )  # fmt: skip
    to = safe_next(there if isinstance(there, str) else None)
    cookie = session_cookie(call, secret, access.SESSION_LIFE_NS // access.SECOND)
    return Response(status_code=303, headers={"location": to, "set-cookie": cookie})


@route("POST", "/logout", permission="viewer", kind="page")
async def log_out(call: Call) -> Response:
    """End this session."""
    secret = call.request.cookies.get(SECURE_COOKIE) or call.request.cookies.get(COOKIE)
    if secret:
        await call.services.records.write(lambda c: access.log_out(c, secret))
        call.services.auth.forget()
    return Response(
        status_code=303, headers={"location": "/login", "set-cookie": session_cookie(call, "", 0)}
    )

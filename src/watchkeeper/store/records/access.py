"""Projects, people, API keys, login links and sessions. Secrets are random, shown once and kept only as hashes."""

import hashlib
import hmac
import re
import secrets
import zlib
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from watchkeeper.model.times import DAY, SECOND, WEEK
from watchkeeper.store.records.tables import api_keys, memberships, projects, tokens, users

ROLES = ("ingest", "viewer", "reviewer", "editor", "admin")
EVERY_PROJECT = "*"
# Whoever gets a link from somebody else may not be looking.
LOGIN_LIFE_NS = DAY
SESSION_IDLE_NS = 12 * 3600 * SECOND
SESSION_LIFE_NS = WEEK
_TOUCH_NS = 10 * 60 * SECOND

_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_KEY = re.compile(r"wk_([0-9a-z]{12})_([0-9A-Za-z]{43})([0-9A-Za-z]{6})\Z")
_PROJECT = re.compile(r"[a-z0-9][a-z0-9_\-]{0,62}\Z")
_EMAIL = re.compile(r"[^@\s\x00-\x1f]{1,100}@[^@\s\x00-\x1f]{1,150}\Z")


class AccessRefused(ValueError):
    """A change that is not allowed; the text says why, `hint` what is."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True)
class Key:
    """One API key without its secret."""

    id: str
    project: str
    name: str
    role: str
    hint: str
    created_by: str
    created_ns: int
    expires_ns: int | None = None
    revoked_ns: int | None = None
    last_used_ns: int | None = None

    def state(self, now_ns: int) -> str:
        """`active`, `revoked` or `expired`."""
        if self.revoked_ns is not None:
            return "revoked"
        return "expired" if self.expires_ns is not None and self.expires_ns <= now_ns else "active"


@dataclass(frozen=True)
class Session:
    """A person who is signed in, and their roles by project."""

    user_id: str
    email: str
    roles: dict[str, str]
    expires_ns: int
    created_ns: int


def _base62(number: int, width: int) -> str:
    digits: list[str] = []
    for _ in range(width):
        number, rest = divmod(number, 62)
        digits.append(_LETTERS[rest])
    return "".join(reversed(digits))


def _checksum(key_id: str, secret: str) -> str:
    return _base62(zlib.crc32(f"{key_id}_{secret}".encode()), 6)


def _hashed(kind: str, text: str) -> str:
    return hashlib.sha256(f"watchkeeper:{kind}:{text}".encode()).hexdigest()


def _check_role(role: str) -> None:
    if role not in ROLES:
        raise AccessRefused(f"there is no role {role!r}; the roles are {', '.join(ROLES)}")


def check_project(name: str, every: bool = False) -> str:
    """The name itself when it may name a project, or `*` where `every` allows it. Raises `AccessRefused`."""
    if every and name == EVERY_PROJECT:
        return name
    if not _PROJECT.match(name):
        raise AccessRefused(
            f"there can be no project {name[:80]!r}",
            "a project name is 1 to 63 lower-case letters (a to z), digits, - and _, starting with a letter or digit",
        )
    return name


# --- projects


def ensure_project(conn: Connection, name: str, now_ns: int) -> None:
    """Make sure a project exists. Raises `AccessRefused` for a name that cannot be one."""
    check_project(name)
    if conn.execute(sa.select(projects.c.name).where(projects.c.name == name)).first() is None:
        conn.execute(sa.insert(projects).values(name=name, created_ns=now_ns))


def list_projects(conn: Connection) -> list[str]:
    """All project names, sorted."""
    return list(conn.execute(sa.select(projects.c.name).order_by(projects.c.name)).scalars())


# --- API keys


def create_key(
    conn: Connection,
    *,
    project: str,
    name: str,
    role: str,
    created_by: str,
    now_ns: int,
    expires_ns: int | None = None,
) -> tuple[Key, str]:
    """A new key and its secret text `wk_<id>_<secret><checksum>`, which is never seen again. Raises `AccessRefused`."""
    check_project(project, every=True)
    _check_role(role)
    if not name.strip() or len(name) > 255:
        raise AccessRefused("a key needs a name of 1 to 255 characters that says who uses it")
    if expires_ns is not None and expires_ns <= now_ns:
        raise AccessRefused("the expiry is in the past")
    if project != EVERY_PROJECT:
        ensure_project(conn, project, now_ns)
    key_id = "".join(secrets.choice(_LETTERS[:10] + _LETTERS[36:]) for _ in range(12))
    secret = _base62(secrets.randbits(256), 43)
    key = Key(key_id, project, name.strip(), role, f"…{secret[-4:]}", created_by, now_ns, expires_ns)
    conn.execute(
        sa.insert(api_keys).values(
            id=key.id,
            project=key.project,
            name=key.name,
            role=key.role,
            hash=_hashed("key", f"{key_id}:{secret}"),
            hint=key.hint,
            created_by=created_by[:255],
            created_ns=now_ns,
            expires_ns=expires_ns,
        )
    )
    return key, f"wk_{key_id}_{secret}{_checksum(key_id, secret)}"


def _key(row: Any) -> Key:
    names = Key.__dataclass_fields__
    return Key(**{name: row[name] for name in names})


def find_key(conn: Connection, text: str, now_ns: int) -> tuple[Key | None, str]:
    """The active key of this text, else None and why: `malformed`, `unknown`, `revoked` or `expired`.

    The row is found by the key's public id and the secret compared in constant time, so timing tells nothing.
    """
    found = _KEY.match(text)
    if found is None or not hmac.compare_digest(found[3], _checksum(found[1], found[2])):
        return None, "malformed"
    row = conn.execute(sa.select(api_keys).where(api_keys.c.id == found[1])).mappings().first()
    stored = row["hash"] if row is not None else _START_HASH
    same = hmac.compare_digest(stored, _hashed("key", f"{found[1]}:{found[2]}"))
    if row is None or not same:
        return None, "unknown"
    key = _key(row)
    state = key.state(now_ns)
    return (key, "") if state == "active" else (None, state)


_START_HASH = "0" * 64


def list_keys(conn: Connection, project: str | None = None) -> list[Key]:
    """The keys of a project (None: of all), newest first, revoked ones included."""
    query = sa.select(api_keys).order_by(api_keys.c.created_ns.desc(), api_keys.c.id)
    if project is not None:
        query = query.where(api_keys.c.project == project)
    return [_key(row) for row in conn.execute(query).mappings()]


def revoke_key(conn: Connection, project: str | None, key_id: str, now_ns: int) -> Key | None:
    """Revoke a key of this project (None: of any); the key as it was, None when there is no such active key."""
    query = sa.select(api_keys).where(api_keys.c.id == key_id, api_keys.c.revoked_ns.is_(None))
    if project is not None:
        query = query.where(api_keys.c.project == project)
    row = conn.execute(query).mappings().first()
    if row is None:
        return None
    conn.execute(sa.update(api_keys).where(api_keys.c.id == key_id).values(revoked_ns=now_ns))
    return _key(row)


def touch_keys(conn: Connection, used: dict[str, int]) -> None:
    """Note when keys were last used, by key id."""
    for key_id, time_ns in used.items():
        conn.execute(sa.update(api_keys).where(api_keys.c.id == key_id).values(last_used_ns=time_ns))


# --- people


def create_user(conn: Connection, email: str, now_ns: int) -> str:
    """A new person's id. Raises `AccessRefused` when the address is malformed or taken."""
    clean = email.strip().lower()
    if not _EMAIL.match(clean):
        raise AccessRefused(f"email: {email[:80]!r} is not an address", "write it as ann@example.com")
    if conn.execute(sa.select(users.c.id).where(users.c.email == clean)).first() is not None:
        raise AccessRefused(f"there is already a user {clean}", "change the role of the one that is there")
    user_id = secrets.token_hex(12)
    conn.execute(sa.insert(users).values(id=user_id, email=clean, created_ns=now_ns))
    return user_id


def set_role(conn: Connection, user_id: str, project: str, role: str | None) -> str | None:
    """Give a person a role in a project (`*`: in all), or take it away with None; returns the role before."""
    check_project(project, every=True)
    mine = sa.and_(memberships.c.user_id == user_id, memberships.c.project == project)
    before = conn.execute(sa.select(memberships.c.role).where(mine)).scalar_one_or_none()
    conn.execute(sa.delete(memberships).where(mine))
    if role is not None:
        _check_role(role)
        conn.execute(sa.insert(memberships).values(user_id=user_id, project=project, role=role))
    return before


def find_user(conn: Connection, email_or_id: str) -> dict[str, Any] | None:
    """A person by address or id with their roles, else None."""
    wanted = email_or_id.strip()
    match = sa.or_(users.c.email == wanted.lower(), users.c.id == wanted)
    row = conn.execute(sa.select(users).where(match)).mappings().first()
    return None if row is None else _person(row, _roles(conn, row["id"]))


def list_users(conn: Connection) -> list[dict[str, Any]]:
    """Everyone, by address, with roles by project."""
    rows = conn.execute(sa.select(users).order_by(users.c.email)).mappings().all()
    return [_person(row, _roles(conn, row["id"])) for row in rows]


def disable_user(conn: Connection, user_id: str, now_ns: int) -> bool:
    """Shut a person out and end their sessions; False when there is no such active person."""
    active = sa.and_(users.c.id == user_id, users.c.disabled_ns.is_(None))
    done = conn.execute(sa.update(users).where(active).values(disabled_ns=now_ns)).rowcount
    conn.execute(sa.delete(tokens).where(tokens.c.user_id == user_id))
    return done == 1


def _roles(conn: Connection, user_id: str) -> dict[str, str]:
    rows = conn.execute(sa.select(memberships).where(memberships.c.user_id == user_id)).mappings()
    return {row["project"]: row["role"] for row in rows}


def _person(row: Any, roles: dict[str, str]) -> dict[str, Any]:
    return {
        "id": row["id"],
        "email": row["email"],
        "created_ns": row["created_ns"],
        "disabled": row["disabled_ns"] is not None,
        "roles": roles,
    }


# --- login links and sessions


def _token(conn: Connection, kind: str, user_id: str, now_ns: int, life_ns: int) -> str:
    text = secrets.token_urlsafe(32)
    conn.execute(
        sa.insert(tokens).values(
            hash=_hashed(kind, text),
            kind=kind,
            user_id=user_id,
            created_ns=now_ns,
            expires_ns=now_ns + life_ns,
        )
    )
    return text


def create_login(conn: Connection, user_id: str, now_ns: int) -> str:
    """A one-time login token for a person, valid for 24 hours."""
    return _token(conn, "login", user_id, now_ns, LOGIN_LIFE_NS)


def log_in(conn: Connection, token: str, now_ns: int) -> tuple[Session, str] | None:
    """Use up a login token and open a session: the session and its cookie's secret; None when it is not valid."""
    unused = sa.and_(
        tokens.c.hash == _hashed("login", token),
        tokens.c.kind == "login",
        tokens.c.used_ns.is_(None),
        tokens.c.expires_ns > now_ns,
    )
    # Claimed by a conditional update, so that of two clicks on one link only one gets a session.
    if conn.execute(sa.update(tokens).where(unused).values(used_ns=now_ns)).rowcount != 1:
        return None
    owner = sa.select(tokens.c.user_id).where(tokens.c.hash == _hashed("login", token))
    secret = _token(conn, "session", conn.execute(owner).scalar_one(), now_ns, SESSION_IDLE_NS)
    session = find_session(conn, secret, now_ns)
    return None if session is None else (session, secret)


def find_session(conn: Connection, secret: str, now_ns: int) -> Session | None:
    """The person behind a session cookie, None when it expired, ended, or the person was shut out."""
    query = (
        sa.select(tokens.c.created_ns, tokens.c.expires_ns, users.c.id, users.c.email)
        .join(users, users.c.id == tokens.c.user_id)
        .where(tokens.c.hash == _hashed("session", secret), tokens.c.kind == "session")
        .where(tokens.c.expires_ns > now_ns, users.c.disabled_ns.is_(None))
    )
    row = conn.execute(query).mappings().first()
    if row is None or row["created_ns"] + SESSION_LIFE_NS <= now_ns:
        return None
    return Session(row["id"], row["email"], _roles(conn, row["id"]), row["expires_ns"], row["created_ns"])


def needs_extension(session: Session, now_ns: int) -> bool:
    """Whether the session's idle time should be written forward; at most once in ten minutes."""
    return session.expires_ns - now_ns < SESSION_IDLE_NS - _TOUCH_NS


def extend_session(conn: Connection, secret: str, now_ns: int) -> None:
    """Start the idle time again; the seven days a session may last in all are not extended."""
    mine = sa.and_(tokens.c.hash == _hashed("session", secret), tokens.c.kind == "session")
    conn.execute(sa.update(tokens).where(mine).values(expires_ns=now_ns + SESSION_IDLE_NS))


def log_out(conn: Connection, secret: str) -> None:
    """End a session."""
    conn.execute(sa.delete(tokens).where(tokens.c.hash == _hashed("session", secret)))


def drop_expired(conn: Connection, now_ns: int) -> int:
    """Delete tokens that can no longer be used; how many."""
    return conn.execute(sa.delete(tokens).where(tokens.c.expires_ns <= now_ns)).rowcount


def first_login(conn: Connection, now_ns: int) -> str | None:
    """On a fresh database: make the first admin and a login token for it. None when there is already somebody."""
    if conn.execute(sa.select(users.c.id).limit(1)).first() is not None:
        return None
    user_id = create_user(conn, "admin@localhost", now_ns)
    set_role(conn, user_id, EVERY_PROJECT, "admin")
    ensure_project(conn, "default", now_ns)
    return create_login(conn, user_id, now_ns)

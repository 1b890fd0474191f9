"""What belongs to one installation: its secrets, and where its data is."""

import hashlib
import os
import secrets
from pathlib import Path

import msgspec
from sqlalchemy.engine import Connection

from watchkeeper.store.damage import FOLDER, set_aside
from watchkeeper.store.records import migrate, states
from watchkeeper.store.records.engine import Records

SECRETS = ("secrets.json", "secrets.copy.json")


class InstallSecrets(msgspec.Struct, omit_defaults=True):
    """What is this installation's alone: the key of hashed user ids and the salt of sampling. Lost, they cannot be
    made again: old hashes then match nothing. So there are two copies, and `check` tells which of them is whole."""

    hash_key: str
    sampling_salt: str
    check: str = ""

    def sum(self) -> str:
        """What `check` must be."""
        return hashlib.sha256(f"{self.hash_key} {self.sampling_salt}".encode()).hexdigest()


def install_secrets(data_dir: Path) -> InstallSecrets:
    """Read the data directory's secrets, making them (mode 0600) on the first start; a damaged copy is set aside and
    replaced by the other, and both by new ones."""
    whole = {name: _read(data_dir / name) for name in SECRETS}
    made = next((s for s in whole.values() if s is not None), None)
    if made is None:
        made = InstallSecrets(secrets.token_hex(32), secrets.token_hex(16))
    made.check = made.sum()
    text = msgspec.json.encode(made)
    for name in SECRETS:
        path = data_dir / name
        if whole[name] is None and path.exists():
            set_aside(
                data_dir / FOLDER,
                path,
                f"the secrets in {name}",
                "it cannot be read, or its checksum differs",
            )
        if not path.exists() or path.read_bytes() != text:
            try:
                _write(path, text)
            except OSError:
                # A full disk must not keep a server from starting that has its secrets.
                if not any(whole.values()):
                    raise
    return made


def _write(path: Path, text: bytes) -> None:
    fresh = path.with_suffix(".new")
    fresh.touch(mode=0o600)
    fresh.write_bytes(text)
    fresh.replace(path)


def _read(path: Path) -> InstallSecrets | None:
    try:
        found = msgspec.json.decode(path.read_bytes(), type=InstallSecrets)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return found if found.check in ("", found.sum()) else None


def shared_secrets(records: Records, mine: InstallSecrets) -> InstallSecrets:
    """The secrets of all processes on one PostgreSQL: those of the first that came. With others, hashed users would not be
    found again, and one trace would be sampled here and not there (blocking)."""
    if records.is_sqlite:
        return mine

    def work(connection: Connection) -> InstallSecrets:
        found = states.get(connection, "*", "installation", "secrets")
        if found is not None:
            return msgspec.convert(found, InstallSecrets)
        states.put(connection, "*", "installation", "secrets", msgspec.to_builtins(mine), 0)
        return mine

    return records.write_now(work)


class Stores(msgspec.Struct, frozen=True):
    """Where the data is. `columns`: `chdb:///path` or `clickhouse://user:password@host:port/database` (`clickhouses://` with
    TLS); `records`: `sqlite:///path` or `postgresql://user:password@host:port/database`."""

    columns: str
    records: str

    @classmethod
    def of(cls, data_dir: Path, columns: str | None = None, records: str | None = None) -> "Stores":
        """These, and a data directory's own for what is not given."""
        return cls(
            columns or f"chdb://{os.path.abspath(data_dir)}/columns", records or migrate.url_of(data_dir)
        )

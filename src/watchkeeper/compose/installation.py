"""What belongs to one data directory: its secrets and its column store."""

import os
import secrets
from pathlib import Path

import msgspec


class InstallSecrets(msgspec.Struct):
    """What is this installation's alone: the key of hashed user ids and the salt of sampling. Lost, they cannot be
    made again: old hashes then match nothing."""

    hash_key: str
    sampling_salt: str


def install_secrets(data_dir: Path) -> InstallSecrets:
    """Read the data directory's secrets, making them (mode 0600) on the first start."""
    path = data_dir / "secrets.json"
    if not path.exists():
        made = InstallSecrets(secrets.token_hex(32), secrets.token_hex(16))
        fresh = path.with_suffix(".new")
        fresh.touch(mode=0o600)
        fresh.write_bytes(msgspec.json.encode(made))
        fresh.replace(path)
    return msgspec.json.decode(path.read_bytes(), type=InstallSecrets)


def columns_dsn(data_dir: Path) -> str:
    """The embedded column store of a data directory."""
    return f"chdb://{os.path.abspath(data_dir)}/columns"

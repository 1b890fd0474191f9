"""PostgreSQL for tests: the server that WATCHKEEPER_TEST_POSTGRES names, or one started here from its programs."""

import glob
import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Generator
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.serving import free_port
from watchkeeper.store.records import migrate
from watchkeeper.store.records.engine import Records
from watchkeeper.store.records.tables import metadata

VARIABLE = "WATCHKEEPER_TEST_POSTGRES"
NOT_HERE = f"no PostgreSQL: set {VARIABLE}=postgresql://…, or install its server (apt-get install postgresql)"
# Fast: what was committed outlives a crash of the server, if not one of the machine.
CARELESS = ("fsync=off", "full_page_writes=off", "max_connections=100")


def programs() -> Path | None:
    """The folder of `initdb` and `postgres`, the newest of those installed."""
    found = shutil.which("postgres")
    beside = [Path(found).resolve().parent] if found else []
    installed = [Path(p).parent for p in glob.glob("/usr/lib/postgresql/*/bin/postgres")]
    whole = [f for f in (*beside, *installed) if (f / "initdb").exists()]
    return max(whole, key=lambda f: int(f.parent.name) if f.parent.name.isdigit() else 0, default=None)


class Postgres:
    """A server of its own in `folder`; `start` and `kill` may alternate. It does not run as root, so neither does this."""

    def __init__(self, folder: Path, bin_folder: Path) -> None:
        self.port = free_port()
        self.url = f"postgresql://keeper:s%40cret@127.0.0.1:{self.port}/postgres"
        self._bin, self._folder = bin_folder, folder
        self._as: dict[str, object] = {}
        if os.geteuid() == 0:
            self._as = {"user": "nobody", "group": "nogroup", "extra_groups": []}
            shutil.chown(folder, "nobody", "nogroup")
        secret = folder / "password"
        secret.write_text("s@cret")
        secret.chmod(0o644)
        self._run(
            "initdb", "-D", str(folder / "data"), "-U", "keeper", f"--pwfile={secret}", "-A", "scram-sha-256",
            "-E", "UTF8", "--locale=C", "--no-sync",
        )  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    def _run(self, name: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(self._bin / name), *arguments], capture_output=True, cwd=self._folder, **self._as
        )  # type: ignore[call-overload]
        assert done.returncode == 0, done.stderr.decode()

    def start(self) -> "Postgres":
        """Start it; returns when it answers."""
        settings = [x for s in CARELESS for x in ("-c", s)]
        where = [
            "-D",
            str(self._folder / "data"),
            "-p",
            str(self.port),
            "-k",
            str(self._folder),
            "-h",
            "127.0.0.1",
        ]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(self._bin / "postgres"), *where, *settings],
                stdout=log,
                stderr=log,
                cwd=self._folder,
                **self._as,
            )  # type: ignore[call-overload]
        engine = sa.create_engine(self.url.replace("postgresql:", "postgresql+psycopg:"))
        for _ in range(600):
            try:
                engine.connect().close()
                break
            except sa.exc.OperationalError:
                time.sleep(0.1)
        engine.dispose()
        return self

    def kill(self) -> None:
        """End it at once, as a crash would."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait()
            self._process = None


def _in(url: str, statement: str) -> None:
    engine = sa.create_engine(
        url.replace("postgresql:", "postgresql+psycopg:"), isolation_level="AUTOCOMMIT", poolclass=sa.NullPool
    )
    with engine.connect() as connection:
        connection.exec_driver_sql(statement)


@pytest.fixture(scope="session")
def postgres_server() -> Generator[str]:
    """The address of a database of a PostgreSQL where more may be made; skips where there is none."""
    pytest.importorskip("psycopg", reason="the driver of PostgreSQL is not installed")
    given = os.environ.get(VARIABLE)
    if given:
        yield given
        return
    found = programs()
    if found is None:
        pytest.skip(NOT_HERE)
    folder = Path(tempfile.mkdtemp(prefix="watchkeeper-postgres-"))
    server = Postgres(folder, found)
    try:
        yield server.start().url
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)


def fresh(server: str) -> str:
    """A new empty database beside the given one; its address."""
    name = f"wk_{uuid.uuid4().hex[:12]}"
    _in(server, f"CREATE DATABASE {name} TEMPLATE template0")
    return f"{server.rpartition('/')[0]}/{name}"


@pytest.fixture(scope="session")
def migrated(postgres_server: str) -> Generator[str]:
    """The address of a database with our tables; gone at the end."""
    url = fresh(postgres_server)
    records = Records(url)
    migrate.upgrade(records)
    records.close()
    yield url
    _in(postgres_server, f"DROP DATABASE IF EXISTS {url.rpartition('/')[2]} WITH (FORCE)")


@pytest.fixture
def postgres_url(migrated: str) -> str:
    """The address of a database with our tables and nothing in them."""
    _in(migrated, f"TRUNCATE {', '.join(sorted(metadata.tables))} RESTART IDENTITY CASCADE")
    _in(migrated, f"UPDATE alembic_version SET version_num = '{migrate.latest()}'")
    return migrated


@pytest.fixture(params=["sqlite", "postgresql"])
def records_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where the records of a test are: both kinds of database in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/records.db"
    return request.getfixturevalue("postgres_url")


@pytest.fixture
def records(records_url: str) -> Generator[Records]:
    """Records with our tables, of both kinds in turn."""
    made = Records(records_url)
    migrate.upgrade(made)
    yield made
    made.close()

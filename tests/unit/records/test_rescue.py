"""A damaged records database: what can be read is kept, and nothing is called damaged that is not."""

import sqlite3
from pathlib import Path

import msgspec
import pytest

from watchkeeper.compose.installation import InstallSecrets, install_secrets
from watchkeeper.store import damage
from watchkeeper.store.records import migrate, states
from watchkeeper.store.records.engine import Records
from watchkeeper.store.records.rescue import rescue

PAGE = 4096


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A closed database with 400 rows of one table."""
    records = Records(migrate.url_of(tmp_path))
    migrate.upgrade(records)
    for n in range(400):
        records.write_now(lambda c, n=n: states.put(c, "p", "kind", f"{n:04}", {"text": "x" * 200}, n))
    records.close()
    return tmp_path


def left(data: Path) -> set[str]:
    records = Records(migrate.url_of(data))
    migrate.upgrade(records)
    found = records.read_now(lambda c: set(states.get_all(c, "p", "kind")))
    records.close()
    return found


def write(path: Path, at: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(content)


def test_a_sound_database_is_left_alone(data: Path) -> None:
    assert rescue(data) is None and damage.found(data) == []
    assert len(left(data)) == 400


def test_rows_around_a_rotten_page_are_kept_and_the_file_is_set_aside(data: Path) -> None:
    path = data / "records.db"
    with sqlite3.connect(path) as c:
        leaf = c.execute("SELECT pageno FROM dbstat WHERE name = 'states' AND pagetype = 'leaf'").fetchall()
    c.close()
    page = leaf[len(leaf) // 2][0]
    write(path, (page - 1) * PAGE, b"\xff" * PAGE)
    found = rescue(data)
    assert found is not None and found.what == "the records database" and (data / found.kept).exists()
    kept = left(data)
    assert 350 < len(kept) < 400 and {"0000", "0399"} <= kept
    assert damage.found(data) == [found]
    assert rescue(data) is None


@pytest.mark.parametrize("byte", [3, 17, 21, 47])
def test_a_flipped_bit_in_the_header_costs_no_row(data: Path, byte: int) -> None:
    path = data / "records.db"
    write(path, byte, bytes([path.read_bytes()[byte] ^ 64]))
    assert rescue(data) is not None
    assert len(left(data)) == 400


def test_an_empty_file_is_damage_only_where_something_was(data: Path) -> None:
    (data / "records.db").write_bytes(b"")
    assert rescue(data) is None
    (data / "columns").mkdir()
    (data / "columns" / "tables.json").touch()
    (data / "records.db").write_bytes(b"")
    assert rescue(data) is not None
    assert left(data) == set()


def test_an_interrupted_rescue_is_finished_by_the_next_start(data: Path) -> None:
    (data / "records.db").rename(data / "records.db.saved")
    assert rescue(data) is None
    assert len(left(data)) == 400


def test_what_was_set_aside_goes_with_its_retention(data: Path) -> None:
    write(data / "records.db", 3, b"?")
    found = rescue(data)
    assert found is not None
    assert damage.forget(data / damage.FOLDER, 0.0) == 0
    assert damage.forget(data / damage.FOLDER, 1e12) == 1
    assert not (data / found.kept).exists() and damage.found(data) == []


def test_a_flipped_secret_is_known_by_its_checksum_and_comes_from_the_copy(tmp_path: Path) -> None:
    made = install_secrets(tmp_path)
    path = tmp_path / "secrets.json"
    other = "0" if made.hash_key[0] != "0" else "1"
    path.write_bytes(path.read_bytes().replace(made.hash_key.encode(), (other + made.hash_key[1:]).encode()))
    assert install_secrets(tmp_path) == made
    path.write_bytes(b"")
    assert install_secrets(tmp_path) == made
    assert len(damage.found(tmp_path)) == 2


def test_secrets_of_an_earlier_version_are_kept_and_get_their_copy(tmp_path: Path) -> None:
    before = InstallSecrets("a" * 64, "b" * 32)
    (tmp_path / "secrets.json").write_bytes(msgspec.json.encode(before))
    made = install_secrets(tmp_path)
    assert (made.hash_key, made.sampling_salt) == (before.hash_key, before.sampling_salt)
    (tmp_path / "secrets.json").write_bytes(b"{")
    assert install_secrets(tmp_path) == made

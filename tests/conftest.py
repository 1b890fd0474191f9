"""What holds for every test."""

from hypothesis import settings

from tests.clickhouse import columns_url
from tests.postgres import migrated, postgres_server, postgres_url, records, records_url

__all__ = ["columns_url", "migrated", "postgres_server", "postgres_url", "records", "records_url"]

# How long an example takes says how busy the machine is.
settings.register_profile("watchkeeper", deadline=None)
settings.load_profile("watchkeeper")


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """A body is named by its argument: the processes of one run must agree on names, and what is compressed may carry the time."""
    return argname if isinstance(val, bytes) else None

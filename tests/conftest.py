"""What holds for every test."""

from hypothesis import settings

from tests.clickhouse import columns_url
from tests.postgres import migrated, postgres_server, postgres_url, records, records_url

__all__ = ["columns_url", "migrated", "postgres_server", "postgres_url", "records", "records_url"]

# How long an example takes says how busy the machine is.
settings.register_profile("watchkeeper", deadline=None)
settings.load_profile("watchkeeper")

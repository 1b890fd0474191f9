"""The column store on ClickHouse through clickhouse-connect: embedded (`chdb:///path`) or a server, one SQL."""

from watchkeeper.store.clickhouse.store import ClickHouseColumns, open_columns

__all__ = ["ClickHouseColumns", "open_columns"]

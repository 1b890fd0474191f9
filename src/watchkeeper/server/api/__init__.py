"""The JSON API: one module per noun, each handler declaring its permission."""

from watchkeeper.server.api import (
    admin,
    alerts,
    backtest,
    datasets,
    deploys,
    feedback,
    guard,
    keys,
    reviews,
    series,
    signals,
    sql,
    traces,
)

MODULES = (
    traces,
    sql,
    feedback,
    guard,
    deploys,
    series,
    alerts,
    backtest,
    reviews,
    signals,
    datasets,
    keys,
    admin,
)

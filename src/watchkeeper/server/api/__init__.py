"""The JSON API: one module per noun, each handler declaring its permission."""

from watchkeeper.server.api import (
    admin,
    alerts,
    backtest,
    datasets,
    deploys,
    experiments,
    feedback,
    guard,
    incidents,
    keys,
    reviews,
    scorers,
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
    incidents,
    backtest,
    reviews,
    signals,
    scorers,
    datasets,
    experiments,
    keys,
    admin,
)

"""Logistic models whose coefficients ship as data."""

import math
from functools import lru_cache
from importlib import resources
from operator import mul
from typing import Any

import msgspec


class Linear(msgspec.Struct, frozen=True):
    """P(yes) = σ(intercept + Σ weightᵢ·xᵢ); `features` names the inputs in order; `fitted_on` says where it is from."""

    features: tuple[str, ...]
    weights: tuple[float, ...]
    intercept: float
    fitted_on: str
    scale: float = 1.0

    def logit(self, x: list[float]) -> float:
        if len(x) != len(self.weights):
            raise ValueError(f"{len(x)} features for {len(self.weights)} weights")
        return self.intercept + sum(map(mul, self.weights, x))

    def probability(self, x: list[float]) -> float:
        """Between 0 and 1; `scale` below 1 flattens it so that a score spreads over its range."""
        z = max(-30.0, min(30.0, self.logit(x) * self.scale))
        return 1.0 / (1.0 + math.exp(-z))


@lru_cache(maxsize=8)
def load(name: str) -> Linear:
    """The shipped model `name`."""
    raw = resources.files("watchkeeper.scoring.data").joinpath(f"{name}.json").read_bytes()
    return msgspec.json.decode(raw, type=Linear)


def raw(name: str) -> Any:
    """The same as plain data, for versions."""
    return msgspec.to_builtins(load(name))

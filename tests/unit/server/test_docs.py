"""What exists is documented."""

import argparse
from pathlib import Path

import pytest
from pydantic import BaseModel

from watchkeeper.cli.main import parser
from watchkeeper.config import models
from watchkeeper.server.app import surface_routes

DOCS = Path(__file__).resolve().parents[3] / "docs"


API = [
    r for r in surface_routes() if r.kind == "json" and r.handler.__module__.startswith("watchkeeper.server")
]


@pytest.mark.parametrize("route", API, ids=lambda r: f"{r.method} {r.path}")
def test_it_documents_every_route(route: object) -> None:
    assert f"`{route.method} {route.path}` | {route.permission} |" in (DOCS / "api.md").read_text()  # type: ignore[attr-defined]


def test_it_documents_every_setting() -> None:
    text = (DOCS / "configuration.md").read_text()
    missing = [
        f"{name}.{field}"
        for name, model in vars(models).items()
        if isinstance(model, type) and issubclass(model, BaseModel) and model.__module__ == models.__name__
        for field in model.model_fields
        if f"`{field}" not in text
        and f".{field}`" not in text
        and f"{field}`" not in text
        and f"{field}," not in text
        and not any(line.startswith("## ") and field in line for line in text.splitlines())
    ]
    assert missing == []
    assert all(f"`{section}`" in text for section in models.NOT_AVAILABLE)


def test_it_documents_every_command() -> None:
    text = (DOCS / "cli.md").read_text()
    (commands,) = [a for a in parser()._actions if isinstance(a, argparse._SubParsersAction)]
    assert [c for c in commands.choices if f"`{c}" not in text] == []

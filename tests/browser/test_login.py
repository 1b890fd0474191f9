"""Signing in, in a browser: what form posts carry there is not what a test client sends."""

from typing import Any

import pytest

from tests.browser.conftest import serving
from tests.unit.web.world import build
from watchkeeper.store.records import access


def test_it_signs_in_by_a_one_time_link_and_out_again(
    chromium: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("login")
    with serving(lambda: build(folder, 0, no_auth=False)) as (world, base):
        made = world.services.records.write_now(lambda c: access.first_login(c, world.services.wall_clock()))
        page = chromium.new_context(base_url=base).new_page()
        page.goto("/traces?range=7d")
        assert "/login?next=/traces" in page.url
        page.goto(f"/login?token={made}&next=/traces")
        page.locator("button").click()
        page.wait_for_url("**/traces")
        assert page.locator("h1").inner_text() == "Traces"
        page.locator("form[action='/logout'] button").click()
        page.wait_for_url("**/login*")
        page.goto("/")
        assert "/login" in page.url
        page.context.close()

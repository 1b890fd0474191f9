"""Pages in a real browser: Debian's Chromium driven by Playwright, served from a thread of the test process."""

import asyncio
import shutil
import threading
import time
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from tests.serving import free_port
from tests.unit.web.world import World

CHROMIUM = next((p for p in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if p), None)
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
# Nothing takes this long: it only guards against a hang, on a machine that is busy with other tests.
HANG_SECONDS = 120


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs a browser; without one it is skipped with the reason."""
    here = Path(__file__).parent
    for item in items:
        if here in Path(str(item.path)).parents:
            item.add_marker(pytest.mark.browser)
            if CHROMIUM is None:
                item.add_marker(pytest.mark.skip(reason="needs Chromium: apt-get install chromium"))


def until(page: Any, truth: str) -> None:
    """Wait for an expression to be true. Playwright's own way evaluates text in the page, which the policy forbids."""
    deadline = time.monotonic() + HANG_SECONDS
    while not page.evaluate(truth):
        assert time.monotonic() < deadline, f"never true: {truth}"
        page.wait_for_timeout(25)


def painted(page: Any, name: str) -> Callable[..., Any]:
    """The page's way `name` of arriving somewhere, which returns only once the page is drawn: Chromium drops the keys and
    clicks that reach a document before its first frame, so on a busy machine a test would press into the void."""
    arrive = getattr(page, name)

    def arrived(*args: Any, **kwargs: Any) -> Any:
        answer = arrive(*args, **kwargs)
        page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        return answer

    return arrived


def patient(make: Callable[..., Any]) -> Callable[..., Any]:
    """A browser's way to make contexts, which then wait as long as a busy machine needs."""

    def made(**how: Any) -> Any:
        context = make(**how)
        context.set_default_timeout(HANG_SECONDS * 1000)
        return context

    return made


def opened(chromium: Any, base: str, **how: Any) -> Any:
    """A page in a context of its own, with `complaints`: whatever the browser says is wrong, and every answer from 400 on."""
    made = chromium.new_context(base_url=base, **how).new_page()
    for name in ("goto", "reload", "wait_for_url"):
        setattr(made, name, painted(made, name))
    made.complaints = []
    made.on("console", lambda m: made.complaints.append(m.text) if m.type in ("error", "warning") else None)
    made.on("pageerror", lambda e: made.complaints.append(str(e)))
    # What a page had asked for when it was left is aborted: that is no complaint.
    made.on(
        "requestfailed",
        lambda r: made.complaints.append(r.url) if r.failure != "net::ERR_ABORTED" else None,
    )
    made.on("response", lambda r: made.complaints.append(f"{r.status} {r.url}") if r.status >= 400 else None)
    return made


@contextmanager
def serving(make: Callable[[], Awaitable[World]]) -> Generator[tuple[World, str]]:
    """The world `make` builds, served over HTTP by a thread with an event loop of its own."""
    port = free_port()
    ready = threading.Event()
    made: list[World] = []
    failed: list[BaseException] = []
    servers: list[uvicorn.Server] = []

    async def run() -> None:
        try:
            world = await make()
            made.append(world)
            server = uvicorn.Server(
                uvicorn.Config(
                    world.app, port=port, log_level="error", lifespan="off", timeout_graceful_shutdown=3
                )
            )
            servers.append(server)
            serve = asyncio.create_task(server.serve())
            # uvicorn says that it listens by a flag alone.
            while not server.started:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            ready.set()
            await serve
            await world.close()
        except BaseException as error:
            failed.append(error)
            ready.set()
            raise

    thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
    thread.start()
    assert ready.wait(600), "the world was not built"
    if failed:
        raise failed[0]
    try:
        yield made[0], f"http://127.0.0.1:{port}"
    finally:
        servers[0].should_exit = True
        thread.join(HANG_SECONDS)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """One browser for a module's tests: while it is there no other event loop can run in this thread, and other tests need one."""
    driver_of = pytest.importorskip(
        "playwright.sync_api", reason="needs the package playwright"
    ).sync_playwright
    with driver_of() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        browser.new_context = patient(browser.new_context)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Any, world: tuple[World, str]) -> Iterator[Any]:
    """A page of the module's `world`; the test fails when the browser complains about anything."""
    made = opened(chromium, world[1], viewport={"width": 1440, "height": 900})
    made.context.grant_permissions(["clipboard-read", "clipboard-write"])
    yield made
    # A page that is left while it loads cancels what it had asked for: that is no complaint.
    assert [c for c in made.complaints if not c.startswith("http")] == []
    made.context.close()

"""The trace's page over the real store: one step alone, pictures that came with a message, a tree that is narrowed."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from tests.unit.web.world import NOW, PROJECT, World, build, spans_of, turns
from watchkeeper.config.models import Config, Privacy
from watchkeeper.dialects import assemble, derive, normalise
from watchkeeper.model.span import LogRecord, RawSpan, Trace
from watchkeeper.server import reading
from watchkeeper.store.columns import Retention, SpanRow, TraceRow
from watchkeeper.store.records import access

pytestmark = pytest.mark.asyncio(loop_scope="module")
TRACE = "c" * 32
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(64))
PAGE = b"<script>xss()</script>" * 4


def part(data: bytes) -> dict[str, str]:
    return {
        "type": "blob",
        "modality": "image",
        "mime_type": "image/png",
        "content": base64.b64encode(data).decode(),
    }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[tuple[httpx.AsyncClient, World, str]]:
    world = await build(tmp_path_factory.mktemp("trace"), 40, seed=3, roll=False)
    number, _, turn, scenario = next(turns(1, 5))
    raws = spans_of(turn, TRACE, NOW - 10**10, number, scenario)
    call = next(r for r in raws if "gen_ai.input.messages" in r.attributes)
    asked = [{"role": "user", "parts": [{"type": "text", "content": "what is it?"}, part(PAGE), part(PNG)]}]
    call.attributes["gen_ai.input.messages"] = json.dumps(asked)
    made = [normalise(raw) for raw in raws]
    await world.columns.write_spans([SpanRow(PROJECT, s, NOW) for s in made], [])
    await world.columns.write_traces([TraceRow(PROJECT, assemble(made, []), [], 1.0, "all", NOW)])
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(world.app), base_url="http://127.0.0.1"
    ) as client:
        yield client, world, call.span_id
    await world.close()


Browser = tuple[httpx.AsyncClient, World, str]


async def test_it_answers_one_step_alone(browser: Browser) -> None:
    client, _, call = browser
    answer = await client.get(f"/traces/{TRACE}/step", params={"span": call})
    assert answer.status_code == 200
    assert f'data-span="{call}"' in answer.text
    assert "<html" not in answer.text


async def test_a_picture_is_shown_and_what_only_says_that_it_is_one_is_not(browser: Browser) -> None:
    client, _, call = browser
    page = (await client.get(f"/traces/{TRACE}", params={"span": call})).text
    assert page.count("<img") == 1
    assert "part=1" in page
    answer = await client.get(f"/traces/{TRACE}/media", params={"span": call, "part": "1"})
    assert (answer.status_code, answer.content) == (200, PNG)
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("span", "place"), [(None, "0"), (None, "2"), (None, "-1"), (None, ""), ("0" * 16, "1")]
)
async def test_it_answers_no_other_media(browser: Browser, span: str | None, place: str) -> None:
    client, _, call = browser
    answer = await client.get(f"/traces/{TRACE}/media", params={"span": span or call, "part": place})
    assert answer.status_code == 404


async def test_a_long_conversation_shows_its_beginning_and_its_end_and_folds_what_is_between(
    browser: Browser,
) -> None:
    client, world, _ = browser
    number, _, turn, scenario = next(turns(1, 6))
    raws = spans_of(turn, "d" * 32, NOW - 10**10, number, scenario)
    call = next(r for r in raws if "gen_ai.input.messages" in r.attributes)
    said = [
        {"role": ("user", "assistant")[n % 2], "parts": [{"type": "text", "content": f"message {n} of it"}]}
        for n in range(60)
    ]
    call.attributes["gen_ai.input.messages"] = json.dumps(said)
    made = [normalise(raw) for raw in raws]
    await world.columns.write_spans([SpanRow(PROJECT, s, NOW) for s in made], [])
    await world.columns.write_traces([TraceRow(PROJECT, assemble(made, []), [], 1.0, "all", NOW)])
    page = (await client.get(f"/traces/{'d' * 32}/step", params={"span": call.span_id})).text
    text = page.partition("Everything the client sent")[0]
    before, _, rest = text.partition("messages in between")
    folded, _, after = rest.partition("</details></li>")
    assert "message 0 of it" in before and "message 30 of it" not in before
    assert "message 30 of it" in folded
    assert "message 59 of it" in after and "message 30 of it" not in after
    assert text.count(" of it<") == 60


async def test_a_role_without_content_sees_no_picture(browser: Browser) -> None:
    client, world, call = browser
    holder = world.services.config
    before = holder.current
    _, key = await world.services.records.write(
        lambda c: access.create_key(
            c, project=PROJECT, name="looker", role="viewer", created_by="t", now_ns=NOW
        )
    )
    holder.current = Config(privacy=Privacy(content_role="editor"))  # pyright: ignore[reportCallIssue]
    world.services.no_auth = False
    headers = {"authorization": f"Bearer {key}"}
    try:
        picture = await client.get(
            f"/traces/{TRACE}/media", params={"span": call, "part": "1"}, headers=headers
        )
        step = await client.get(f"/traces/{TRACE}/step", params={"span": call}, headers=headers)
    finally:
        holder.current = before
        world.services.no_auth = True
    assert picture.status_code == 403
    assert "hidden for your role" in step.text
    assert "<img" not in step.text
    assert "what is it?" not in step.text


async def test_a_narrowed_tree_selects_what_it_shows(browser: Browser) -> None:
    client, _, call = browser
    page = (await client.get(f"/traces/{TRACE}", params={"find": "retrieval"})).text
    assert f'data-span="{call}"' not in page
    nothing = (await client.get(f"/traces/{TRACE}", params={"find": "no such words"})).text
    assert "No span matches." in nothing
    assert f'data-span="{call}"' in nothing


async def test_a_large_trace_is_put_together_once_until_something_of_it_arrives(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, world, _ = browser
    monkeypatch.setattr(reading, "LARGE", range(2, 100))
    made: list[int] = []

    def counted(raw: list[RawSpan], logs: list[LogRecord]) -> Trace:
        made.append(len(raw))
        return derive(raw, logs)

    monkeypatch.setattr(reading, "derive", counted)
    step = f"/traces/{world.trace_ids[0]}/step"
    answers = [(await client.get(step)).text for _ in range(4)]
    # The first look says that it is large, the second holds it.
    assert len(made) == 2
    assert len(set(answers)) == 1
    trace_id = world.trace_ids[0]
    late = normalise(RawSpan(
        trace_id, "f" * 16, None, "late and loud", "internal", NOW, NOW + 1, "ok", None, {}, [], [], {},
    ))  # fmt: skip
    await world.columns.write_spans([SpanRow(PROJECT, late, NOW)], [])
    assert "late and loud" in (await client.get(step, params={"span": "f" * 16})).text
    assert len(made) == 3


async def test_it_holds_few_traces_and_lets_them_go(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, world, _ = browser
    monkeypatch.setattr(reading, "LARGE", range(2, 100))
    monkeypatch.setattr(reading, "HELD_SECONDS", 0.0)
    world.services.held.clear()
    for trace_id in world.trace_ids[:5]:
        await client.get(f"/traces/{trace_id}/step")
        assert len(world.services.held) <= reading.HELD
    await asyncio.sleep(0.01)
    assert not world.services.held


# Last, because nothing else is left of the module's traces then.
async def test_a_trace_whose_texts_have_passed_their_retention_shows_its_steps_and_offers_nothing_that_needs_them(
    browser: Browser,
) -> None:
    client, world, call = browser
    await world.columns.expire(NOW + 10 * 86_400 * 10**9, Retention(5, 90, 400))
    page = await client.get(f"/traces/{TRACE}")
    assert page.status_code == 200 and "passed their retention" in page.text
    assert "what is it?" not in page.text and "gpt-4o-mini" in page.text
    for absent in ("Make it a case", "watchkeeper replay", "compare-b", "As curl"):
        assert absent not in page.text
    for path in (f"step?span={call}", "panel"):
        part = await client.get(f"/traces/{TRACE}/{path}")
        assert part.status_code == 200 and "passed their retention" in part.text
    for path in ("raw", f"media?span={call}&part=0.1"):
        refused = await client.get(f"/traces/{TRACE}/{path}")
        assert refused.status_code == 404 and "passed its retention" in refused.text
    told = (await client.get(f"/api/traces/{TRACE}?project={PROJECT}")).json()
    assert told["content_gone"] and len(told["spans"]) > 2 and told["input_text"] is None

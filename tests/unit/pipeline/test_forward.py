"""What answers mean, how requests are cut, and what the configuration may say."""

import pytest

from watchkeeper.config import adapters
from watchkeeper.config.load import load_text
from watchkeeper.config.problems import ConfigError
from watchkeeper.dialects.outgoing import evaluation_of
from watchkeeper.egress.http import Answer
from watchkeeper.model.score import Score
from watchkeeper.pipeline.forward import BATCH_BYTES, batches, encoded, verdict_of
from watchkeeper.store.columns import Fed, Position
from watchkeeper.wire.otlp import decode, export_response, partial_success

SCORE = Score(
    "p", "ab" * 16, "cd" * 8, "helpful", "3", "judge", 1, 2_000, value=0.5, reason="so so", judge_model="o:m"
)


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (Answer(200), "sent"),
        (Answer(202), "sent"),
        (Answer(429), "later"),
        (Answer(500), "later"),
        (Answer(503), "later"),
        (Answer(599), "later"),
        (Answer(None, reason="no answer in time"), "later"),
        (Answer(None, reason="not allowed", refused=True), "blocked"),
        (Answer(401), "blocked"),
        (Answer(404), "blocked"),
        (Answer(301), "blocked"),
        (Answer(400), "bad"),
        (Answer(413), "bad"),
        (Answer(422), "bad"),
    ],
)
def test_an_answer_means_what_the_specification_says(answer: Answer, verdict: str) -> None:
    assert verdict_of(answer).verdict == verdict


def test_a_wish_to_wait_is_heard_and_nonsense_is_not() -> None:
    assert verdict_of(Answer(429, {"retry-after": "12"})).after_s == 12
    assert verdict_of(Answer(429, {"Retry-After": "Fri, 31 Dec"})).after_s is None


@pytest.mark.parametrize("encoding", ["protobuf", "json"])
@pytest.mark.parametrize("signal", ["traces", "logs"])
def test_a_partial_success_is_counted(signal: str, encoding: str) -> None:
    body, kind = export_response(signal, encoding, 3, "too old")
    assert partial_success(body, kind) == (3, "too old")
    told = verdict_of(Answer(200, {"Content-Type": kind}, body))
    assert (told.verdict, told.rejected, told.reason) == ("sent", 3, "too old")
    assert partial_success(b"<html>", "text/html") == (0, "")


def test_requests_hold_some_megabytes_and_every_record_once_in_order() -> None:
    fed = [Fed(Position(n), None, BATCH_BYTES // 3) for n in range(10)]
    made = batches(fed)
    assert [f.position.ns for b in made for f in b] == list(range(10)) and [len(b) for b in made] == [
        3,
        3,
        3,
        1,
    ]
    (alone,) = batches([Fed(Position(1), None, 10 * BATCH_BYTES)])
    assert len(alone) == 1 and batches([]) == []


def test_a_score_is_an_evaluation_event_with_nothing_invented() -> None:
    path, body = encoded("scores", [SCORE])
    (event,) = decode("logs", body).logs
    assert (path, event.name, event.trace_id, event.span_id, event.time_ns) == (
        "/v1/logs", "gen_ai.evaluation.result", "ab" * 16, "cd" * 8, 2_000,
    )  # fmt: skip
    assert event.attributes["gen_ai.evaluation.score.value"] == 0.5
    assert event.attributes["watchkeeper.score.judge_model"] == "o:m"
    assert "gen_ai.evaluation.score.label" not in event.attributes
    assert evaluation_of(SCORE).resource["watchkeeper.project"] == "p"


def test_a_header_comes_from_the_environment_and_a_written_one_is_doubted() -> None:
    text = "forward: [{name: other, endpoint: 'https://o.example', headers: {x-api-key: '%s'}}]"
    loaded = load_text(text % "${OTHER}", env={"OTHER": "top-secret"})
    (target,) = adapters.forward_of(loaded.config)
    assert target.headers == {"x-api-key": "top-secret"} and target.signals == ("traces", "scores")
    assert "top-secret" not in repr(loaded.config.forward[0].headers) and not loaded.warnings
    assert "written in the file" in str(load_text(text % "plain").warnings[0])
    with pytest.raises(ConfigError, match="OTHER is not set"):
        load_text(text % "${OTHER}")
    with pytest.raises(ConfigError, match="not replaced here"):
        load_text("forward: [{name: other, endpoint: '${OTHER}'}]", env={"OTHER": "https://o.example"})
    with pytest.raises(ConfigError, match="exists twice"):
        load_text("forward: [{name: a, endpoint: 'https://o'}, {name: a, endpoint: 'https://p'}]")

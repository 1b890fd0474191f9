"""Keys, sessions, projects, cross-site protection, hosts, and what every answer carries."""

import base64
from pathlib import Path

import pytest

from tests.unit.server.doubles import Rig, rig
from watchkeeper.config.models import Config
from watchkeeper.server.auth import Throttle, key_in
from watchkeeper.server.login import safe_next
from watchkeeper.server.security import CSP, bind_refusal, cross_site, host_allowed, host_of, known_hosts
from watchkeeper.store.columns import StoreUnavailable
from watchkeeper.store.records import access, audit, experiments
from watchkeeper.store.records.tables import api_keys

TRACE = "ab" * 16


@pytest.fixture
def served(tmp_path: Path) -> Rig:
    return rig(tmp_path)


async def test_it_refuses_a_key_that_is_unknown_damaged_expired_or_revoked(served: Rig) -> None:
    good = served.key("viewer")
    other = "A" if good[-1] != "A" else "B"
    now = served.services.wall_clock()
    records = served.services.records
    expired = served.key("viewer", expires_ns=now + 10**9 * 60)
    served.services.wall_clock = lambda: now + 10**9 * 120
    stored = records.read_now(lambda c: c.execute(api_keys.select()).mappings().first())
    assert stored is not None
    for wrong in (
        good[:-1] + other,
        good.replace("wk_", "xx_"),
        expired,
        stored["hash"],
        f"wk_{stored['hash']}",
        "",
    ):
        async with served.client(wrong) as client:
            answer = await client.get("/api/alerts")
            assert answer.status_code == 401, wrong
            assert wrong not in answer.text or not wrong
    async with served.client(good) as client:
        assert (await client.get("/api/alerts")).status_code == 200
        records.write_now(lambda c: access.revoke_key(c, None, good.split("_")[1], now))
        served.app.auth.forget()
        answer = await client.get("/api/alerts")
        assert answer.status_code == 401 and "revoked" in answer.json()["error"]


async def test_it_forgets_a_remembered_key_within_five_seconds(
    served: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = served.key("viewer")
    async with served.client(good) as client:
        assert (await client.get("/api/alerts")).status_code == 200
        now = served.services.wall_clock()
        served.services.records.write_now(lambda c: access.revoke_key(c, None, good.split("_")[1], now))
        import time

        later = time.monotonic() + 5
        monkeypatch.setattr("watchkeeper.server.auth.time.monotonic", lambda: later)
        assert (await client.get("/api/alerts")).status_code == 401


def test_it_keeps_no_secret_of_a_key_or_session(served: Rig, tmp_path: Path) -> None:
    secrets = [served.key("viewer"), served.session("viewer")]
    served.services.records.close()
    stored = b"".join(p.read_bytes() for p in tmp_path.iterdir() if p.is_file())
    for secret in secrets:
        assert secret.encode() not in stored and secret[-40:].encode() not in stored
        assert secret not in repr(served.services)


async def test_it_writes_failed_keys_into_the_audit_log_without_being_flooded(served: Rig) -> None:
    async with served.client("wk_nonsense") as client:
        for _ in range(50):
            await client.get("/api/alerts")
    lines = served.services.records.read_now(lambda c: audit.latest(c, None))
    refused = [line for line in lines if line["action"] == "key.refused"]
    assert 1 <= len(refused) <= 4
    assert served.services.counters.get("watchkeeper_auth_failures_total", reason="malformed") == 50
    assert "nonsense" not in str(lines)


def test_it_finds_keys_where_exporters_put_them() -> None:
    basic = base64.b64encode(b"public:wk_secret").decode()
    assert key_in({"authorization": "bearer wk_x"}, otlp=False) == "wk_x"
    assert key_in({"authorization": f"Basic {basic}"}, otlp=True) == "wk_secret"
    assert key_in({"authorization": f"Basic {basic}"}, otlp=False) == ""
    assert key_in({"authorization": "Basic !!!"}, otlp=True) == ""
    assert key_in({"x-api-key": "wk_y"}, otlp=True) == "wk_y"
    assert key_in({"x-api-key": "wk_y"}, otlp=False) is None
    assert key_in({}, otlp=True) is None


async def test_it_takes_basic_and_x_api_key_on_otlp_routes_only(served: Rig) -> None:
    key = served.key("editor")
    basic = "Basic " + base64.b64encode(f"any:{key}".encode()).decode()
    for headers in ({"x-api-key": key}, {"authorization": basic}):
        async with served.client(**headers) as client:
            sent = await client.post(
                "/v1/traces", content=b"{}", headers={"content-type": "application/json"}
            )
            assert sent.status_code == 200
            assert (await client.get("/api/alerts")).status_code == 401


async def test_it_signs_in_once_by_link_and_out(served: Rig) -> None:
    now = served.services.wall_clock()
    token = served.services.records.write_now(lambda c: access.first_login(c, now))
    assert token is not None
    assert served.services.records.write_now(lambda c: access.first_login(c, now)) is None
    async with served.client() as client:
        shown = await client.get("/login", params={"token": token, "next": "/alerts"})
        assert shown.status_code == 200 and token in shown.text
        again = await client.get("/login", params={"token": token})
        assert again.status_code == 200, "opening the link must not use it up"
        made = await client.post("/login", data={"token": token, "next": "//evil.example"})
        assert made.status_code == 303 and made.headers["location"] == "/"
        cookie = made.headers["set-cookie"]
        assert "HttpOnly" in cookie and "SameSite=Lax" in cookie
        assert (await client.get("/api/users")).status_code == 200
        used = await client.post("/login", data={"token": token}, headers={"accept": "text/html"})
        assert used.status_code == 400
        csrf = served.app.auth._known
        principal = next(p for _, p in csrf.values() if p.kind == "session")
        out = await client.post("/logout", headers={"x-csrf-token": principal.csrf or ""})
        assert out.status_code == 303
        assert (await client.get("/api/users")).status_code == 401
    lines = served.services.records.read_now(lambda c: audit.latest(c, None))
    assert [line["action"] for line in lines].count("login") == 1


async def test_it_slows_down_guessing_of_login_links(served: Rig) -> None:
    async with served.client() as client:
        codes = [(await client.post("/login", data={"token": "x" * 43})).status_code for _ in range(12)]
    assert codes[:10] == [400] * 10 and set(codes[10:]) == {429}


def test_it_bounds_the_memory_of_the_throttle() -> None:
    throttle = Throttle(most=2, seconds=60, addresses=3)
    for number in range(10):
        throttle.failed(f"10.0.0.{number}", 0.0)
    assert len(throttle._failures) == 3
    throttle.failed("a", 1.0)
    throttle.failed("a", 2.0)
    assert throttle.wait("a", 3.0) == 58 and throttle.wait("a", 70.0) == 0


@pytest.mark.parametrize(
    "next_path", ["//evil", "https://evil", "/\\evil", "evil", "", None, "/a\\b", "/a\nb", "javascript:x"]
)
def test_it_goes_nowhere_else_after_signing_in(next_path: str | None) -> None:
    assert safe_next(next_path) == "/"


def test_it_goes_back_to_the_page_that_asked() -> None:
    assert safe_next("/traces?where=x") == "/traces?where=x"


async def test_it_needs_the_token_of_the_session_to_change_something(served: Rig) -> None:
    secret = served.session("reviewer")
    async with served.client() as client:
        client.cookies.set("wk_session", secret)
        assert (await client.post("/api/reviews/undo")).status_code == 403
        assert (await client.post("/api/reviews/undo", headers={"x-csrf-token": "f" * 64})).status_code == 403
        principal = next(p for _, p in served.app.auth._known.values())
        good = {"x-csrf-token": principal.csrf or ""}
        assert (await client.post("/api/reviews/undo", headers=good)).status_code == 200
        assert (await client.post("/api/reviews/undo", data={"csrf": principal.csrf})).status_code == 200
        for site in ("cross-site", "same-site", "weird"):
            answer = await client.post("/api/reviews/undo", headers={**good, "sec-fetch-site": site})
            assert answer.status_code == 403
        for origin in ("http://evil.example", "null", "http://127.0.0.1:9", "http://127.0.0.1.evil.example"):
            answer = await client.post("/api/reviews/undo", headers={**good, "origin": origin})
            assert answer.status_code == 403, origin
        own = {**good, "origin": "http://127.0.0.1:4318", "sec-fetch-site": "same-origin"}
        assert (await client.post("/api/reviews/undo", headers=own)).status_code == 200


async def test_it_protects_a_server_without_login_from_other_pages(tmp_path: Path) -> None:
    served = rig(tmp_path, no_auth=True)
    async with served.client() as client:
        assert (await client.post("/api/reviews/undo")).status_code == 200
        for headers in (
            {"origin": "http://evil.example"},
            {"sec-fetch-site": "cross-site"},
            {"host": "evil.example"},
        ):
            answer = await client.post("/api/reviews/undo", headers=headers)
            assert answer.status_code in (403, 421), headers
        sent = await client.post("/v1/traces", content=b"{}", headers={"origin": "http://evil.example"})
        assert sent.status_code == 403
        form = await client.post(
            "/api/sql", content=b'{"query":"select 1"}', headers={"content-type": "text/plain"}
        )
        assert form.status_code == 415
        kind = {"content-type": "application/json"}
        packed = await client.post(
            "/api/sql", content=b"\x1f\x8b", headers={**kind, "content-encoding": "gzip"}
        )
        assert packed.status_code == 415 and "compressed" in packed.json()["error"]
        marked = await client.post("/api/sql", content=b'\xef\xbb\xbf{"query":"selec"}', headers=kind)
        assert marked.status_code == 200, "a mark at the beginning is no part of the body"


async def test_it_does_not_read_cookies_beside_a_key(served: Rig) -> None:
    secret = served.session("admin", "*")
    async with served.client(served.key("viewer")) as client:
        client.cookies.set("wk_session", secret)
        assert (await client.get("/api/keys")).status_code == 403


async def test_it_answers_only_to_its_own_names(tmp_path: Path) -> None:
    config = Config.model_validate_json(
        '{"server": {"hosts": ["watch.internal"], "public_url": "https://w.example.com"}}'
    )
    served = rig(tmp_path, config)
    async with served.client() as client:
        for host in (
            "127.0.0.1:4318",
            "localhost",
            "LOCALHOST:1",
            "watch.internal:80",
            "w.example.com",
            "[::1]:4318",
        ):
            assert (await client.get("/healthz", headers={"host": host})).status_code == 200, host
        for host in (
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost:x",
            "",
            "127.0.0.1@evil",
            "10.0.0.1",
        ):
            assert (await client.get("/healthz", headers={"host": host})).status_code == 421, host


async def test_a_form_that_cannot_be_read_is_refused_and_is_no_fault_of_ours(tmp_path: Path) -> None:
    served = rig(tmp_path)
    part = b'--a\r\nContent-Disposition: form-data; name="x"; filename="y"\r\n\r\nz\r\n--a--\r\n'
    many = b"&".join(b"n=%d" % n for n in range(3_000))
    async with served.client() as client:
        for kind, body, status in (
            ("multipart/form-data", b"x", 415),
            ("multipart/form-data; boundary=a", b"garbage", 415),
            ("multipart/form-data; boundary=a", part, 415),
            ("application/x-www-form-urlencoded", b"a&b&c&d&e&f", 413),
            ("application/x-www-form-urlencoded; charset=none", b"%ff=%zz&&&", 400),
        ):
            sent = await client.post("/login", content=body, headers={"content-type": kind})
            assert sent.status_code == status, (kind, body)
        client.cookies.set("wk_session", served.session("admin", "*"))
        form = {"content-type": "application/x-www-form-urlencoded"}
        assert (await client.post("/traces/selected", content=many, headers=form)).status_code == 413


async def test_a_browser_is_told_of_what_no_route_answers_on_a_page_and_everybody_else_in_json(
    tmp_path: Path,
) -> None:
    served = rig(tmp_path)
    browser = {"accept": "text/html,*/*;q=0.8", "cookie": "wk_theme=dark"}
    async with served.client() as client:
        for method, path, host, status in (
            ("GET", "/traces", "evil.example", 421),
            ("GET", "/traces", "[", 421),
            ("DELETE", "/traces", "localhost", 405),
            ("GET", "/nothing", "localhost", 404),
        ):
            shown = await client.request(method, path, headers={**browser, "host": host})
            told = await client.request(method, path, headers={"host": host})
            assert (shown.status_code, told.status_code) == (status, status)
            assert 'data-theme="dark"' in shown.text and "error" in told.json()
        there = await client.get("/api/nothing", headers=browser)
        assert "error" in there.json()


async def test_what_is_public_is_so_whatever_credentials_come_with_it(tmp_path: Path) -> None:
    served = rig(tmp_path)
    async with served.client() as client:
        for said in ("Basic dTpw", "Bearer wk_old_key", "nonsense"):
            for path in ("/healthz", "/readyz", "/login"):
                assert (await client.get(path, headers={"authorization": said})).status_code == 200, (
                    path,
                    said,
                )
            assert (await client.get("/api/alerts", headers={"authorization": said})).status_code == 401


def test_it_answers_to_the_address_a_connection_came_in_on() -> None:
    names = known_hosts(None, (), "0.0.0.0")
    assert host_allowed("10.1.2.3:4318", names, "10.1.2.3")
    assert not host_allowed("10.1.2.3:4318", names, "10.9.9.9")
    assert not host_allowed(None, names, "10.1.2.3")
    assert host_of("[::1") is None


async def test_it_sends_the_security_headers_with_every_answer(tmp_path: Path) -> None:
    served = rig(tmp_path, Config.model_validate_json('{"server": {"public_url": "https://w.example.com"}}'))
    async with served.client(host="w.example.com") as client:
        for path in ("/healthz", "/nope", "/login", "/api/alerts", "/static/none.css"):
            headers = (await client.get(path)).headers
            assert headers["content-security-policy"] == CSP
            assert "unsafe" not in CSP and "http" not in CSP
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
            assert headers["cross-origin-opener-policy"] == "same-origin"
            assert headers["strict-transport-security"] == "max-age=31536000"
            assert "access-control-allow-origin" not in headers
            assert headers["cache-control"] == "no-store"
        made = await client.post("/login", data={"token": "x"})
        assert made.status_code == 400


async def test_it_marks_cookies_secure_behind_tls(tmp_path: Path) -> None:
    served = rig(tmp_path, Config.model_validate_json('{"server": {"public_url": "https://w.example.com"}}'))
    now = served.services.wall_clock()
    token = served.services.records.write_now(lambda c: access.first_login(c, now))
    async with served.client(host="w.example.com") as client:
        made = await client.post("/login", data={"token": token}, headers={"origin": "https://w.example.com"})
        assert (
            made.headers["set-cookie"].startswith("__Host-wk_session=")
            and "Secure" in made.headers["set-cookie"]
        )


def test_it_listens_beyond_loopback_only_with_login_and_tls() -> None:
    assert bind_refusal("127.0.0.1", True, None, False) is None
    assert bind_refusal("::1", True, None, False) is None
    assert "--no-auth works on loopback only" in str(bind_refusal("0.0.0.0", True, "https://x", True))
    assert "behind_tls_proxy" in str(bind_refusal("0.0.0.0", False, None, False))
    assert "public_url" in str(bind_refusal("10.0.0.1", False, None, True))
    assert bind_refusal("10.0.0.1", False, "https://w.example.com", True) is None


def test_it_takes_the_origin_of_its_public_address_for_its_own() -> None:
    headers = {"host": "w.example.com", "origin": "https://w.example.com"}
    assert cross_site(headers, "https://w.example.com") is None
    assert cross_site({**headers, "origin": "http://w.example.com"}, "https://w.example.com") is not None


async def test_it_chooses_the_project_by_key_header_or_default(served: Rig) -> None:
    every, mine = served.key("admin", "*"), served.key("editor", "mine")
    body = {"trace_id": TRACE, "rating": 5}
    async with served.client(every) as client:
        await client.post("/api/feedback", json=body)
        await client.post("/api/feedback", json=body, headers={"x-watchkeeper-project": "theirs"})
        for name in ("../etc", "4111111111111111", "wk_live_0123456789abcdef0123456789abcdef"):
            bad = await client.post("/api/feedback", json=body, headers={"x-watchkeeper-project": name})
            assert bad.status_code == 400, name
    async with served.client(mine) as client:
        await client.post("/api/feedback", json=body)
        other = await client.post("/api/feedback", json=body, headers={"x-watchkeeper-project": "theirs"})
        assert other.status_code == 403
    assert [s.project for s in served.columns.scores] == ["default", "theirs", "mine"]


async def test_it_hides_content_below_the_role_the_configuration_names(tmp_path: Path) -> None:
    served = rig(tmp_path, Config.model_validate_json('{"privacy": {"content_role": "reviewer"}}'))
    result = {
        "case_id": "c", "input": "a secret question", "output": "a secret answer", "expected": "secret", "error": None,
        "scores": {"s": {"values": [1.0], "passed": [True], "reason": "quotes a secret", "flaky": False}},
    }  # fmt: skip
    stored = {
        "id": "exp", "project": "default", "name": "run", "dataset": "x", "dataset_version": 1, "target": "t", "verdict": "pass",
        "created_ns": 1, "finished_ns": 1, "metrics": [], "regressions": [], "results": [result], "n_cases": 1,
    }  # fmt: skip
    await served.services.records.write(lambda c: experiments.save(c, stored))
    async with served.client(served.key("viewer")) as client:
        assert (await client.post("/api/sql", json={"query": "select 1"})).status_code == 403
        assert (await client.get("/api/datasets/x")).status_code == 403
        assert (await client.get("/api/datasets/x/diff")).status_code == 403
        for path in ("/api/experiments/run", "/api/experiments/run/compare?against=run"):
            answer = await client.get(path)
            assert answer.status_code == 200 and "secret" not in answer.text, path
        for probe in (
            {"text": "secret"},
            {"where": "output_text like '%secret%'"},
            {"where": "Attributes['k'] = 's'"},
        ):
            answer = await client.get("/api/traces", params=probe)
            assert answer.status_code == 403 and "reviewer" in answer.json()["hint"], probe
        assert (await client.get("/api/traces", params={"where": "cost > 1"})).status_code == 200
    async with served.client(served.key("reviewer")) as client:
        assert (await client.get("/api/traces", params={"text": "secret"})).status_code == 200
        assert (await client.post("/api/sql", json={"query": "select 1"})).status_code == 200


async def test_housekeeping_waits_for_a_disk_that_takes_nothing(
    served: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with served.client(served.key("viewer")) as client:
        assert (await client.get("/api/alerts")).status_code == 200

    def full(_work: object) -> None:
        raise StoreUnavailable("the disk is full")

    with monkeypatch.context() as there:
        there.setattr(served.services.records, "write_now", full)
        await served.app.auth.flush()
        await served.app.auth.drop_expired()
    await served.app.auth.flush()
    [key] = served.services.records.read_now(lambda c: access.list_keys(c, "default"))
    assert key.last_used_ns is not None


@pytest.mark.parametrize("sent", [{}, {"authorization": "Bearer wk_x_y"}, {"authorization": "Bearer "}])
@pytest.mark.parametrize("path", ["/api/traces", "/v1/traces"])
async def test_whoever_is_not_known_is_told_how_to_say_who_they_are(
    served: Rig, path: str, sent: dict[str, str]
) -> None:
    async with served.client() as client:
        answer = await client.request("GET" if path[1] == "a" else "POST", path, headers=sent)
    assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"

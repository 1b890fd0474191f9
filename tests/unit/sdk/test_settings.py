"""Where settings come from, and what is said about those that cannot be used."""

import pytest

from watchkeeper.sdk.settings import read_settings


def test_the_default_is_the_local_server() -> None:
    settings = read_settings({}, {})
    assert settings.endpoint == "http://127.0.0.1:4318"
    assert settings.traces_url == "http://127.0.0.1:4318/v1/traces"
    assert settings.redact
    assert settings.enabled


def test_arguments_win_over_our_environment_over_otel() -> None:
    otel = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://otel:4318/",
        "OTEL_EXPORTER_OTLP_HEADERS": "x-api-key=a%20b,c=d",
    }
    ours = otel | {"WATCHKEEPER_ENDPOINT": "https://wk.example/prefix/", "WATCHKEEPER_API_KEY": "wk_1"}
    assert read_settings({}, otel).endpoint == "http://otel:4318"
    assert read_settings({}, otel).headers == {"x-api-key": "a b", "c": "d"}
    assert read_settings({}, ours).traces_url == "https://wk.example/prefix/v1/traces"
    assert read_settings({}, ours).api_key == "wk_1"
    assert read_settings({"endpoint": "http://me:1", "api_key": "wk_2"}, ours).endpoint == "http://me:1"
    assert read_settings({"endpoint": "http://me:1", "api_key": "wk_2"}, ours).api_key == "wk_2"


def test_the_otel_traces_endpoint_is_used_as_it_is() -> None:
    env = {
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:9/custom",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "3",
    }
    settings = read_settings({}, env)
    assert settings.traces_url == "http://collector:9/custom"
    assert settings.timeout == 3
    assert read_settings({"endpoint": "http://me:1/v1/traces"}, env).traces_url == "http://me:1/v1/traces"


@pytest.mark.parametrize("name", ["OTEL_SDK_DISABLED", "WATCHKEEPER_DISABLED"])
def test_it_can_be_switched_off_from_outside(name: str) -> None:
    assert not read_settings({}, {name: "true"}).enabled


@pytest.mark.parametrize("endpoint", ["localhost:4318", "ftp://x", "http://", "4318", ""])
def test_an_endpoint_that_is_no_url_is_named(endpoint: str) -> None:
    if not endpoint:
        assert read_settings({"endpoint": endpoint}, {}).endpoint == "http://127.0.0.1:4318"
        return
    with pytest.raises(ValueError, match="is not a URL like"):
        read_settings({"endpoint": endpoint}, {})


def test_names_must_be_a_list() -> None:
    with pytest.raises(ValueError, match="names must be a list of words, not str"):
        read_settings({"names": "Ada"}, {})


def test_the_share_of_traces_to_record_is_a_share() -> None:
    assert read_settings({}, {}).sample_rate is None
    assert read_settings({}, {"WATCHKEEPER_SAMPLE_RATE": "0.25"}).sample_rate == 0.25
    assert read_settings({"sample_rate": 1}, {"WATCHKEEPER_SAMPLE_RATE": "0.25"}).sample_rate == 1
    for wrong in (2, -0.1, "a tenth"):
        with pytest.raises(ValueError, match="sample_rate must be more than 0"):
            read_settings({"sample_rate": wrong}, {})


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"timeout": "soon"}, "timeout must be a number above 0, not 'soon'"),
        ({"timeout": float("inf")}, "timeout must be a number above 0"),
        ({"flush_interval": -1}, "flush_interval must be a number above 0"),
        ({"spool_max_bytes": "1GB"}, "spool_max_bytes must be a number above 0, not '1GB'"),
        ({"max_batch_spans": 0.5}, "max_batch_spans must be a whole number of at least 1"),
        ({"redact": "no"}, "redact must be True or False, not 'no'"),
        ({"hash_users": 5}, "hash_users must be the key itself"),
        ({"environment": ["a"]}, "environment must be a text, not list"),
        ({"patterns": {"order": "("}}, r"patterns\['order'\] is not a regular expression"),
        ({"patterns": "ORD"}, "patterns must be a mapping"),
        ({"headers": ["x"]}, "headers must be a mapping"),
        ({"headers": {"x": "a\r\nb"}}, r"headers\['x'\] has characters that an HTTP header cannot carry"),
        ({"api_key": "wk_a\nb"}, "api_key has characters that an HTTP header cannot carry"),
        ({"project": "größe€"}, "project has characters that an HTTP header cannot carry"),
        ({"certificate": "/no/such.pem"}, "certificate: there is no file '/no/such.pem'"),
        ({"endpoint": "http://h:99999"}, "is not a URL like"),
        ({"endpoint": "http://[::1"}, "is not a URL like"),
        ({"sample_rate": 0}, "sample_rate must be more than 0"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named_with_what_it_should_be(
    given: dict[str, object], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        read_settings(given, {})


def test_a_setting_is_taken_as_it_was_meant() -> None:
    given: dict[str, object] = {"timeout": "5", "release": 1.2, "api_key": "wk_1\n", "exit_timeout": 0}
    read = read_settings(given, {"WATCHKEEPER_PROJECT": " shop\n"})
    assert (read.timeout, read.release, read.api_key, read.exit_timeout) == (5.0, "1.2", "wk_1", 0)
    assert read.project == "shop"


def test_the_timeout_of_opentelemetry_is_seconds_or_milliseconds() -> None:
    assert read_settings({}, {"OTEL_EXPORTER_OTLP_TIMEOUT": "30"}).timeout == 30
    assert read_settings({}, {"OTEL_EXPORTER_OTLP_TIMEOUT": "10000"}).timeout == 10


def test_an_empty_variable_of_ours_hides_none_of_opentelemetrys() -> None:
    env = {
        "WATCHKEEPER_ENDPOINT": "",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://otel.example/a/v1/traces",
    }
    found = read_settings({}, env)
    assert (
        found.traces_url == "https://otel.example/a/v1/traces" and found.endpoint == "https://otel.example/a"
    )
    with pytest.raises(ValueError, match="OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is not a URL"):
        read_settings({}, {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "nonsense"})


def test_headers_of_the_environment_that_cannot_be_sent_are_named() -> None:
    with pytest.raises(ValueError, match=r"OTEL_EXPORTER_OTLP_HEADERS.*cannot carry"):
        read_settings({}, {"OTEL_EXPORTER_OTLP_HEADERS": "a=b%0d%0ac:d"})


@pytest.mark.parametrize("endpoint", ["http://user:secret@h", "http://h/x?y=1", "http://h/#z"])
def test_what_an_address_may_not_have_is_said_without_telling_it(endpoint: str) -> None:
    with pytest.raises(ValueError, match="without \\?, # and credentials") as caught:
        read_settings({"endpoint": endpoint}, {})
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("project", ["4111111111111111", "wk_live_0123456789abcdef0123456789abcdef"])
def test_a_key_given_as_the_project_is_refused_without_repeating_it(project: str) -> None:
    for given, env in (({"project": project}, {}), ({}, {"WATCHKEEPER_PROJECT": project})):
        with pytest.raises(ValueError, match="looks like a key") as refused:
            read_settings(given, env)
        assert project not in str(refused.value)
    assert read_settings({"project": "support-2026"}, {}).project == "support-2026"

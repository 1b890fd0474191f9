import ipaddress

import pytest

from watchkeeper.egress.addresses import is_public
from watchkeeper.egress.policy import EgressRefused, Policy, parse_entry

# Every way we know of to name something that is not a public https host.
BAD_URLS = [
    "http://127.0.0.1/",
    "https://127.0.0.1/",
    "https://127.0.0.1:443/",
    "https://127.1/",
    "https://127.0.1/",
    "https://2130706433/",
    "https://017700000001/",
    "https://0177.0.0.1/",
    "https://0x7f000001/",
    "https://0x7f.0.0.1/",
    "https://0X7F.1/",
    "https://0/",
    "https://0.0.0.0/",
    "https://0.0.0.1/",
    "https://10.0.0.1/",
    "https://10.255.255.255/",
    "https://172.16.0.1/",
    "https://172.31.255.254/",
    "https://192.168.1.1/",
    "https://100.64.0.1/",
    "https://169.254.169.254/latest/meta-data/",
    "https://192.0.0.8/",
    "https://192.0.2.1/",
    "https://198.18.0.1/",
    "https://198.51.100.1/",
    "https://203.0.113.1/",
    "https://224.0.0.1/",
    "https://240.0.0.1/",
    "https://255.255.255.255/",
    "https://[::1]/",
    "https://[::]/",
    "https://[0:0:0:0:0:0:0:1]/",
    "https://[::127.0.0.1]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/",
    "https://[::ffff:10.0.0.1]/",
    "https://[::ffff:169.254.169.254]/",
    "https://[::ffff:0:127.0.0.1]/",
    "https://[64:ff9b::127.0.0.1]/",
    "https://[64:ff9b::a9fe:a9fe]/",
    "https://[64:ff9b:1::1]/",
    "https://[2002:7f00:1::]/",
    "https://[2002:a00:1::1]/",
    "https://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/",
    "https://[2001:db8::1]/",
    "https://[fc00::1]/",
    "https://[fd12:3456:789a::1]/",
    "https://[fe80::1]/",
    "https://[fe80::1%25eth0]/",
    "https://[fe80::1%eth0]/",
    "https://[fec0::1]/",
    "https://[ff02::1]/",
    "https://[::1",
    "https://[127.0.0.1]/",
    "https://[v1.fe80::a]/",
    "https://user@example.com/",
    "https://user:secret@example.com/",
    "https://example.com@127.0.0.1/",
    "https://127.0.0.1#@example.com/",
    "https://127.0.0.1?@example.com/",
    "https://example.com\\@127.0.0.1/",
    "https:\\\\127.0.0.1\\",
    "https://127.0.0.1\\.example.com/",
    "https:/127.0.0.1/",
    "https:127.0.0.1/",
    "https:///127.0.0.1/",
    "//127.0.0.1/",
    "127.0.0.1",
    "",
    "https://",
    "https://:443/",
    "https://example.com:22/",
    "https://example.com:80/",
    "https://example.com:8443/",
    "https://example.com:0443x/",
    "https://example.com:99999/",
    "https://example.com:-1/",
    "http://example.com/",
    "http://example.com:443/",
    "ftp://example.com/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:6379/_INFO",
    "dict://127.0.0.1:11211/stats",
    "unix:///var/run/docker.sock",
    "http+unix://%2Fvar%2Frun%2Fdocker.sock/info",
    "jar:https://127.0.0.1!/",
    "data:text/plain,hi",
    "javascript:alert(1)",
    "ws://127.0.0.1/",
    "https://127.0.0.1%00.example.com/",
    "https://%31%32%37.0.0.1/",
    "https://exa mple.com/",
    " https://127.0.0.1/",
    "https://127.0.0.1\n/",
    "https://example.com\r\nHost: x/",
    "https://example.com\t/",
    "https://127。0。0。1/",
    "https://１２７.0.0.1/",
    "https://①②⑦.0.0.1/",
    "https://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/",
    "https://exam\u200bple.com/",
    "https://bücher.example/",
    "https://127.0.0.1./",
    "https://127.0.0.1.:443/",
    "https://256.256.256.256/",
    "https://1.2.3/",
    "https://1.2.3.4.5/",
    "https://example..com/",
    "https://-example.com/",
    "https://" + "a" * 64 + ".com/",
    "https://" + "a." * 130 + "com/",
    "https://example.com/" + "a" * 2100,
]


@pytest.mark.parametrize("url", BAD_URLS)
def test_it_refuses_every_url_that_is_not_public_https(url: str) -> None:
    with pytest.raises(EgressRefused):
        Policy().check(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "https://example.com:443/a?b=c#d",
        "https://EXAMPLE.com./x",
        "https://hooks.slack.com/services/T/B/x",
        "https://8.8.8.8/",
        "https://[2606:4700:4700::1111]/",
        "https://xn--bcher-kva.example/",
        "https://a_b.example.com/",
    ],
)
def test_it_accepts_public_https(url: str) -> None:
    target = Policy().check(url)
    assert (target.scheme, target.port) == ("https", 443)


@pytest.mark.parametrize(
    "text", ["1.1.1.1", "8.8.8.8", "2606:4700::1", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"]
)
def test_public_addresses_are_public_in_every_spelling(text: str) -> None:
    assert is_public(ipaddress.ip_address(text))


def test_an_allow_list_entry_opens_exactly_its_address_and_port() -> None:
    policy = Policy.of("127.0.0.1:9000", "10.1.2.0/24", "hooks.internal:8443", "[::1]:9001")
    policy.check("http://127.0.0.1:9000/x")
    policy.check("https://10.1.2.77/x")
    policy.check("http://[::1]:9001/")
    policy.check("https://hooks.internal:8443/")
    # A mapped spelling is the same address, so it is the same entry.
    policy.check("http://[::ffff:127.0.0.1]:9000/")
    for url in (
        "http://127.0.0.1:9001/",
        "http://127.0.0.2:9000/",
        "https://127.0.0.1/",
        "https://10.1.3.1/",
        "http://[::1]:9000/",
    ):
        with pytest.raises(EgressRefused):
            policy.check(url)


def test_a_listed_name_may_be_private_but_never_the_metadata_service() -> None:
    policy = Policy.of("hooks.internal:8443")
    assert policy.permits("hooks.internal", 8443, ipaddress.ip_address("10.0.0.9"))
    assert not policy.permits("hooks.internal", 8443, ipaddress.ip_address("169.254.169.254"))
    assert not policy.permits("hooks.internal", 8443, ipaddress.ip_address("::ffff:169.254.169.254"))
    assert not policy.permits("other.internal", 8443, ipaddress.ip_address("10.0.0.9"))
    assert not policy.permits("hooks.internal", 443, ipaddress.ip_address("10.0.0.9"))


@pytest.mark.parametrize(
    "text", ["", "10.1.2.3/24", "1.2.3", "host:0", "host:99999", "a b", "*.example.com", "h:1:2"]
)
def test_a_bad_allow_list_entry_says_so(text: str) -> None:
    with pytest.raises(ValueError, match=r"'.*'"):
        parse_entry(text)

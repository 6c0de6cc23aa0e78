"""Where a webhook may go, by every way of writing an address that is not public."""

from __future__ import annotations

import time
from ipaddress import ip_network

import pytest

from models_app.webhooks.targets import Inside, NotThere, look_at, parse, resolve

NOTHING = Inside()
PUBLIC = ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "64:ff9b::5db8:d70e"]
NOT_PUBLIC = [
    "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "172.16.3.4", "192.168.1.1", "169.254.169.254", "100.64.0.1",
    "192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fc00::1",
    "fd12::1", "ff02::1", "2001:db8::1",
    # addresses of version 4 that a gateway or the kernel takes out of these
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b:1::a00:1",
    "2002:7f00:1::", "2002:a9fe:a9fe::1", "::ffff:0:7f00:1", "2a00:1450::5efe:a00:1", "2a00:1450::200:5efe:a00:1",
    # given to nobody, or no longer: within one's own network they may be somebody's all the same
    "fec0::1", "3fff::1", "5f00::1", "4000::1", "192.0.0.8",
]  # fmt: skip


def allowed(*addresses: str, url: str = "https://hooks.example.org/x", inside: Inside = NOTHING) -> list[str]:
    return look_at(parse(url), addresses, inside)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_connected_to(address: str) -> None:
    assert allowed(address) == [address]


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_others_are_refused(address: str) -> None:
    with pytest.raises(NotThere, match="no public address"):
        allowed(address)


def test_one_that_is_not_public_among_others_refuses_all() -> None:
    with pytest.raises(NotThere, match="no public address"):
        allowed(*PUBLIC, "10.0.0.1")


def test_without_an_address_nothing_is_sent() -> None:
    with pytest.raises(NotThere, match="has no address"):
        allowed()


def test_a_network_or_a_name_that_the_setting_names_is_allowed_and_nothing_else() -> None:
    ours = Inside(frozenset({"ci.intern"}), (ip_network("10.1.0.0/16"), ip_network("fd12::/64")))
    assert allowed("10.1.2.3", inside=ours) == ["10.1.2.3"]
    assert allowed("fd12::7", inside=ours) == ["fd12::7"]
    assert allowed("192.168.7.7", url="http://ci.intern:8080/", inside=ours) == ["192.168.7.7"]
    for url, address in [
        ("https://hooks.example.org/", "10.2.0.1"),
        ("https://not.ci.intern/", "192.168.7.7"),
        ("https://ci.intern.example.org/", "127.0.0.1"),
    ]:
        with pytest.raises(NotThere):
            allowed(address, url=url, inside=ours)


def test_without_tls_only_places_that_the_setting_names() -> None:
    with pytest.raises(NotThere, match="Without TLS"):
        allowed(PUBLIC[0], url="http://hooks.example.org/")
    assert allowed("10.1.2.3", url="http://x/", inside=Inside(networks=(ip_network("10.1.0.0/16"),)))


@pytest.mark.parametrize(
    "url",
    [
        "", "hooks.example.org", "ftp://hooks.example.org/", "file:///etc/passwd", "gopher://x/", "https://", "https:///x",
        "https://user:secret@hooks.example.org/", "https://hooks.example.org/#part", "https://hooks.example.org:99999/",
        "https://hooks.example.org:x/", "https://hooks.example.org:22/", "https://hooks.example.org:25/",
        "https://hooks.example.org:0/", "https://hooks example.org/", "https://hooks.example.org/a b",
        "https://hooks.example.org/\r\nX-Evil: 1", "https://hooks.example.org/\0", "https://hooks.example.org\\@10.0.0.1/",
        "https://häuser.example.org/", "https://[::1", "https://[fe80::1%25eth0]/", "javascript:alert(1)",
        "https://hooks.example.org/\ud800", "https://hooks.example.org/" + "x" * 2000,
    ],
    ids=lambda url: repr(url[:40]),
)  # fmt: skip
def test_what_is_no_address_for_a_webhook_is_refused(url: str) -> None:
    with pytest.raises(NotThere):
        parse(url)


def test_an_address_is_taken_apart() -> None:
    target = parse("https://hooks.example.org/a/b?key=1&x=")
    assert (target.host, target.port, target.path, target.host_header) == (
        "hooks.example.org", 443, "/a/b?key=1&x=", "hooks.example.org",
    )  # fmt: skip
    assert parse("https://hooks.example.org").path == "/"
    assert parse("https://hooks.example.org.:8443/").host_header == "hooks.example.org:8443"
    assert parse("https://[2606:2800::1]:8443/").host_header == "[2606:2800::1]:8443"


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f000001", "0177.0.0.1", "localhost"])
def test_other_ways_to_write_the_loopback_are_resolved_first(host: str) -> None:
    """The system reads these as 127.0.0.1; what it reads is looked at."""
    found = resolve(host, 443, 3)
    with pytest.raises(NotThere, match="no public address"):
        allowed(*found, url=f"https://{host}/")


def test_a_name_that_nobody_has_says_so() -> None:
    with pytest.raises(NotThere, match="has no address"):
        resolve("nobody.invalid", 443, 5)


def test_who_answers_slowly_which_address_it_is_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(*args: object, **kwargs: object) -> list[object]:
        time.sleep(5)
        return []

    monkeypatch.setattr("socket.getaddrinfo", slow)
    began = time.monotonic()
    with pytest.raises(NotThere, match="not answered within"):
        resolve("slow.example.org", 443, 0.2)
    assert time.monotonic() - began < 2

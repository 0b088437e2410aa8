"""Only addresses of the public internet are fetched from, however they are written."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms.agent.transfer.addresses import allowed, is_public, place
from oms.contract.errors import NotFetched


@pytest.mark.parametrize(
    "address",
    ["1.1.1.1", "8.8.8.8", "93.184.216.34", "2606:4700::1111", "2a00:1450:4001::200e", "64:ff9b::8.8.8.8",
     "::ffff:1.1.1.1", "2002:0808:0808::1"],
)  # fmt: skip
def test_the_public_internet(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0", "127.0.0.1", "127.255.255.254", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1",
        "169.254.169.254", "100.64.0.1", "192.0.0.1", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1",
        "192.88.99.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
        "::", "::1", "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1", "100::1", "fec0::1",
        "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1",
        "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::", "2002:a9fe:a9fe::1",
        "2001:0:4136:e378:8000:63bf:f5ff:fffe",
    ],
)  # fmt: skip
def test_all_else(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@given(st.ip_addresses(v=4))
def test_an_address_inside_another_is_judged_as_itself(inner: ipaddress.IPv4Address) -> None:
    number = int(inner)
    for outer in (0xFFFF << 32 | number, 0x64FF9B << 96 | number, 0x2002 << 112 | number << 80):
        assert is_public(ipaddress.IPv6Address(outer)) == is_public(inner)


def test_an_address_in_its_parts() -> None:
    found = place("https://mirror.example/a/b.iso?x=1#part")
    assert (found.scheme, found.host, found.port, found.target) == ("https", "mirror.example", 443, "/a/b.iso?x=1")
    assert place("http://mirror.example:8080").port == 8080
    assert place("http://mirror.example").target == "/"
    assert place("https://[2606:4700::1111]/x").host == "2606:4700::1111"


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/shadow", "ftp://a/b", "gopher://a/", "data:text/plain,x", "//a/b", "a.iso", "", "https://", "http:///x",
        "https://user:secret@a/b", "https://user@a/b", "https://a:99999/", "https://a:x/", "https://a b/", "https://ä/",
        "https://a/\x00", "https://a/ä", "https://[::1%25eth0]/", "https://[fe80::1%eth0]/", "https://a_b/", "https://-a/",
        "javascript:alert(1)", "unix:///run/libvirt/libvirt-sock", 'json:{"driver":"file"}', "nbd://127.0.0.1:1/x",
    ],
)  # fmt: skip
def test_what_is_no_web_address_is_refused(url: str) -> None:
    with pytest.raises(NotFetched):
        place(url)


def test_where_a_server_sends_on_to_is_looked_at_as_well() -> None:
    secure, plain = place("https://a.example/x/y"), place("http://a.example/x/y")
    assert place("z", since=secure).url == "https://a.example/x/z"
    assert place("//b.example/z", since=secure).url == "https://b.example/z"
    assert place("https://b.example/z", since=plain).scheme == "https"
    with pytest.raises(NotFetched, match="from https to http"):
        place("http://a.example/z", since=secure)
    for url in ("file:///etc/shadow", "https://user:x@b.example/"):
        with pytest.raises(NotFetched):
            place(url, since=secure)


def test_of_a_names_addresses_only_public_ones_are_used() -> None:
    where = place("https://mirror.example/")
    assert allowed(["10.0.0.1", "1.1.1.1", "::1"], where, private=False) == ["1.1.1.1"]
    assert allowed(["10.0.0.1", "fe80::1%eth0"], where, private=True) == ["10.0.0.1", "fe80::1%eth0"]
    with pytest.raises(NotFetched, match=r"mirror\.example has no address in the public internet \(10\.0\.0\.1\)"):
        allowed(["10.0.0.1"], where, private=False)
    with pytest.raises(NotFetched, match="none at all"):
        allowed([], where, private=True)

"""The device that leads to the world, and how fast it is."""

from pathlib import Path

from oms.agent.host import counters, uplink

HEAD = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
SIX = (
    "00000000000000000000000000000000 00 00000000000000000000000000000000 00 "
    "fe800000000000000000000000000001 {metric} 00000001 00000000 {flags} {device}\n"
)


def route(device: str, destination: str, metric: int, mask: str, flags: str = "0003") -> str:
    return f"{device}\t{destination}\t010200C0\t{flags}\t0\t0\t{metric}\t{mask}\t0\t0\t0\n"


def test_the_default_route_with_the_lowest_metric_leads_out() -> None:
    table = HEAD + "".join(
        (
            route("wlan0", "00000000", 600, "00000000"),
            route("vmbr0", "00000000", 100, "00000000"),
            route("eth9", "00000000", 1, "00000000", flags="0002"),
            route("tun0", "00000000", 0, "00000080"),
        )
    )
    assert uplink.default_device(table) == "vmbr0"


def test_without_one_of_ipv4_that_of_ipv6_does() -> None:
    table = SIX.format(metric="ffffffff", flags="00200200", device="lo")
    table += SIX.format(metric="00000400", flags="00000003", device="eth1")
    assert uplink.default_device(HEAD, table) == "eth1"
    assert uplink.default_device(HEAD, "") == uplink.default_device("", "") == ""


def test_a_bridge_is_as_fast_as_the_fastest_in_it(tmp_path: Path) -> None:
    for device, speed in (("br0", None), ("eth0", "1000"), ("eth1", "10000"), ("vnet0", "10"), ("odd", "-1")):
        (tmp_path / device).mkdir()
        if speed:
            (tmp_path / device / "speed").write_text(f"{speed}\n")
    for port in ("eth1", "vnet0"):
        (tmp_path / "br0" / "brif" / port).mkdir(parents=True)
    assert uplink.speed("eth0", tmp_path) == 125_000_000
    assert uplink.speed("br0", tmp_path) == 1_250_000_000
    assert uplink.speed("odd", tmp_path) == uplink.speed("gone", tmp_path) == 0


def test_traffic_of_a_device_that_is_gone_is_not_known(tmp_path: Path) -> None:
    assert counters.traffic("gone", tmp_path) is counters.traffic("") is None
    known = counters.traffic("lo")
    assert known is not None
    assert known.received == known.sent >= 0

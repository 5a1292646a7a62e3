import struct
import xml.etree.ElementTree as ElementTree

import pytest


@pytest.fixture(autouse=True)
def benchmark_folder(repository, monkeypatch):
    monkeypatch.syspath_prepend(str(repository / "benchmark"))


def send(link, count, size_bytes, period_s):
    return [link.offer(number * period_s, size_bytes) for number in range(count)]


def test_a_packet_arrives_after_its_time_on_the_link_and_the_delay():
    from emulated_network.link import LinkDirection, LinkSettings

    link = LinkDirection(LinkSettings(delay_s=0.05, loss=0.0, rate_bps=8e6, burst_bytes=0))
    # A byte takes a microsecond; those that come at once wait for one another.
    assert send(link, 3, 1000, 0.0) == pytest.approx([0.051, 0.052, 0.053])
    assert link.offer(1.0, 1000) == pytest.approx(1.051)


def test_after_a_pause_a_burst_passes_at_once_and_no_more_than_that():
    from emulated_network.link import LinkDirection, LinkSettings

    link = LinkDirection(LinkSettings(delay_s=0.0, loss=0.0, rate_bps=8e6, burst_bytes=2000))
    send(link, 50, 1000, 0.0)
    assert [link.offer(100.0, 1000) for _ in range(4)] == pytest.approx([100.0, 100.0, 100.001, 100.002])


def test_what_is_offered_above_the_rate_waits_within_the_queue_and_the_rest_is_dropped():
    from emulated_network.link import LinkDirection, LinkSettings

    link = LinkDirection(LinkSettings(delay_s=0.05, loss=0.0, rate_bps=10e6, queue_bytes=50_000))
    arrivals = send(link, 3000, 1250, 0.0005)  # 20 Mbit/s for 1.5 s
    arrived = [value for value in arrivals if value is not None]
    assert len(arrived) * 1250 * 8 / 1.5 == pytest.approx(10e6, rel=0.05)
    assert link.counters.overflowed == 3000 - len(arrived)
    assert link.counters.longest_queue_bytes <= 50_000
    longest_s = max(value - number * 0.0005 for number, value in enumerate(arrivals) if value is not None)
    assert longest_s <= 0.05 + 50_000 * 8 / 10e6 + 1e-9
    assert link.queue_bytes(10.0) == 0


def test_packets_are_lost_as_often_as_asked_and_the_same_ones_with_the_same_seed():
    from emulated_network.link import LinkDirection, LinkSettings

    first, same, other = (
        [value is None for value in send(LinkDirection(LinkSettings(loss=0.05, seed=seed)), 20_000, 100, 0.01)]
        for seed in (1, 1, 2)
    )
    assert first == same
    assert first != other
    assert sum(first) / 20_000 == pytest.approx(0.05, abs=0.006)  # four deviations


def message(*submessages):
    return b"RTPS\x02\x03\x01\x0f" + bytes(range(12)) + b"".join(submessages)


def submessage(kind, body):
    return struct.pack("<BBH", kind, 1, len(body)) + body


USER, BUILT_IN, READER = b"\0\0\x12\x03", b"\0\0\x03\xc2", b"\0\0\x12\x04"


def sample_header(writer, sequence):
    return struct.pack("<HH", 0, 16) + READER + writer + struct.pack("<iI", 0, sequence)


def test_samples_and_their_fragments_are_told_by_writer_and_the_rest_by_what_it_is_for():
    from emulated_network.rtps import ACKNOWLEDGEMENTS, DISCOVERY, HEARTBEATS, pieces

    fragment = sample_header(USER, 7) + struct.pack("<IHHI", 3, 2, 1000, 4500) + bytes(2000)
    packet = message(
        submessage(0x0E, bytes(12)),
        submessage(0x15, sample_header(USER, 6) + bytes(8)),
        submessage(0x16, fragment),
        submessage(0x07, READER + USER + bytes(20)),
        submessage(0x06, READER + USER + bytes(20)),
        submessage(0x15, sample_header(BUILT_IN, 1) + bytes(8)),
    )
    writer = (bytes(range(12)) + USER).hex()
    found = list(pieces(packet))
    assert [piece.writer for piece in found] == [writer, writer, HEARTBEATS, ACKNOWLEDGEMENTS, DISCOVERY]
    assert [(piece.sequence, list(piece.fragments), piece.fragment_count) for piece in found[:2]] == [
        (6, [1], 1),
        (7, [3, 4], 5),
    ]


CUT = message(submessage(0x16, sample_header(USER, 7) + struct.pack("<IHHI", 3, 2, 1000, 4500)))


@pytest.mark.parametrize("payload", [b"", b"RTPS", bytes(100), *(CUT[:length] for length in range(len(CUT)))])
def test_what_is_no_message_or_cut_off_says_nothing(payload):
    from emulated_network.rtps import pieces

    assert list(pieces(payload)) == []


def test_the_link_profile_fits_the_link_and_the_topics(repository):
    """Every setting that docs speak of is there, for topics that the nodes have in their default namespace."""
    root = ElementTree.parse(repository / "config" / "fastdds_link.xml").getroot()
    find = {"d": "http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles"}
    values = {
        item.find("d:name", find).text: item.find("d:value", find).text
        for item in root.iterfind(".//d:propertiesPolicy/d:properties/d:property", find)
    }
    assert int(values["fastdds.max_message_size"]) <= 1500 - 28  # Ethernet less the headers of IP and UDP
    controllers = {item.text for item in root.iterfind(".//d:flow_controller_descriptor/d:name", find)}
    assert controllers
    paced = {
        writer.get("profile_name"): writer.find(".//d:flow_controller_name", find).text
        for writer in root.iterfind("d:data_writer", find)
        if writer.find(".//d:flow_controller_name", find) is not None
    }
    assert set(paced.values()) == controllers
    assert {"/lira/keyframes", "/lira/candidates"} <= set(paced)

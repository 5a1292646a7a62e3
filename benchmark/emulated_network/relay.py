"""The process between two machines: takes packets from one, hands them to the other as the link lets them through.

Started by ``machines.EmulatedLink``. Ends, and tells what it saw, when its standard input is closed, so that it never
outlives who started it.
"""

from __future__ import annotations

import ctypes
import fcntl
import heapq
import json
import os
import select
import struct
import sys
import time
from collections import OrderedDict
from dataclasses import asdict, dataclass, field

from emulated_network.link import LinkDirection, LinkSettings
from emulated_network.rtps import OTHER, pieces

CLONE_NEWNET = 0x40000000
TUN_SET_INTERFACE = 0x400454CA
TUN_INTERFACE, NO_PACKET_INFORMATION = 0x0001, 0x1000
INTERFACE = "link0"
LARGEST_PACKET = 65_535
UDP = 17
# Parts of IP packets on their way; a part that comes later belongs to none.
REMEMBERED_PARTS = 1000


@dataclass
class Sample:
    """A sample of a writer on its way: when its first part was sent, when its last part arrived."""

    sent_s: float
    fragment_count: int
    size_bytes: int = 0
    resent: int = 0
    arrived_s: float | None = None
    sent: set[int] = field(default_factory=set)
    arrived: set[int] = field(default_factory=set)


@dataclass
class Traffic:
    """What one direction carried. bytes: offered by second and writer. queue_bytes: the longest queue by second."""

    bytes: dict[int, dict[str, int]] = field(default_factory=dict)
    queue_bytes: dict[int, int] = field(default_factory=dict)
    samples: dict[str, dict[int, Sample]] = field(default_factory=dict)
    parts: OrderedDict[tuple[bytes, bytes], str] = field(default_factory=OrderedDict)


class Direction:
    """Takes packets from one interface and hands them to the other."""

    def __init__(self, source: int, target: int, settings: LinkSettings) -> None:
        self.source, self.target = source, target
        self.link = LinkDirection(settings)
        self.traffic = Traffic()
        self._under_way: list[tuple[float, int, bytes]] = []
        self._count = 0

    def take(self, now_s: float) -> None:
        """Take all packets that are there."""
        while True:
            try:
                packet = os.read(self.source, LARGEST_PACKET)
            except BlockingIOError:
                return
            if packet[0] >> 4 != 4:
                continue  # IPv6 has its own chatter on every interface; nothing here uses it
            arrives_s = self.link.offer(now_s, len(packet))
            self._note(packet, now_s, arrives_s)
            if arrives_s is not None:
                self._count += 1
                heapq.heappush(self._under_way, (arrives_s, self._count, packet))

    def deliver(self, now_s: float) -> float | None:
        """Hand over what has arrived; returns when the next one does."""
        while self._under_way and self._under_way[0][0] <= now_s:
            packet = heapq.heappop(self._under_way)[2]
            try:
                os.write(self.target, packet)
            except OSError:
                continue  # the other machine is gone
        return self._under_way[0][0] if self._under_way else None

    def _note(self, packet: bytes, now_s: float, arrives_s: float | None) -> None:
        traffic, second = self.traffic, int(now_s)
        header = (packet[0] & 15) * 4
        offset = struct.unpack_from(">H", packet, 6)[0]
        key = (packet[4:6], packet[12:20])
        writer = OTHER
        if offset & 0x1FFF:  # a later part of an IP packet
            writer = traffic.parts.get(key, OTHER)
        elif packet[9] == UDP:
            found = list(pieces(packet[header + 8 :]))
            writer = found[0].writer if found else OTHER
            for piece in found:
                if piece.fragment_count:
                    writer = piece.writer
                    self._note_sample(piece, len(packet), now_s, arrives_s)
            if offset & 0x2000:
                traffic.parts[key] = writer
                if len(traffic.parts) > REMEMBERED_PARTS:
                    traffic.parts.popitem(last=False)
        counts = traffic.bytes.setdefault(second, {})
        counts[writer] = counts.get(writer, 0) + len(packet)
        traffic.queue_bytes[second] = max(traffic.queue_bytes.get(second, 0), self.link.queue_bytes(now_s))

    def _note_sample(self, piece, size_bytes: int, now_s: float, arrives_s: float | None) -> None:
        samples = self.traffic.samples.setdefault(piece.writer, {})
        sample = samples.setdefault(piece.sequence, Sample(now_s, piece.fragment_count))
        sample.size_bytes += size_bytes
        numbers = set(piece.fragments)
        sample.resent += len(numbers & sample.sent)
        sample.sent |= numbers
        if arrives_s is not None and sample.arrived_s is None:
            sample.arrived |= numbers
            if len(sample.arrived) >= sample.fragment_count:
                sample.arrived_s = arrives_s
                sample.arrived.clear()

    def report(self) -> dict[str, object]:
        """Return everything for JSON."""
        return {
            "counters": asdict(self.link.counters),
            "bytes": self.traffic.bytes,
            "queue_bytes": self.traffic.queue_bytes,
            "samples": {
                writer: {
                    sequence: {
                        "sent_s": sample.sent_s,
                        "arrived_s": sample.arrived_s,
                        "size_bytes": sample.size_bytes,
                        "fragments": sample.fragment_count,
                        "resent": sample.resent,
                    }
                    for sequence, sample in samples.items()
                }
                for writer, samples in self.traffic.samples.items()
            },
        }


def open_interface(network: str) -> int:
    """Create the interface in a network namespace (a path below /proc) and return its file."""
    library = ctypes.CDLL(None, use_errno=True)
    with open(network) as handle:
        if library.setns(handle.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"{network}: cannot be entered")
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    request = struct.pack("16sH", INTERFACE.encode(), TUN_INTERFACE | NO_PACKET_INFORMATION)
    fcntl.ioctl(device, TUN_SET_INTERFACE, request)
    return device


def main() -> None:
    """Relay until the standard input is closed. Arguments: JSON with the two networks and the two directions."""
    given = json.loads(sys.argv[1])
    first, second = (open_interface(network) for network in given["networks"])
    there, back = (LinkSettings(**settings) for settings in given["directions"])
    directions = {first: Direction(first, second, there), second: Direction(second, first, back)}
    print("ready", flush=True)
    poll = select.poll()
    for file in (first, second, sys.stdin.fileno()):
        poll.register(file, select.POLLIN | select.POLLHUP)
    next_s: float | None = None
    while True:
        wait_ms = None if next_s is None else max(0.0, (next_s - time.monotonic()) * 1e3)
        for file, _ in poll.poll(wait_ms):
            if file == sys.stdin.fileno():
                print(json.dumps([direction.report() for direction in directions.values()]), flush=True)
                return
            directions[file].take(time.monotonic())
        due = [direction.deliver(time.monotonic()) for direction in directions.values()]
        next_s = min((value for value in due if value is not None), default=None)


if __name__ == "__main__":
    main()

"""Read which DDS writer the packets on a link belong to (RTPS 2.3, chapters 8.3 and 9.4)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

ACKNACK, HEARTBEAT, GAP, INFO_DESTINATION, NACK_FRAG, HEARTBEAT_FRAG = 0x06, 0x07, 0x08, 0x0E, 0x12, 0x13
DATA, DATA_FRAG = 0x15, 0x16
# What is neither samples of a topic nor talk about them.
DISCOVERY, ACKNOWLEDGEMENTS, HEARTBEATS, OTHER = "discovery", "acknowledgements", "heartbeats", "other"


@dataclass(frozen=True)
class Piece:
    """A part of a packet that says something about a writer.

    writer: 16 bytes of its GUID in hexadecimal for samples, else one of the names above. fragments: numbers from 1 of
    the pieces of the sample that it carries. fragment_count: of how many; 1 for an unfragmented sample.
    """

    writer: str
    sequence: int = 0
    fragments: range = range(0)
    fragment_count: int = 0


def pieces(payload: bytes) -> Iterator[Piece]:
    """Yield what the payload of a UDP packet holds; nothing for what is not RTPS."""
    if len(payload) < 20 or payload[:4] != b"RTPS":
        return
    prefix, at = payload[8:20], 20
    while at + 4 <= len(payload):
        kind, flags = payload[at], payload[at + 1]
        order = "<" if flags & 1 else ">"
        (length,) = struct.unpack_from(order + "H", payload, at + 2)
        body = at + 4
        end = body + length if length else len(payload)  # 0: up to the end of the packet
        if body + (32 if kind == DATA_FRAG else 20 if kind == DATA else 8) > len(payload):
            return  # cut off: an IP packet in parts brings the rest
        if kind in (DATA, DATA_FRAG):
            entity = payload[body + 8 : body + 12]
            high, low = struct.unpack_from(order + "iI", payload, body + 12)
            if entity[3] & 0xC0 == 0xC0:
                yield Piece(DISCOVERY)
            elif kind == DATA:
                yield Piece((prefix + entity).hex(), (high << 32) + low, range(1, 2), 1)
            else:
                first, count, size, total = struct.unpack_from(order + "IHHI", payload, body + 20)
                yield Piece((prefix + entity).hex(), (high << 32) + low, range(first, first + count), -(-total // size))
        elif kind in (ACKNACK, NACK_FRAG):
            yield Piece(DISCOVERY if payload[body + 7] & 0xC0 == 0xC0 else ACKNOWLEDGEMENTS)
        elif kind in (HEARTBEAT, HEARTBEAT_FRAG, GAP):
            yield Piece(DISCOVERY if payload[body + 7] & 0xC0 == 0xC0 else HEARTBEATS)
        at = end

"""Messages written directly from numpy arrays, in CDR, the serialisation of DDS.

A message of a hundred thousand points or poses takes longer to build from Python objects than to map a second of
video. Written as bytes (OMG DDS-XTypes 7.4, plain CDR, little-endian) it takes milliseconds, and rclpy publishes such
bytes as they are.
"""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray
from std_msgs.msg import Header

ENCAPSULATION = b"\x00\x01\x00\x00"  # plain CDR, little-endian


class CdrWriter:
    """Append values to the body of a message with the alignment that CDR asks for."""

    def __init__(self) -> None:
        self.body = bytearray()

    def align(self, size: int) -> None:
        """Fill up to a multiple of ``size`` bytes."""
        self.body.extend(bytes(-len(self.body) % size))

    def pack(self, code: str, *values: float) -> None:
        """Write plain values of one type, given by its letter in the struct module."""
        self.align(struct.calcsize(code))
        self.body.extend(struct.pack(f"<{len(values)}{code}", *values))

    def string(self, text: str) -> None:
        """Write a string."""
        data = text.encode() + b"\x00"
        self.pack("I", len(data))
        self.body.extend(data)

    def header(self, header: Header) -> None:
        """Write a std_msgs/Header."""
        self.pack("i", header.stamp.sec)
        self.pack("I", header.stamp.nanosec)
        self.string(header.frame_id)

    def array(self, code: str, values: NDArray[np.generic]) -> None:
        """Write a sequence of structs whose members all have the type ``code``, one struct for each row."""
        self.pack("I", len(values))
        if len(values):
            self.align(struct.calcsize(code))
            self.body.extend(memoryview(np.ascontiguousarray(values)).cast("B"))

    def message(self) -> bytes:
        """Return the serialised message."""
        return ENCAPSULATION + bytes(self.body)

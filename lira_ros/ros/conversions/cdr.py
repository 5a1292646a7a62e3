"""Messages written directly from numpy arrays, and read into them, in CDR, the serialisation of DDS.

A message of a hundred thousand points or poses takes longer to build from Python objects than to map a second of
video. Written as bytes (OMG DDS-XTypes 7.4, plain CDR, little-endian) it takes milliseconds, and rclpy publishes such
bytes as they are. A raw subscription hands them over unread.
"""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray
from std_msgs.msg import Header

from lira_ros.ros.errors import ConversionError

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


class CdrReader:
    """Read values off a serialised message; what is too short or claims too much raises ConversionError with its name.

    ``name``: the topic, for the error.
    """

    def __init__(self, data: bytes, name: str) -> None:
        if data[:2] != ENCAPSULATION[:2]:
            raise ConversionError(f"{name}: expected a message in little-endian CDR, got {data[:4].hex()}")
        self._data = memoryview(data)[len(ENCAPSULATION) :]
        self._position = 0
        self._name = name

    def _take(self, size: int, alignment: int) -> memoryview:
        start = self._position + -self._position % alignment
        if start + size > len(self._data):
            raise ConversionError(
                f"{self._name}: expected {size} bytes at {start}, the message ends after {len(self._data)}"
            )
        self._position = start + size
        return self._data[start : self._position]

    def unpack(self, code: str, count: int = 1) -> tuple[int | float, ...]:
        """Read plain values of one type, given by its letter in the struct module."""
        size = struct.calcsize(code)
        return struct.unpack(f"<{count}{code}", self._take(count * size, size))

    def integer(self, code: str) -> int:
        """Read one whole number."""
        return int(self.unpack(code)[0])

    def string(self) -> str:
        """Read a string; what is no UTF-8 is replaced."""
        return bytes(self._take(self.integer("I"), 1)).rstrip(b"\x00").decode(errors="replace")

    def array(self, dtype: str, columns: int = 1) -> NDArray[np.generic]:
        """Read a sequence of structs of ``columns`` values of one type as (N, columns); a view of the message."""
        count = self.integer("I")
        kind = np.dtype(dtype)
        if count == 0:
            return np.empty((0, columns), dtype=kind)
        data = self._take(count * columns * kind.itemsize, kind.itemsize)
        return np.frombuffer(data, dtype=kind).reshape(count, columns)

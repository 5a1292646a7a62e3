"""A file of plain arrays, each under a checksum: what map files and the states of nodes are written as.

Little-endian throughout:

* Bytes 0 to 63, the prologue: 8 bytes of magic, version (uint32), CRC-32 of the prologue with this field zero
  (uint32), size of the file, offset and size of the directory (3 x uint64), CRC-32 of the directory (uint32), 20 zeros.
* Sections, one after the other from byte 64 on: plain C-ordered arrays, each filled up with zeros to a multiple of 64
  bytes, so that the next one lies as NumPy and vector instructions like it.
* The directory, to the end of the file: JSON in UTF-8. For each section it has ``offset``, ``dtype``, ``shape`` and
  ``crc32`` (of the array and the zeros after it). Floats are written so that they come back bit-equal.

Every byte is covered by exactly one checksum. CRC-32 finds every change within 32 neighbouring bits for certain and
others but for one in 4 * 10^9; it is there against broken disks and copies, not against forgers, who meet the checks
of whoever reads the directory and the arrays.
"""

from __future__ import annotations

import json
import math
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

_PROLOGUE = struct.Struct("<8sIIQQQI20x")
PROLOGUE_BYTES = _PROLOGUE.size
_ALIGNMENT = 64  # bytes: a cache line, and the widest vector register
# A multiple of the alignment that fits the second-level cache, where the checksum then finds what was just read.
_CHUNK_BYTES = 1 << 18
INT64_LIMIT = 1 << 63


class SectionError(ValueError):
    """Sections or their directory are not as they should be; says which, what was expected and what was found."""


@dataclass(frozen=True)
class Section:
    """Where an array lies. name: for messages, of its owner and its own."""

    name: str
    offset: int
    dtype: np.dtype
    shape: tuple[int, ...]
    crc32: int

    @property
    def nbytes(self) -> int:
        """Return the size of the array [bytes]."""
        return self.dtype.itemsize * math.prod(self.shape)

    @property
    def end(self) -> int:
        """Return where the next section begins."""
        return self.offset + -(-self.nbytes // _ALIGNMENT) * _ALIGNMENT

    def array(self, buffer: Any) -> NDArray[Any]:
        """Return the array where it lies in a buffer of the whole file."""
        return np.frombuffer(buffer, self.dtype, math.prod(self.shape), self.offset).reshape(self.shape)


# --- writing ----------------------------------------------------------------------------------------------------------


def begin(file: BinaryIO) -> None:
    """Leave room for the prologue; call it first, then write_section() as often as needed, then finish()."""
    file.write(bytes(_PROLOGUE.size))


def write_section(file: BinaryIO, array: NDArray[Any], dtype: str) -> dict[str, Any]:
    """Write an array as ``dtype`` and return its entry for the directory."""
    data = np.ascontiguousarray(array, dtype=dtype)
    offset = file.tell()
    crc32 = 0
    raw = data.reshape(-1).view(np.uint8).data
    for start in range(0, len(raw), _CHUNK_BYTES):
        chunk = raw[start : start + _CHUNK_BYTES]
        crc32 = zlib.crc32(chunk, crc32)
        file.write(chunk)
    padding = bytes(-len(raw) % _ALIGNMENT)
    file.write(padding)
    return {"offset": offset, "dtype": dtype, "shape": list(data.shape), "crc32": zlib.crc32(padding, crc32)}


def finish(file: BinaryIO, magic: bytes, version: int, directory: Mapping[str, Any]) -> None:
    """Write the directory and the prologue."""
    text = json.dumps(directory, allow_nan=False).encode()
    offset = file.tell()
    file.write(text)
    fields = (magic, version, 0, offset + len(text), offset, len(text), zlib.crc32(text))
    file.seek(0)
    file.write(_PROLOGUE.pack(*fields[:2], zlib.crc32(_PROLOGUE.pack(*fields)), *fields[3:]))


# --- reading ----------------------------------------------------------------------------------------------------------


def read_directory(
    file: BinaryIO, size: int, magic: bytes, versions: Iterable[int], what: str
) -> tuple[int, int, dict[str, Any]]:
    """Return the version, where the directory begins, and the directory, of a file of ``size`` bytes.

    what: the kind of file, for messages. Raises SectionError.
    """
    head = file.read(_PROLOGUE.size)
    if not head.startswith(magic):
        raise SectionError(f"not a {what}: expected it to start with {magic!r}, found {head[: len(magic)]!r}")
    if len(head) < _PROLOGUE.size:
        raise SectionError(f"truncated: expected at least {_PROLOGUE.size} bytes, found {len(head)}")
    _, version, crc32, wanted_size, offset, length, directory_crc32 = _PROLOGUE.unpack(head)
    if version not in versions:
        known = " and ".join(map(str, versions))
        raise SectionError(f"{what} of version {version}, this program reads version {known}")
    _compare("prologue", crc32, zlib.crc32(head[:12] + bytes(4) + head[16:]))
    if size != wanted_size:
        said = "truncated" if size < wanted_size else "something was appended"
        raise SectionError(f"{said}: expected {wanted_size} bytes, found {size}")
    if offset + length != size:
        raise SectionError(f"directory: expected to end at byte {size}, found {offset} + {length}")
    file.seek(offset)
    text = file.read(length)
    _compare("directory", directory_crc32, zlib.crc32(text))
    return version, offset, typed(json.loads(text, parse_constant=_refuse_constant), dict, "directory")


def read_entry(value: Any, name: str, dtype: str, shape: tuple[int | None, ...]) -> Section:
    """Read an entry of the directory; None in ``shape`` takes any length. Raises SectionError, KeyError."""
    entry = typed(value, dict, name)
    found = entry["shape"]
    fits = isinstance(found, list) and len(found) == len(shape)
    fits = fits and all(type(n) is int and n >= 0 and w in (None, n) for n, w in zip(found, shape, strict=True))
    if entry["dtype"] != dtype or not fits:
        wanted = "[" + ", ".join("any" if length is None else str(length) for length in shape) + "]"
        raise SectionError(f"section {name}: expected {dtype} {wanted}, found {entry['dtype']!s:.20} {found!s:.80}")
    return Section(name, integer(entry, "offset", 0), np.dtype(dtype), tuple(found), integer(entry, "crc32", 0))


def check_layout(sections: Iterable[Section], directory_offset: int) -> None:
    """Raise SectionError when a byte lies in no section, or in two."""
    position = _PROLOGUE.size
    for section in sorted(sections, key=lambda section: (section.offset, section.end)):
        if section.offset != position:
            raise SectionError(f"section {section.name}: expected at byte {position}, found at {section.offset}")
        position = section.end
    if position != directory_offset:
        raise SectionError(f"directory: expected at byte {position}, found at {directory_offset}")


def verify(file: BinaryIO, section: Section) -> Iterator[memoryview]:
    """Go through a section in pieces and compare its checksum at the end; raises SectionError.

    The zeros that fill it up come with the last piece.
    """
    crc32 = 0
    file.seek(section.offset)
    buffer = bytearray(_CHUNK_BYTES)
    remaining = section.end - section.offset
    while remaining:
        view = memoryview(buffer)[: min(remaining, _CHUNK_BYTES)]
        if file.readinto(view) != len(view):  # type: ignore[attr-defined]
            raise SectionError(f"section {section.name}: truncated while it was read")
        crc32 = zlib.crc32(view, crc32)
        yield view
        remaining -= len(view)
    _compare(f"section {section.name}", section.crc32, crc32)


def _compare(name: str, expected: int, found: int) -> None:
    if expected != found:
        raise SectionError(f"{name} was altered: expected checksum {expected:08x}, found {found:08x}")


def _refuse_constant(name: str) -> float:
    raise SectionError(f"directory: {name} is not a number")


# --- values of a directory --------------------------------------------------------------------------------------------


def typed(value: Any, kind: type, name: str) -> Any:
    """Return a value of this kind; raises SectionError."""
    if not isinstance(value, kind):
        raise SectionError(f"{name}: expected a {kind.__name__}, found {type(value).__name__}")
    return value


def listed(item: Mapping[str, Any], key: str) -> list[Any]:
    """Return a list of a directory; raises SectionError, KeyError."""
    values: list[Any] = typed(item[key], list, key)
    return values


def integer(item: Mapping[str, Any], key: str, minimum: int) -> int:
    """Return a whole number of a directory; raises SectionError, KeyError."""
    return checked_integer(item[key], key, minimum)


def checked_integer(value: Any, name: str, minimum: int) -> int:
    """Return a whole number that fits 64 bits; raises SectionError."""
    if type(value) is not int or not minimum <= value < INT64_LIMIT:
        raise SectionError(f"{name}: expected a whole number of at least {minimum}, found {value!r:.80}")
    return value


def real(value: Any, name: str) -> float:
    """Return a finite number; raises SectionError."""
    if type(value) not in (int, float) or not math.isfinite(value):
        raise SectionError(f"{name}: expected a number, found {value!r:.80}")
    return float(value)

"""What goes to a page: a JSON text, or a binary frame of a JSON head and arrays that the browser reads in place.

A frame is: uint32 length of the head, the head as JSON, then the arrays, each from a multiple of 4 bytes on. The head
lists them as [type, values] with the names of typed arrays: u1, u2, u4, i2, f4. Everything is little-endian.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

ALIGNMENT = 4
# Four digits after the point: a tenth of a millimetre, a tenth of a per mille.
DIGITS = 4


def number(value: float) -> float | None:
    """Return a number that JSON can hold, None for NaN and infinity."""
    value = float(value)
    return round(value, DIGITS) if math.isfinite(value) else None


def numbers(values: NDArray[Any]) -> list[float | None]:
    """Return the numbers of an array, row by row."""
    return [number(value) for value in np.asarray(values).ravel().tolist()]


def to_text(value: object) -> str:
    """Return compact JSON; raises ValueError for a number that it cannot hold."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def frame(head: Mapping[str, object], *arrays: NDArray[Any]) -> bytes:
    """Return a binary frame of a head and arrays of uint8, uint16, uint32, int16 or float32."""
    listed = [[f"{array.dtype.kind}{array.dtype.itemsize}", int(array.size)] for array in arrays]
    text = to_text({**head, "arrays": listed}).encode()
    parts = [struct.pack("<I", len(text)), text]
    size = 4 + len(text)
    for array in arrays:
        padding = -size % ALIGNMENT
        data = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).tobytes()
        parts += [bytes(padding), data]
        size += padding + len(data)
    return b"".join(parts)


def read_frame(data: bytes) -> tuple[dict[str, Any], list[NDArray[Any]]]:
    """Return head and arrays of a frame, as the page reads them."""
    (length,) = struct.unpack_from("<I", data)
    head = json.loads(data[4 : 4 + length])
    arrays, position = [], 4 + length
    for kind, count in head.pop("arrays"):
        position += -position % ALIGNMENT
        arrays.append(np.frombuffer(data, dtype=f"<{kind}", count=count, offset=position))
        position += arrays[-1].nbytes
    return head, arrays

"""Save and load a map as one versioned, checksummed file that can be memory-mapped.

The file, version 2, little-endian throughout:

* Bytes 0 to 63, the prologue: ``LIRA_MAP``, version (uint32), CRC-32 of the prologue with this field zero (uint32),
  size of the file, offset and size of the directory (3 x uint64), CRC-32 of the directory (uint32), 20 zeros.
* Sections, one after the other from byte 64 on: plain C-ordered arrays, each filled up with zeros to a multiple of 64
  bytes, so that the next one lies as NumPy and vector instructions like it.
* The directory, to the end of the file: JSON in UTF-8 that describes the map, each fragment, and for each section its
  ``offset``, ``dtype``, ``shape`` and ``crc32`` (of the array and the zeros after it). Floats are written so that they
  come back bit-equal.

Every byte is covered by exactly one checksum. CRC-32 finds every change within 32 neighbouring bits for certain and
others but for one in 4 * 10^9; it is there against broken disks and copies, not against forgers, who meet the checks
of shapes, ranges and poses instead. Sections of a fragment: ``block_coordinates`` (B, 3) int32, ``tsdf`` and ``weight``
(B, 512) float32, ``color`` (B, 512, 3) uint8 and, where there is evidence for labels, ``label`` (B, 512) uint16 and
``label_confidence`` (B, 512) float32. Sections of the map: ``keyframe_ids`` and ``keyframe_stamps_ns`` (K,) int64 and
``keyframe_poses`` (K, 4, 4) float64. Voxels are not compressed: a page of a running map is such a file of one fragment,
read where it lies.
"""

from __future__ import annotations

import json
import math
import mmap
import os
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from lira_ros.geometry.pose import checked_transform
from lira_ros.mapping.atomic_file import partial_file
from lira_ros.mapping.fragment import VOXELS_PER_BLOCK, Fragment
from lira_ros.mapping.voxel import BLOCK_LIMIT, unique_blocks

MAGIC = b"LIRA_MAP"
VERSION = 2

_PROLOGUE = struct.Struct("<8sIIQQQI20x")
_ALIGNMENT = 64  # bytes: a cache line, and the widest vector register
# A multiple of the alignment that fits the second-level cache, where the checksum then finds what was just read.
_CHUNK_BYTES = 1 << 18
# What the file of version 1 began with: a zip of NumPy arrays.
_ZIP_MAGIC = b"PK\x03\x04"
# A running mean of values in [-1, 1] may round beyond them.
_TSDF_LIMIT = 1.0 + 1e-3
_INT64_LIMIT = 1 << 63

_VOXEL_SECTIONS: dict[str, tuple[str, tuple[int, ...]]] = {
    "block_coordinates": ("<i4", (3,)),
    "tsdf": ("<f4", (VOXELS_PER_BLOCK,)),
    "weight": ("<f4", (VOXELS_PER_BLOCK,)),
    "color": ("|u1", (VOXELS_PER_BLOCK, 3)),
}
_LABEL_SECTIONS: dict[str, tuple[str, tuple[int, ...]]] = {
    "label": ("<u2", (VOXELS_PER_BLOCK,)),
    "label_confidence": ("<f4", (VOXELS_PER_BLOCK,)),
}
_KEYFRAME_SECTIONS: dict[str, tuple[str, tuple[int, ...]]] = {
    "keyframe_ids": ("<i8", ()),
    "keyframe_stamps_ns": ("<i8", ()),
    "keyframe_poses": ("<f8", (4, 4)),
}


class MapFileError(ValueError):
    """A map file is missing, broken, of another version or of other voxels, or cannot be written; names the file."""


@dataclass(frozen=True)
class MapState:
    """What a map needs to go on.

    fragments: with ascending ids; gone through once when saving, so they may be read one by one. floor_height_m: NaN
    while no floor has been seen. keyframe_poses: (4, 4) T_map_camera, and keyframe_stamps_ns, both by keyframe id.
    """

    fragments: Iterable[Fragment]
    last_keyframe_id: int
    up: NDArray[np.float64]
    floor_height_m: float
    keyframe_poses: Mapping[int, NDArray[np.float64]] = field(default_factory=dict)
    keyframe_stamps_ns: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class _Section:
    name: str
    offset: int
    dtype: np.dtype
    shape: tuple[int, ...]
    crc32: int

    @property
    def nbytes(self) -> int:
        return self.dtype.itemsize * math.prod(self.shape)

    @property
    def end(self) -> int:
        return self.offset + _padded(self.nbytes)


def _padded(nbytes: int) -> int:
    return -(-nbytes // _ALIGNMENT) * _ALIGNMENT


# --- writing ----------------------------------------------------------------------------------------------------------


def save(path: str | Path, state: MapState) -> int:
    """Write a map and return the number of its fragments; the file is replaced only once the new one is complete.

    Raises MapFileError when the file cannot be written, ValueError when the state contradicts itself.
    """
    path = Path(os.path.realpath(path))
    try:
        with partial_file(path) as partial, partial.open("wb") as file:
            count = _write(file, state)
    except OSError as error:
        raise MapFileError(f"{path}: cannot write the map: {error}") from error
    return count


def write_fragment(path: Path, fragment: Fragment) -> None:
    """Write a map file of one fragment for the time this program runs; raises MapFileError and leaves no file."""
    state = MapState((fragment,), 0, np.array([0.0, 0.0, 1.0]), math.nan)
    try:
        with path.open("wb") as file:
            _write(file, state)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise MapFileError(f"{path}: cannot write fragment {fragment.id}: {error}") from error


def _write(file: BinaryIO, state: MapState) -> int:
    file.write(bytes(_PROLOGUE.size))
    fragments: list[dict[str, Any]] = []
    for fragment in state.fragments:
        if fragments and fragment.id <= fragments[-1]["id"]:
            raise ValueError(f"fragment ids must ascend, got {fragment.id} after {fragments[-1]['id']}")
        fragments.append(_write_fragment(file, fragment))
    ids = sorted(state.keyframe_poses)
    if ids != sorted(state.keyframe_stamps_ns):
        raise ValueError("keyframe_poses and keyframe_stamps_ns must have the same keyframe ids")
    keyframes = {
        "keyframe_ids": np.array(ids, dtype=np.int64),
        "keyframe_stamps_ns": np.array([state.keyframe_stamps_ns[i] for i in ids], dtype=np.int64),
        "keyframe_poses": np.array([state.keyframe_poses[i] for i in ids], dtype=np.float64).reshape(-1, 4, 4),
    }
    directory = json.dumps(
        {
            "last_keyframe_id": int(state.last_keyframe_id),
            "up": [float(value) for value in state.up],
            "floor_height_m": float(state.floor_height_m) if math.isfinite(state.floor_height_m) else None,
            "keyframes": len(ids),
            "sections": _write_sections(file, keyframes, _KEYFRAME_SECTIONS),
            "fragments": fragments,
        },
        allow_nan=False,
    ).encode()
    offset = file.tell()
    file.write(directory)
    fields = (MAGIC, VERSION, 0, offset + len(directory), offset, len(directory), zlib.crc32(directory))
    file.seek(0)
    file.write(_PROLOGUE.pack(*fields[:2], zlib.crc32(_PROLOGUE.pack(*fields)), *fields[3:]))
    return len(fragments)


def _write_fragment(file: BinaryIO, fragment: Fragment) -> dict[str, Any]:
    kinds = _VOXEL_SECTIONS if fragment.label is None else _VOXEL_SECTIONS | _LABEL_SECTIONS
    return {
        "id": int(fragment.id),
        "revision": int(fragment.revision),
        "stamp_ns": int(fragment.stamp_ns),
        "voxel_size_m": float(fragment.voxel_size_m),
        "truncation_m": float(fragment.truncation_m),
        "T_map_fragment": [float(value) for value in fragment.T_map_fragment.ravel()],
        "keyframe_ids": [int(value) for value in fragment.keyframe_ids],
        "blocks": len(fragment.block_coordinates),
        "sections": _write_sections(file, {name: getattr(fragment, name) for name in kinds}, kinds),
    }


def _write_sections(
    file: BinaryIO, arrays: Mapping[str, NDArray], kinds: Mapping[str, tuple[str, tuple[int, ...]]]
) -> dict[str, Any]:
    sections = {}
    for name, array in arrays.items():
        data = np.ascontiguousarray(array, dtype=kinds[name][0])
        offset = file.tell()
        crc32 = 0
        raw = data.reshape(-1).view(np.uint8).data
        for start in range(0, len(raw), _CHUNK_BYTES):
            chunk = raw[start : start + _CHUNK_BYTES]
            crc32 = zlib.crc32(chunk, crc32)
            file.write(chunk)
        padding = bytes(_padded(len(raw)) - len(raw))
        file.write(padding)
        crc32 = zlib.crc32(padding, crc32)
        sections[name] = {"offset": offset, "dtype": kinds[name][0], "shape": list(data.shape), "crc32": crc32}
    return sections


# --- reading ----------------------------------------------------------------------------------------------------------


def load(path: str | Path) -> MapState:
    """Read and check a whole map; its voxels are read-only memory maps, so they take no memory until they are used.

    Raises MapFileError that names the file, the part of it that is wrong, what was expected and what was found.
    """
    return MapFile(path).state


class MapFile:
    """A map file, memory-mapped.

    path: as given. state: the map; the voxels of its fragments lie in the file. They stay readable when the file is
    replaced or removed, as long as they are held.
    """

    def __init__(self, path: str | Path, verify: bool = True) -> None:
        """Open a map file; without ``verify`` its checksums are not compared. Raises MapFileError."""
        self.path = Path(path)
        try:
            if not self.path.exists():
                raise MapFileError("there is no such map file")
            if not self.path.is_file():
                raise MapFileError("not a map file, but a folder or a device")
            with self.path.open("rb") as file:
                self._read(file, verify)
        except MapFileError as error:
            raise MapFileError(f"{self.path}: {error}") from error
        except OSError as error:
            raise MapFileError(f"{self.path}: cannot read the map: {error}") from error
        except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
            raise MapFileError(f"{self.path}: the directory of the map file is not as it should be: {error}") from error

    def release(self) -> None:
        """Take the parts of the file that were looked at out of this process's memory; they are read again on use."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)

    def _read(self, file: BinaryIO, verify: bool) -> None:
        size = os.fstat(file.fileno()).st_size
        directory_offset, directory = _read_directory(file, size)
        self._sections: list[_Section] = []
        fragments = [self._described(_typed(item, dict, "fragment")) for item in _list(directory, "fragments")]
        ids = [fragment["id"] for fragment, _ in fragments]
        if any(a >= b for a, b in pairwise(ids)):
            raise MapFileError(f"fragment ids must ascend, got {ids}")
        keyframes = self._placed(directory, "map", _KEYFRAME_SECTIONS, _integer(directory, "keyframes", 0))
        self._check_layout(directory_offset)
        if verify:
            for section in self._sections:
                _verify(file, section)
        self._map = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
        self.state = MapState(
            tuple(self._fragment(fields, sections, verify) for fields, sections in fragments),
            _integer(directory, "last_keyframe_id", 0),
            *_gravity(directory),
            **self._keyframes({name: self._array(section) for name, section in keyframes.items()}),
        )

    def _described(self, item: dict[str, Any]) -> tuple[dict[str, Any], dict[str, _Section]]:
        number = _integer(item, "id", 1)
        name = f"fragment {number}"
        kinds = _VOXEL_SECTIONS
        if "label" in _typed(item["sections"], dict, f"{name}: sections"):
            kinds = kinds | _LABEL_SECTIONS
        values = [_real(value, f"{name}: T_map_fragment") for value in _list(item, "T_map_fragment")]
        T_map_fragment = np.array(values, dtype=np.float64)
        if T_map_fragment.shape != (16,):
            raise MapFileError(f"{name}: T_map_fragment needs 16 numbers, found {len(values)}")
        checked_transform(T_map_fragment.reshape(4, 4), f"{name}: T_map_fragment")
        sizes_m = {key: _real(item[key], f"{name}: {key}") for key in ("voxel_size_m", "truncation_m")}
        fields = {
            "id": number,
            "revision": _integer(item, "revision", 0),
            "stamp_ns": _integer(item, "stamp_ns", -_INT64_LIMIT),
            "T_map_fragment": T_map_fragment.reshape(4, 4),
            "keyframe_ids": tuple(_checked_integer(v, "keyframe id", 1) for v in _list(item, "keyframe_ids")),
            **sizes_m,
        }
        return fields, self._placed(item, name, kinds, _integer(item, "blocks", 0))

    def _placed(
        self, item: dict[str, Any], owner: str, kinds: Mapping[str, tuple[str, tuple[int, ...]]], count: int
    ) -> dict[str, _Section]:
        sections = {}
        for name, (dtype, shape) in kinds.items():
            entry = _typed(_typed(item["sections"], dict, f"{owner}: sections")[name], dict, f"{owner}/{name}")
            wanted = [count, *shape]
            if entry["dtype"] != dtype or entry["shape"] != wanted:
                raise MapFileError(
                    f"section {owner}/{name}: expected {dtype} {wanted}, found {entry['dtype']} {entry['shape']}"
                )
            section = _Section(
                f"{owner}/{name}",
                _integer(entry, "offset", 0),
                np.dtype(dtype),
                (count, *shape),
                _integer(entry, "crc32", 0),
            )
            self._sections.append(section)
            sections[name] = section
        return sections

    def _check_layout(self, directory_offset: int) -> None:
        # No byte without a checksum, and none in two sections.
        position = _PROLOGUE.size
        for section in sorted(self._sections, key=lambda section: (section.offset, section.end)):
            if section.offset != position:
                raise MapFileError(f"section {section.name}: expected at byte {position}, found at {section.offset}")
            position = section.end
        if position != directory_offset:
            raise MapFileError(f"directory: expected at byte {position}, found at {directory_offset}")

    def _array(self, section: _Section) -> NDArray:
        flat = np.frombuffer(self._map, section.dtype, math.prod(section.shape), section.offset)
        return flat.reshape(section.shape)

    def _fragment(self, fields: dict[str, Any], sections: Mapping[str, _Section], verify: bool) -> Fragment:
        arrays = {name: self._array(section) for name, section in sections.items()}
        # Small, and asked for all the time.
        blocks = arrays["block_coordinates"].astype(np.int32)
        if verify and len(blocks):
            if int(blocks.min()) < -BLOCK_LIMIT or int(blocks.max()) > BLOCK_LIMIT:
                raise MapFileError(f"fragment {fields['id']}: block coordinates beyond {BLOCK_LIMIT}")
            if len(unique_blocks(blocks)) != len(blocks):
                raise MapFileError(f"fragment {fields['id']}: has a block twice")
        return Fragment(
            **fields,
            block_coordinates=blocks,
            tsdf=arrays["tsdf"],
            weight=arrays["weight"],
            color=arrays["color"],
            label=arrays.get("label"),
            label_confidence=arrays.get("label_confidence"),
        )

    def _keyframes(self, arrays: Mapping[str, NDArray]) -> dict[str, Any]:
        ids = arrays["keyframe_ids"].tolist()
        if any(a >= b for a, b in pairwise(ids)):
            raise MapFileError("keyframe ids must ascend")
        for number, pose in zip(ids, arrays["keyframe_poses"], strict=True):
            checked_transform(pose, f"pose of keyframe {number}")
        return {
            "keyframe_poses": dict(zip(ids, arrays["keyframe_poses"].astype(np.float64), strict=True)),
            "keyframe_stamps_ns": dict(zip(ids, arrays["keyframe_stamps_ns"].tolist(), strict=True)),
        }


def _read_directory(file: BinaryIO, size: int) -> tuple[int, dict[str, Any]]:
    head = file.read(_PROLOGUE.size)
    if head.startswith(_ZIP_MAGIC):
        raise MapFileError(f"a zip file, perhaps a map of version 1; this program reads version {VERSION}")
    if not head.startswith(MAGIC):
        raise MapFileError(f"not a map file: expected it to start with {MAGIC!r}, found {head[: len(MAGIC)]!r}")
    if len(head) < _PROLOGUE.size:
        raise MapFileError(f"truncated: expected at least {_PROLOGUE.size} bytes, found {len(head)}")
    _, version, crc32, wanted_size, offset, length, directory_crc32 = _PROLOGUE.unpack(head)
    if version != VERSION:
        raise MapFileError(f"map file of version {version}, this program reads version {VERSION}")
    _compare("prologue", crc32, zlib.crc32(head[:12] + bytes(4) + head[16:]))
    if size != wanted_size:
        what = "truncated" if size < wanted_size else "something was appended"
        raise MapFileError(f"{what}: expected {wanted_size} bytes, found {size}")
    if offset + length != size:
        raise MapFileError(f"directory: expected to end at byte {size}, found {offset} + {length}")
    file.seek(offset)
    text = file.read(length)
    _compare("directory", directory_crc32, zlib.crc32(text))
    return offset, _typed(json.loads(text, parse_constant=_refuse_constant), dict, "directory")


def _compare(name: str, expected: int, found: int) -> None:
    if expected != found:
        raise MapFileError(f"{name} was altered: expected checksum {expected:08x}, found {found:08x}")


def _verify(file: BinaryIO, section: _Section) -> None:
    crc32 = 0
    wrong = None
    file.seek(section.offset)
    for chunk in _chunks(file, section):
        crc32 = zlib.crc32(chunk, crc32)
        # The zeros that fill up a section are a value like others.
        wrong = wrong or _impossible(section.name.rsplit("/", 1)[1], chunk, section.dtype)
    _compare(f"section {section.name}", section.crc32, crc32)
    if wrong is not None:
        raise MapFileError(f"section {section.name}: {wrong}")


def _chunks(file: BinaryIO, section: _Section) -> Iterator[memoryview]:
    buffer = bytearray(_CHUNK_BYTES)
    remaining = section.end - section.offset
    while remaining:
        view = memoryview(buffer)[: min(remaining, _CHUNK_BYTES)]
        if file.readinto(view) != len(view):  # type: ignore[attr-defined]
            raise MapFileError(f"section {section.name}: truncated while it was read")
        yield view
        remaining -= len(view)


def _impossible(name: str, chunk: memoryview, dtype: np.dtype) -> str | None:
    if name not in ("tsdf", "weight", "label_confidence"):
        return None
    values = np.frombuffer(chunk, dtype)
    lowest, highest = float(values.min()), float(values.max())
    if not (math.isfinite(lowest) and math.isfinite(highest)):
        return "values must be finite"
    if name == "tsdf" and max(-lowest, highest) > _TSDF_LIMIT:
        return f"expected values from -1 to 1, found {lowest:g} to {highest:g}"
    if name != "tsdf" and lowest < 0:
        return f"expected values of at least 0, found {lowest:g}"
    return None


def _gravity(directory: dict[str, Any]) -> tuple[NDArray[np.float64], float]:
    up = np.array([_real(value, "up") for value in _list(directory, "up")], dtype=np.float64)
    if up.shape != (3,) or not abs(float(np.linalg.norm(up)) - 1.0) < 1e-6:
        raise MapFileError(f"up: expected a unit vector, found {up.tolist()}")
    floor = directory["floor_height_m"]
    return up, math.nan if floor is None else _real(floor, "floor_height_m")


def _refuse_constant(name: str) -> float:
    raise MapFileError(f"directory: {name} is not a number")


def _typed(value: Any, kind: type, name: str) -> Any:
    if not isinstance(value, kind):
        raise MapFileError(f"{name}: expected a {kind.__name__}, found {type(value).__name__}")
    return value


def _list(item: dict[str, Any], key: str) -> list[Any]:
    values: list[Any] = _typed(item[key], list, key)
    return values


def _integer(item: dict[str, Any], key: str, minimum: int) -> int:
    return _checked_integer(item[key], key, minimum)


def _checked_integer(value: Any, name: str, minimum: int) -> int:
    if type(value) is not int or not minimum <= value < _INT64_LIMIT:
        raise MapFileError(f"{name}: expected a whole number of at least {minimum}, found {value!r:.80}")
    return value


def _real(value: Any, name: str) -> float:
    if type(value) not in (int, float) or not math.isfinite(value):
        raise MapFileError(f"{name}: expected a number, found {value!r:.80}")
    return float(value)

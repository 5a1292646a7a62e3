"""Save and load a map as one versioned, checksummed file that can be memory-mapped.

The file, version 3, is one of sections (lira_ros/state/sections.py) with the magic ``LIRA_MAP``. Its directory
describes the map, each fragment and each keyframe. Sections of a fragment: ``block_coordinates`` (B, 3) int32, ``tsdf``
and ``weight`` (B, 512) float32, ``color`` (B, 512, 3) uint8 and, where there is evidence for labels, ``label`` (B, 512)
uint16 and ``label_confidence`` (B, 512) float32. Sections of the map: ``keyframe_ids`` and ``keyframe_stamps_ns`` (K,)
int64 and ``keyframe_poses`` (K, 4, 4) float64. Sections of a keyframe that was kept: ``color`` and ``depth``, image
files. Sections of parts: what other programs know, by name, as bytes that mean nothing here.

Voxels are not compressed: a page of a running map is such a file of one fragment, read where it lies. Version 2 had
neither keyframes nor parts; version 1 was a zip of NumPy arrays (first_files.py). Both can be read.
"""

from __future__ import annotations

import math
import mmap
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from lira_ros.geometry.camera import Camera
from lira_ros.geometry.packed_keyframe import PackedKeyframe
from lira_ros.geometry.pose import checked_transform
from lira_ros.mapping.atomic_file import partial_file
from lira_ros.mapping.first_files import MAGIC as FIRST_MAGIC
from lira_ros.mapping.first_files import read_first
from lira_ros.mapping.fragment import VOXELS_PER_BLOCK, Fragment
from lira_ros.mapping.voxel import BLOCK_LIMIT, unique_blocks
from lira_ros.state.sections import (
    INT64_LIMIT,
    Section,
    SectionError,
    begin,
    check_layout,
    checked_integer,
    finish,
    integer,
    listed,
    read_directory,
    read_entry,
    real,
    typed,
    verify,
    write_section,
)

MAGIC = b"LIRA_MAP"
VERSION = 3
VERSIONS = (2, 3)

# A running mean of values in [-1, 1] may round beyond them.
_TSDF_LIMIT = 1.0 + 1e-3
# Names of parts are words.
_PART_NAME = re.compile(r"[a-z_]{1,40}")

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
_CAMERA_FIELDS = ("width_px", "height_px", "fx", "fy", "cx", "cy")
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
    keyframes: those of which the images were kept, with ascending ids. parts: what others know, by name.
    """

    fragments: Iterable[Fragment]
    last_keyframe_id: int
    up: NDArray[np.float64]
    floor_height_m: float
    keyframe_poses: Mapping[int, NDArray[np.float64]] = field(default_factory=dict)
    keyframe_stamps_ns: Mapping[int, int] = field(default_factory=dict)
    keyframes: Sequence[PackedKeyframe] = ()
    parts: Mapping[str, bytes | memoryview] = field(default_factory=dict)


# --- writing ----------------------------------------------------------------------------------------------------------


def save(path: str | Path, state: MapState) -> int:
    """Write a map and return the number of its fragments; the file is replaced only once the new one is complete.

    Raises MapFileError when the file cannot be written, ValueError when the state contradicts itself.
    """
    path = Path(os.path.realpath(path))
    try:
        with partial_file(path) as partial, partial.open("wb") as file:
            count = write(file, state)
    except OSError as error:
        raise MapFileError(f"{path}: cannot write the map: {error}") from error
    return count


def write_fragment(path: Path, fragment: Fragment) -> None:
    """Write a map file of one fragment for the time this program runs; raises MapFileError and leaves no file."""
    state = MapState((fragment,), 0, np.array([0.0, 0.0, 1.0]), math.nan)
    try:
        with path.open("wb") as file:
            write(file, state)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise MapFileError(f"{path}: cannot write fragment {fragment.id}: {error}") from error


def write(file: BinaryIO, state: MapState) -> int:
    """Write a map to an open file and return the number of its fragments.

    Raises OSError when it cannot be written, ValueError when the state contradicts itself.
    """
    begin(file)
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
    directory = {
        "last_keyframe_id": int(state.last_keyframe_id),
        "up": [float(value) for value in state.up],
        "floor_height_m": _number(state.floor_height_m),
        "keyframes": len(ids),
        "sections": _write_sections(file, keyframes, _KEYFRAME_SECTIONS),
        "fragments": fragments,
        "kept_keyframes": [_write_keyframe(file, keyframe) for keyframe in state.keyframes],
        "parts": {
            name: write_section(file, np.frombuffer(data, np.uint8), "|u1") for name, data in state.parts.items()
        },
    }
    finish(file, MAGIC, VERSION, directory)
    return len(fragments)


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _write_keyframe(file: BinaryIO, keyframe: PackedKeyframe) -> dict[str, Any]:
    return {
        "id": int(keyframe.id),
        "stamp_ns": int(keyframe.stamp_ns),
        "camera": {name: getattr(keyframe.camera, name) for name in _CAMERA_FIELDS},
        "T_map_camera": [float(value) for value in keyframe.T_map_camera.ravel()],
        "up": [float(value) for value in keyframe.up],
        "floor_height_m": _number(keyframe.floor_height_m),
        "formats": [keyframe.color_format, keyframe.depth_format],
        "sections": {
            name: write_section(file, np.frombuffer(getattr(keyframe, name), np.uint8), "|u1")
            for name in ("color", "depth")
        },
    }


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
    return {name: write_section(file, array, kinds[name][0]) for name, array in arrays.items()}


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

    def __init__(self, path: str | Path, verify: bool = True, opened: BinaryIO | None = None) -> None:
        """Open a map file, or take one that is open; without ``verify`` its checksums are not compared.

        Raises MapFileError.
        """
        self.path = Path(path)
        try:
            if opened is not None:
                self._read(opened, verify)
                return
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
        except SectionError as error:
            raise MapFileError(f"{self.path}: {error}") from error
        except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
            raise MapFileError(f"{self.path}: the directory of the map file is not as it should be: {error}") from error

    def release(self) -> None:
        """Take the parts of the file that were looked at out of this process's memory; they are read again on use."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)

    def _read(self, file: BinaryIO, verify: bool) -> None:
        size = os.fstat(file.fileno()).st_size
        if file.read(len(FIRST_MAGIC)) == FIRST_MAGIC:
            file.seek(0)
            self.version = 1
            self.state = MapState(*read_first(file))
            return
        file.seek(0)
        self.version, directory_offset, directory = read_directory(file, size, MAGIC, VERSIONS, "map file")
        self._sections: list[Section] = []
        fragments = [self._described(typed(item, dict, "fragment")) for item in listed(directory, "fragments")]
        ids = [fragment["id"] for fragment, _ in fragments]
        if any(a >= b for a, b in pairwise(ids)):
            raise MapFileError(f"fragment ids must ascend, got {ids}")
        keyframes = self._placed(directory, "map", _KEYFRAME_SECTIONS, integer(directory, "keyframes", 0))
        kept, parts = self._kept(directory), self._parts(directory)
        check_layout(self._sections, directory_offset)
        if verify:
            for section in self._sections:
                _verify(file, section)
        self._map = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)

        def raw(section: Section) -> memoryview:
            return section.array(self._map).data

        self.state = MapState(
            tuple(self._fragment(fields, sections, verify) for fields, sections in fragments),
            integer(directory, "last_keyframe_id", 0),
            *_gravity(directory),
            **self._keyframes({name: section.array(self._map) for name, section in keyframes.items()}),
            keyframes=tuple(
                PackedKeyframe(**fields, color=raw(images["color"]), depth=raw(images["depth"]))
                for fields, images in kept
            ),
            parts={name: raw(section) for name, section in parts.items()},
        )

    def _kept(self, directory: dict[str, Any]) -> list[tuple[dict[str, Any], dict[str, Section]]]:
        kept: list[tuple[dict[str, Any], dict[str, Section]]] = []
        for item in listed(directory, "kept_keyframes") if self.version > 2 else ():
            number = integer(typed(item, dict, "keyframe"), "id", 1)
            name = f"keyframe {number}"
            color_format, depth_format = (typed(value, str, f"{name}: formats") for value in listed(item, "formats"))
            floor = item["floor_height_m"]
            fields = {
                "id": number,
                "stamp_ns": integer(item, "stamp_ns", -INT64_LIMIT),
                "camera": _camera(typed(item["camera"], dict, f"{name}: camera"), name),
                "T_map_camera": _pose(item, "T_map_camera", name),
                "up": np.array([real(value, f"{name}: up") for value in listed(item, "up")], dtype=np.float64),
                "floor_height_m": math.nan if floor is None else real(floor, f"{name}: floor_height_m"),
                "color_format": color_format,
                "depth_format": depth_format,
            }
            kept.append((fields, self._placed(item, name, dict.fromkeys(("color", "depth"), ("|u1", ())), None)))
        if any(a["id"] >= b["id"] for (a, _), (b, _) in pairwise(kept)):
            raise MapFileError("ids of kept keyframes must ascend")
        return kept

    def _parts(self, directory: dict[str, Any]) -> dict[str, Section]:
        entries = typed(directory["parts"], dict, "parts") if self.version > 2 else {}
        for name in entries:
            if not _PART_NAME.fullmatch(name):
                raise MapFileError(f"part: expected a word, found {name!r:.60}")
        parts = {name: read_entry(entry, f"part/{name}", "|u1", (None,)) for name, entry in entries.items()}
        self._sections += parts.values()
        return parts

    def _described(self, item: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Section]]:
        number = integer(item, "id", 1)
        name = f"fragment {number}"
        kinds = _VOXEL_SECTIONS
        if "label" in typed(item["sections"], dict, f"{name}: sections"):
            kinds = kinds | _LABEL_SECTIONS
        sizes_m = {key: real(item[key], f"{name}: {key}") for key in ("voxel_size_m", "truncation_m")}
        fields = {
            "id": number,
            "revision": integer(item, "revision", 0),
            "stamp_ns": integer(item, "stamp_ns", -INT64_LIMIT),
            "T_map_fragment": _pose(item, "T_map_fragment", name),
            "keyframe_ids": tuple(checked_integer(v, "keyframe id", 1) for v in listed(item, "keyframe_ids")),
            **sizes_m,
        }
        return fields, self._placed(item, name, kinds, integer(item, "blocks", 0))

    def _placed(
        self, item: dict[str, Any], owner: str, kinds: Mapping[str, tuple[str, tuple[int, ...]]], count: int | None
    ) -> dict[str, Section]:
        entries = typed(item["sections"], dict, f"{owner}: sections")
        sections = {
            name: read_entry(entries[name], f"{owner}/{name}", dtype, (count, *shape))
            for name, (dtype, shape) in kinds.items()
        }
        self._sections += sections.values()
        return sections

    def _fragment(self, fields: dict[str, Any], sections: Mapping[str, Section], verify: bool) -> Fragment:
        arrays = {name: section.array(self._map) for name, section in sections.items()}
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


def _verify(file: BinaryIO, section: Section) -> None:
    wrong = None
    name = section.name.rsplit("/", 1)[1]
    for chunk in verify(file, section):
        # The zeros that fill up a section are a value like others.
        wrong = wrong or _impossible(name, chunk, section.dtype)
    if wrong is not None:
        raise MapFileError(f"section {section.name}: {wrong}")


def _camera(item: dict[str, Any], owner: str) -> Camera:
    size = [checked_integer(item[key], f"{owner}: {key}", 1) for key in _CAMERA_FIELDS[:2]]
    return Camera(*size, *(real(item[key], f"{owner}: {key}") for key in _CAMERA_FIELDS[2:]))


def _pose(item: dict[str, Any], key: str, owner: str) -> NDArray[np.float64]:
    values = [real(value, f"{owner}: {key}") for value in listed(item, key)]
    if len(values) != 16:
        raise MapFileError(f"{owner}: {key} needs 16 numbers, found {len(values)}")
    pose = np.array(values, dtype=np.float64).reshape(4, 4)
    checked_transform(pose, f"{owner}: {key}")  # which returns one that is rounded otherwise
    return pose


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
    up = np.array([real(value, "up") for value in listed(directory, "up")], dtype=np.float64)
    if up.shape != (3,) or not abs(float(np.linalg.norm(up)) - 1.0) < 1e-6:
        raise MapFileError(f"up: expected a unit vector, found {up.tolist()}")
    floor = directory["floor_height_m"]
    return up, math.nan if floor is None else real(floor, "floor_height_m")

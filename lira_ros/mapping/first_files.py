"""Map files of version 1: a zip of NumPy arrays, without keyframe poses. They can be read and are not written."""

from __future__ import annotations

import zipfile
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from lira_ros.geometry.pose import checked_transform
from lira_ros.mapping.fragment import VOXELS_PER_BLOCK, Fragment
from lira_ros.mapping.voxel import BLOCK_LIMIT, unique_blocks

MAGIC = b"PK\x03\x04"  # of a zip
_ARRAYS: dict[str, tuple[str, tuple[int, ...]]] = {
    "block_coordinates": ("<i4", (3,)),
    "tsdf": ("<f4", (VOXELS_PER_BLOCK,)),
    "weight": ("<f4", (VOXELS_PER_BLOCK,)),
    "color": ("|u1", (VOXELS_PER_BLOCK, 3)),
}


def read_first(file: BinaryIO) -> tuple[tuple[Fragment, ...], int, NDArray[np.float64], float]:
    """Return the fragments, the last keyframe id, up (3,) and the height of the floor [m].

    Raises ValueError, KeyError, TypeError or OSError for whatever is wrong.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            # Members are not compressed, so nothing becomes larger than the file.
            if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
                raise ValueError("expected a zip without compression")
            if (broken := archive.testzip()) is not None:
                raise ValueError(f"{broken} was altered")
        file.seek(0)
        with np.load(file, allow_pickle=False) as arrays:
            return _read(arrays)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, IndexError, AttributeError) as error:
        raise ValueError(f"not a map file of version 1, or a broken one: {error}") from error


def _read(arrays: Any) -> tuple[tuple[Fragment, ...], int, NDArray[np.float64], float]:
    name, version = str(arrays["format"]), int(arrays["version"])
    if (name, version) != ("lira_map", 1):
        raise ValueError(f"expected a zip of lira_map 1, found {name!r:.40} {version}")
    count = int(arrays["fragment_count"])
    up = np.asarray(arrays["up"], dtype=np.float64)
    if up.shape != (3,) or not abs(float(np.linalg.norm(up)) - 1.0) < 1e-6:
        raise ValueError(f"up: expected a unit vector, found {up.tolist()}")
    last_keyframe_id = int(arrays["last_keyframe_id"])
    if not 0 <= last_keyframe_id < 1 << 31 or not 0 <= count <= len(arrays.files):
        raise ValueError(f"expected counts, found {count} fragments and the last keyframe {last_keyframe_id}")
    fragments = tuple(_fragment(arrays, number) for number in range(count))
    return fragments, last_keyframe_id, up, float(arrays["floor_height_m"])


def _fragment(arrays: Any, number: int) -> Fragment:
    prefix = f"fragment_{number}/"
    identity = arrays[prefix + "identity"].tolist()
    if len(identity) != 3 or identity[0] != number + 1:
        raise ValueError(f"{prefix}identity: expected fragment {number + 1}, found {identity!r:.60}")
    voxels: dict[str, NDArray[Any]] = {}
    for name, (dtype, shape) in _ARRAYS.items():
        array = arrays[prefix + name]
        if array.dtype.str != dtype or array.shape[1:] != shape:
            raise ValueError(f"{prefix}{name}: expected (B, {shape}) {dtype}, found {array.shape} {array.dtype.str}")
        voxels[name] = array
    tsdf, weight, blocks = voxels["tsdf"], voxels["weight"], voxels["block_coordinates"]
    if not (np.isfinite(tsdf).all() and np.isfinite(weight).all() and (weight >= 0).all() and (abs(tsdf) <= 1).all()):
        raise ValueError(f"{prefix}: expected distances from -1 to 1 and weights of at least 0")
    if len(blocks) and (int(np.abs(blocks).max()) > BLOCK_LIMIT or len(unique_blocks(blocks)) != len(blocks)):
        raise ValueError(f"{prefix}: block coordinates beyond {BLOCK_LIMIT}, or a block twice")
    voxel_size_m, truncation_m = arrays[prefix + "size_m"].tolist()
    return Fragment(
        id=identity[0],
        revision=identity[1],
        stamp_ns=identity[2],
        T_map_fragment=checked_transform(arrays[prefix + "T_map_fragment"], f"{prefix}T_map_fragment"),
        voxel_size_m=voxel_size_m,
        truncation_m=truncation_m,
        keyframe_ids=tuple(arrays[prefix + "keyframe_ids"].tolist()),
        **voxels,
    )

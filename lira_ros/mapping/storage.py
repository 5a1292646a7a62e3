"""Save and load a map as one versioned file: a zip of plain numpy arrays, without pickles."""

from __future__ import annotations

import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lira_ros.geometry.pose import checked_transform
from lira_ros.mapping.fragment import VOXELS_PER_BLOCK, Fragment

FORMAT = "lira_map"
VERSION = 1


class MapFileError(ValueError):
    """A map file is missing, broken, of another version or of other voxels; names the file."""


@dataclass(frozen=True)
class MapState:
    """What a map needs to go on: its fragments, the last keyframe id, gravity and the floor [m]."""

    fragments: tuple[Fragment, ...]
    last_keyframe_id: int
    up: NDArray[np.float64]
    floor_height_m: float


_ARRAYS = {
    "block_coordinates": (np.int32, (3,)),
    "tsdf": (np.float32, (VOXELS_PER_BLOCK,)),
    "weight": (np.float32, (VOXELS_PER_BLOCK,)),
    "color": (np.uint8, (VOXELS_PER_BLOCK, 3)),
}


def save(path: str | Path, state: MapState) -> None:
    """Write a map; an existing file is replaced only once the new one is complete. Raises MapFileError."""
    arrays: dict[str, NDArray] = {
        "format": np.array(FORMAT),
        "version": np.array(VERSION),
        "fragment_count": np.array(len(state.fragments)),
        "last_keyframe_id": np.array(state.last_keyframe_id),
        "up": state.up,
        "floor_height_m": np.array(state.floor_height_m),
    }
    for number, fragment in enumerate(state.fragments):
        prefix = f"fragment_{number}/"
        arrays[prefix + "identity"] = np.array([fragment.id, fragment.revision, fragment.stamp_ns], dtype=np.int64)
        arrays[prefix + "size_m"] = np.array([fragment.voxel_size_m, fragment.truncation_m])
        arrays[prefix + "T_map_fragment"] = fragment.T_map_fragment
        arrays[prefix + "keyframe_ids"] = np.array(fragment.keyframe_ids, dtype=np.int64)
        for name in _ARRAYS:
            arrays[prefix + name] = getattr(fragment, name)
    path = Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise MapFileError(f"{path}: cannot write the map: {error}") from error
    finally:
        partial.unlink(missing_ok=True)


def load(path: str | Path) -> MapState:
    """Read a map; raises MapFileError that names the file and what is wrong with it."""
    path = Path(path)
    try:
        with np.load(path, allow_pickle=False) as file:
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise MapFileError(f"{path}: not a map file")
            return _read(file)
    except FileNotFoundError as error:
        raise MapFileError(f"{path}: there is no such map file") from error
    except MapFileError as error:
        raise MapFileError(str(error) if str(path) in str(error) else f"{path}: {error}") from error
    except (OSError, EOFError, KeyError, ValueError, IndexError, TypeError, zipfile.BadZipFile) as error:
        raise MapFileError(f"{path}: not a map file, or a broken one: {error}") from error


def _read(file: np.lib.npyio.NpzFile) -> MapState:
    if str(file["format"]) != FORMAT:
        raise MapFileError(f"not a {FORMAT} file")
    version = int(file["version"])
    if version != VERSION:
        raise MapFileError(f"map file of version {version}, this program reads version {VERSION}")
    fragments = tuple(_read_fragment(file, number) for number in range(int(file["fragment_count"])))
    up = np.asarray(file["up"], dtype=np.float64)
    if up.shape != (3,) or not abs(float(np.linalg.norm(up)) - 1.0) < 1e-6:
        raise MapFileError(f"up must be a unit vector, got {up.tolist()}")
    return MapState(fragments, int(file["last_keyframe_id"]), up, float(file["floor_height_m"]))


def _read_fragment(file: np.lib.npyio.NpzFile, number: int) -> Fragment:
    prefix = f"fragment_{number}/"
    identity = file[prefix + "identity"].tolist()
    if identity[0] != number + 1:
        raise MapFileError(f"fragment {number + 1} expected, got {identity[0]}")
    voxel_size_m, truncation_m = file[prefix + "size_m"].tolist()
    arrays: dict[str, NDArray] = {}
    for name, (dtype, shape) in _ARRAYS.items():
        array = file[prefix + name]
        if array.dtype != dtype or array.shape[1:] != shape:
            raise MapFileError(
                f"{prefix}{name}: expected (B, {shape}) {np.dtype(dtype)}, got {array.shape} {array.dtype}"
            )
        arrays[name] = array
    if not (np.isfinite(arrays["tsdf"]).all() and np.isfinite(arrays["weight"]).all()):
        raise MapFileError(f"{prefix}: voxels must be finite")
    return Fragment(
        id=identity[0],
        revision=identity[1],
        stamp_ns=identity[2],
        T_map_fragment=checked_transform(file[prefix + "T_map_fragment"], prefix + "T_map_fragment"),
        voxel_size_m=voxel_size_m,
        truncation_m=truncation_m,
        keyframe_ids=tuple(file[prefix + "keyframe_ids"].tolist()),
        block_coordinates=arrays["block_coordinates"],
        tsdf=arrays["tsdf"],
        weight=arrays["weight"],
        color=arrays["color"],
    )

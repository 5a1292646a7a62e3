"""Colour, depth, instance and matrix files of recordings, each read with an error that names the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from lira_ros.datasets.sequence import SequenceError
from lira_ros.geometry.camera import Camera
from lira_ros.geometry.depth import meters_from_millimeters

MILLIMETRES_PER_METRE = 1000.0


def _decoded(path: Path, what: str) -> Image.Image:
    try:
        image = Image.open(path)
        image.load()
    except FileNotFoundError:
        raise SequenceError(f"{path}: {what} is missing") from None
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise SequenceError(f"{path}: expected {what}, but the file cannot be decoded ({error})") from None
    return image


def read_color(path: Path) -> NDArray[np.uint8]:
    """Read a PNG or JPEG file as (H, W, 3) uint8 RGB. Raises SequenceError that names the file."""
    image = _decoded(path, "a colour image (PNG or JPEG)")
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        raise SequenceError(f"{path}: expected an 8-bit colour image, got pixel format {image.mode}")
    return np.asarray(image.convert("RGB"))


def read_depth(path: Path) -> NDArray[np.float32]:
    """Read a 16-bit PNG of millimetres as (H, W) float32 metres; 0 and 65535 (7-Scenes) become 0.

    Raises SequenceError that names the file.
    """
    image = _decoded(path, "a depth image (16-bit PNG of millimetres)")
    if image.mode not in ("I;16", "I;16B", "I"):
        raise SequenceError(f"{path}: expected 16-bit depth in millimetres, got pixel format {image.mode}")
    millimetres = np.asarray(image)
    if millimetres.min() < 0 or millimetres.max() > np.iinfo(np.uint16).max:
        raise SequenceError(f"{path}: expected depth of 0 to 65535 mm, got {millimetres.min()} to {millimetres.max()}")
    return meters_from_millimeters(millimetres.astype(np.uint16, copy=False))


def read_instances(path: Path) -> NDArray[np.uint16]:
    """Read an 8- or 16-bit PNG of object ids as (H, W) uint16. Raises SequenceError that names the file."""
    image = _decoded(path, "an instance image (PNG of ids)")
    if image.mode not in ("L", "P", "I;16", "I;16B", "I"):
        raise SequenceError(f"{path}: expected one channel of object ids, got pixel format {image.mode}")
    return np.asarray(image).astype(np.uint16)


def write_png(path: Path, image: NDArray[np.integer]) -> None:
    """Write (H, W, 3) uint8, (H, W) uint8 or (H, W) uint16 as PNG; fast compression, as recordings are large."""
    Image.fromarray(image).save(path, compress_level=1)


def to_millimetres(depth_m: NDArray[np.floating]) -> NDArray[np.uint16]:
    """Round (H, W) metres to uint16 millimetres; what 16 bits cannot hold becomes 0 (invalid)."""
    millimetres = np.rint(np.asarray(depth_m, dtype=np.float64) * MILLIMETRES_PER_METRE)
    millimetres[(millimetres < 0) | (millimetres > np.iinfo(np.uint16).max - 1)] = 0
    return millimetres.astype(np.uint16)


def check_size(path: Path, image: NDArray, camera: Camera) -> None:
    """Raise SequenceError that names the file when an image has not the size of the camera."""
    height, width = image.shape[:2]
    if (width, height) != (camera.width_px, camera.height_px):
        raise SequenceError(f"{path}: expected {camera.width_px} x {camera.height_px} pixels, got {width} x {height}")


def read_matrix(path: Path, columns: int, what: str) -> NDArray[np.float64]:
    """Read a text file of numbers as (N, ``columns``) float64; NaN and inf are kept for the caller to judge.

    Raises SequenceError that names the file and the line.
    """
    try:
        text = path.read_text()
    except FileNotFoundError:
        raise SequenceError(f"{path}: {what} is missing") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SequenceError(f"{path}: expected {what} as text, but it cannot be read ({error})") from None
    rows: list[list[float]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        fields = line.replace(",", " ").split()
        if not fields:
            continue
        try:
            row = [float(item) for item in fields]
        except ValueError:
            raise SequenceError(f"{path}, line {number}: expected {what}, got {line.strip()[:60]!r}") from None
        if len(row) != columns:
            raise SequenceError(f"{path}, line {number}: expected {columns} numbers of {what}, got {len(row)}")
        rows.append(row)
    if not rows:
        raise SequenceError(f"{path}: expected {what}, but the file is empty")
    return np.array(rows)

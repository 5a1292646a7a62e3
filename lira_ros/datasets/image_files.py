"""Colour, depth, instance, number and JSON files of recordings, each read with an error that names the file.

Recordings come from anywhere. So sizes are checked before anything is decoded, text is read up to a limit, nothing but
a plain file is opened, and a link must not lead out of the recording (``inside``).
"""

from __future__ import annotations

import json
import os
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from lira_ros.datasets.sequence import SequenceError
from lira_ros.geometry.camera import Camera
from lira_ros.geometry.depth import INVALID_MILLIMETRES, meters_from_millimeters

MILLIMETRES_PER_METRE = 1000.0
# The largest picture that is decoded: 8K UHD, 7680 x 4320. Ten times that needs a gigabyte as colour and depth.
MAX_PIXELS = 7680 * 4320
# OpenCV resamples pictures with sides below 2^15 - 1 pixels.
MAX_SIDE_PX = 2**15 - 2
# Tables of numbers: 200000 poses of 16 numbers with all their digits, two hours at 30 Hz, take 64 MiB.
MAX_TEXT_BYTES = 64 << 20
MAX_LINE_BYTES = 1 << 16
# The tag by which cameras say how they were held, and its values for pictures that lie on a side (EXIF 2.3, 4.6.4).
EXIF_ORIENTATION = 0x0112
LYING_ORIENTATIONS = (5, 6, 7, 8)
# Parsed JSON takes up to 30 times the memory of its text.
MAX_JSON_BYTES = 16 << 20
# Folders, separated as in PATH, that links in a recording may lead to although they are outside of it.
LINK_TARGETS_VARIABLE = "LIRA_LINK_TARGETS"
_LARGEST_ID = int(np.iinfo(np.uint16).max)


def inside(path: Path, root: Path) -> Path:
    """Return ``path``; raises SequenceError when it leads out of the recording ``root``, by a link or by "..".

    The recording itself may be a link, and links inside of it to other places inside of it are followed. A file that
    is not there is for the reader to name. Links may also lead into the folders of LIRA_LINK_TARGETS.
    """
    try:
        target = os.path.realpath(path)
    except (OSError, ValueError) as error:  # ValueError: a null character in a name
        raise SequenceError(f"{str(path)[:200]!r}: is no name of a file ({error})") from None
    allowed = [
        root,
        *(Path(item).expanduser() for item in os.environ.get(LINK_TARGETS_VARIABLE, "").split(os.pathsep) if item),
    ]
    for folder in allowed:
        real = os.path.realpath(folder)
        if target == real or target.startswith(real.rstrip(os.sep) + os.sep):
            return path
    raise SequenceError(
        f"{path}: leads out of the recording, to {target}; copy the file into the recording, link the whole folder, "
        f"or name the folder in {LINK_TARGETS_VARIABLE} if you trust the recording"
    )


def check_plain(path: Path, what: str) -> None:
    """Raise SequenceError that names the file when it is missing or no plain file.

    A pipe or a device would be waited for, or read without end.
    """
    # os.path, not Path: a name from a list may be too long or hold null characters, and Path raises for those.
    if not os.path.isfile(path):
        if os.path.exists(path):
            raise SequenceError(f"{path}: expected {what}, but it is not a plain file")
        raise SequenceError(f"{path}: {what} is missing")


def _opened(path: Path, what: str, camera: Camera | None) -> Image.Image:
    check_plain(path, what)
    try:
        image = Image.open(path, formats=("PNG", "JPEG"))
    except (
        UnidentifiedImageError,
        OSError,
        ValueError,
        SyntaxError,
        Image.DecompressionBombError,
        Image.DecompressionBombWarning,
    ) as error:
        raise SequenceError(f"{path}: expected {what}, but the file cannot be decoded ({error})") from None
    width, height = image.size
    problem = ""
    if camera is not None and (width, height) != (camera.width_px, camera.height_px):
        problem = f"expected {camera.width_px} x {camera.height_px} pixels, got {width} x {height}"
    elif width * height > MAX_PIXELS or max(width, height) > MAX_SIDE_PX:
        problem = f"expected at most {MAX_PIXELS} pixels (8K) and {MAX_SIDE_PX} a side, got {width} x {height}"
    if problem:
        image.close()
        raise SequenceError(f"{path}: {problem}")
    return image


def _decoded(path: Path, what: str, camera: Camera | None) -> Image.Image:
    image = _opened(path, what, camera)
    try:
        image.load()
    # The decoders of PNG and JPEG raise what they like on broken data: OSError, SyntaxError, ValueError, IndexError.
    except Exception as error:
        image.close()
        raise SequenceError(f"{path}: expected {what}, but the file cannot be decoded ({error})") from None
    return image


def image_size(path: Path, what: str) -> tuple[int, int]:
    """Return width and height [px] of a PNG or JPEG file from its header. Raises SequenceError that names the file."""
    with _opened(path, f"{what} (PNG or JPEG)", None) as image:
        return image.size


def read_color(path: Path, camera: Camera | None = None) -> NDArray[np.uint8]:
    """Read a PNG or JPEG file as (H, W, 3) uint8 RGB.

    Raises SequenceError that names the file, also when it has not the size of ``camera``.
    """
    image = _decoded(path, "a colour image (PNG or JPEG)", camera)
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        raise SequenceError(f"{path}: expected an 8-bit colour image, got pixel format {image.mode}")
    return np.asarray(image.convert("RGB"))


def read_depth(
    path: Path, camera: Camera | None = None, units_per_m: float = MILLIMETRES_PER_METRE
) -> NDArray[np.float32]:
    """Read a 16-bit PNG as (H, W) float32 metres; 0 and 65535 (7-Scenes; saturated in others) become 0.

    units_per_m: 1000 for millimetres, 5000 for TUM RGB-D. Raises SequenceError that names the file, also when it has
    not the size of ``camera``.
    """
    unit = "millimetres" if units_per_m == MILLIMETRES_PER_METRE else f"1/{units_per_m:g} m"
    image = _decoded(path, f"a depth image (16-bit PNG of {unit})", camera)
    if image.mode not in ("I;16", "I;16B", "I"):
        raise SequenceError(f"{path}: expected 16-bit depth in {unit}, got pixel format {image.mode}")
    values = np.asarray(image)
    if values.min() < 0 or values.max() > INVALID_MILLIMETRES:
        raise SequenceError(f"{path}: expected depth of 0 to 65535 units, got {values.min()} to {values.max()}")
    values = values.astype(np.uint16, copy=False)
    if units_per_m == MILLIMETRES_PER_METRE:
        return meters_from_millimeters(values)
    depth_m = values / np.float32(units_per_m)
    depth_m[values == INVALID_MILLIMETRES] = 0.0
    return depth_m


def read_instances(path: Path, camera: Camera | None = None) -> NDArray[np.uint16]:
    """Read an 8- or 16-bit PNG of object ids as (H, W) uint16.

    Raises SequenceError that names the file, also when it has not the size of ``camera``.
    """
    image = _decoded(path, "an instance image (PNG of ids)", camera)
    if image.mode not in ("L", "P", "I;16", "I;16B", "I"):
        raise SequenceError(f"{path}: expected one channel of object ids, got pixel format {image.mode}")
    ids = np.asarray(image)
    if ids.min() < 0 or ids.max() > _LARGEST_ID:
        raise SequenceError(f"{path}: expected ids of 0 to {_LARGEST_ID}, got {ids.min()} to {ids.max()}")
    return ids.astype(np.uint16)


def write_png(path: Path, image: NDArray[np.integer]) -> None:
    """Write (H, W, 3) uint8, (H, W) uint8 or (H, W) uint16 as PNG; fast compression, as recordings are large."""
    Image.fromarray(image).save(path, format="PNG", compress_level=1)


def to_millimetres(depth_m: NDArray[np.floating]) -> NDArray[np.uint16]:
    """Round (H, W) metres to uint16 millimetres; what 16 bits cannot hold becomes 0 (invalid)."""
    millimetres = np.rint(np.asarray(depth_m, dtype=np.float64) * MILLIMETRES_PER_METRE)
    millimetres[(millimetres < 0) | (millimetres > np.iinfo(np.uint16).max - 1)] = 0
    return millimetres.astype(np.uint16)


def read_lines(path: Path, what: str) -> Iterator[tuple[int, str]]:
    """Read a text file line by line with the numbers of the lines, without empty lines and comments (#).

    Raises SequenceError that names the file when it is missing, no text, or larger than MAX_TEXT_BYTES.
    """
    check_plain(path, what)
    try:
        size = path.stat().st_size
        if size > MAX_TEXT_BYTES:
            raise SequenceError(f"{path}: expected {what} of at most {MAX_TEXT_BYTES >> 20} MiB, got {size >> 20} MiB")
        with path.open(encoding="utf-8-sig") as file:
            number = 0
            while line := file.readline(MAX_LINE_BYTES):
                number += 1
                if len(line) == MAX_LINE_BYTES and not line.endswith("\n"):
                    raise SequenceError(
                        f"{path}, line {number}: expected {what}, got a line of more than {MAX_LINE_BYTES} characters"
                    )
                text = line.split("#", 1)[0].strip()
                if text:
                    yield number, text
    except (OSError, UnicodeDecodeError) as error:
        raise SequenceError(f"{path}: expected {what} as text, but it cannot be read ({error})") from None


def read_matrix(path: Path, columns: int, what: str) -> NDArray[np.float64]:
    """Read a text file of numbers as (N, ``columns``) float64; NaN and inf are kept for the caller to judge.

    Numbers are separated by blanks or commas; # begins a comment. Raises SequenceError that names the file and the
    line.
    """
    values = array("d")
    for number, line in read_lines(path, what):
        fields = line.replace(",", " ").split()
        try:
            row = [float(item) for item in fields]
        except ValueError:
            raise SequenceError(f"{path}, line {number}: expected {what}, got {line[:60]!r}") from None
        if len(row) != columns:
            raise SequenceError(f"{path}, line {number}: expected {columns} numbers of {what}, got {len(row)}")
        values.extend(row)
    if not values:
        raise SequenceError(f"{path}: expected {what}, but the file is empty")
    return np.frombuffer(values, dtype=np.float64).reshape(-1, columns)


def read_json(path: Path, what: str, max_bytes: int = MAX_JSON_BYTES) -> Any:
    """Read a JSON file. Raises SequenceError that names the file when it is missing, too large, or no JSON."""
    check_plain(path, what)
    try:
        size = path.stat().st_size
        if size > max_bytes:
            raise SequenceError(f"{path}: expected {what} of at most {max_bytes >> 20} MiB, got {size >> 20} MiB")
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except SequenceError:
        raise
    # A RecursionError is what a million opening brackets end in.
    except (OSError, ValueError, RecursionError) as error:
        raise SequenceError(f"{path}: expected {what} as JSON, got {type(error).__name__}: {error}") from None


def read_intrinsic_matrix(path: Path, size: tuple[int, int]) -> Camera:
    """Read a 3x3 camera matrix for images of ``size`` (width, height). Raises SequenceError that names the file."""
    matrix = read_matrix(path, 3, "the 3x3 camera matrix")
    if matrix.shape != (3, 3):
        raise SequenceError(f"{path}: expected a 3x3 camera matrix, got {matrix.shape[0]} rows")
    return checked_camera(path, size, *(float(matrix[i]) for i in ((0, 0), (1, 1), (0, 2), (1, 2))))


def checked_camera(path: Path, size: tuple[int, int], fx: float, fy: float, cx: float, cy: float) -> Camera:
    """Return the camera of ``size`` (width, height); raises SequenceError that names the file of the intrinsics.

    A principal point outside of the image or a focal length beyond a hundred images belongs to another image size or
    to another camera.
    """
    try:
        camera = Camera(*size, fx, fy, cx, cy)
    except ValueError as error:
        raise SequenceError(f"{path}: {error}") from None
    width, height = size
    if not (-0.5 <= cx <= width - 0.5 and -0.5 <= cy <= height - 0.5) or max(fx, fy) > 100 * max(size):
        raise SequenceError(
            f"{path}: the intrinsics fx={fx:g} fy={fy:g} cx={cx:g} cy={cy:g} do not fit images of {width} x {height}"
        )
    return camera

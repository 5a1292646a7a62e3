"""A single picture as a keyframe: how a reasoner is tried without a recording."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from lira_ros.datasets.image_files import (
    EXIF_ORIENTATION,
    check_plain,
    checked_camera,
    read_depth,
    read_intrinsic_matrix,
)
from lira_ros.datasets.sequence import SequenceError
from lira_ros.geometry.camera import Camera
from lira_ros.geometry.frame import Frame, Keyframe
from lira_ros.geometry.gravity import GravityEstimator

FORMATS = ("PNG", "JPEG", "WEBP")
# Longest side of what is asked about: SAM looks at 1024 pixels, vision-language models at about a megapixel.
MAX_ASKED_SIDE_PX = 2048
# Colour camera of the Intel RealSense D435 (data sheet, 69 x 42 degrees), taken where no intrinsics are given.
ASSUMED_FIELD_OF_VIEW_DEG = 69.0


class PictureError(SequenceError):
    """A picture cannot be read; the message names the file, what was expected and what came."""


@dataclass(frozen=True)
class Picture:
    """A picture as a keyframe, and what is known of it.

    width_px, height_px: of the picture in the file, upright; the keyframe may be smaller. has_depth: a depth image was
    given. intrinsics_known: they were given; else a field of view is assumed and lengths are guesses.
    """

    keyframe: Keyframe
    width_px: int
    height_px: int
    has_depth: bool
    intrinsics_known: bool


def read_picture(path: Path, depth_path: Path | None = None, intrinsics: str = "", up: str = "auto") -> Picture:
    """Read a picture (PNG, JPEG, WebP), with a registered 16-bit depth PNG in millimetres where there is one.

    intrinsics: "fx,fy,cx,cy" in pixels, or the file of a 3x3 matrix; "" = a field of view of 69 degrees is assumed.
    up: which way is against gravity, as mapping.up in the axes of the camera (x right, y down, z forward). Transparent
    pixels become white, 16-bit grey is shortened, pictures above MAX_ASKED_SIDE_PX are made smaller.
    Raises SequenceError that names the file.
    """
    color = _read_upright(path, with_depth=depth_path is not None)
    height, width = color.shape[:2]
    camera = _read_camera(intrinsics, (width, height))
    depth_m = np.zeros((height, width), np.float32) if depth_path is None else read_depth(depth_path, camera)
    scale = MAX_ASKED_SIDE_PX / max(width, height)
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        color = cv2.resize(color, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
        # Between two depths there is nothing: they are never mixed.
        depth_m = cv2.resize(depth_m, size, interpolation=cv2.INTER_NEAREST).astype(np.float32, copy=False)
        camera = camera.scaled(*size)
    frame = Frame(0, color, depth_m, camera, np.eye(4))
    gravity = GravityEstimator(up)
    gravity.add_keyframe(frame)
    keyframe = Keyframe(1, frame, gravity.up, gravity.floor_height_m)
    return Picture(keyframe, width, height, depth_path is not None, bool(intrinsics))


def _read_upright(path: Path, *, with_depth: bool) -> NDArray[np.uint8]:
    kinds = "a picture (PNG, JPEG or WebP)"
    check_plain(path, kinds)
    try:
        with warnings.catch_warnings():
            # Pillow warns above 89 megapixels, which no usual camera takes; decoded, they fill 270 MB.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(path, formats=FORMATS)
        with image:
            turned = image.getexif().get(EXIF_ORIENTATION, 1) not in (0, 1)
            if turned and with_depth:
                raise PictureError(
                    f"{path}: its EXIF data turn it, and the depth image does not say whether it is to be turned too; "
                    "save both upright, without EXIF data"
                )
            upright = ImageOps.exif_transpose(image)
            upright.load()
            return _to_rgb(upright, path)
    except PictureError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        limit = (Image.MAX_IMAGE_PIXELS or 0) / 1e6
        raise PictureError(f"{path}: the picture is too large; expected at most {limit:.0f} megapixels") from None
    except UnidentifiedImageError:
        raise PictureError(f"{path}: expected {kinds}, got something else") from None
    # The decoders raise what they like on broken data: OSError, SyntaxError, ValueError, IndexError.
    except Exception as error:
        raise PictureError(f"{path}: expected {kinds}, but it cannot be decoded ({error})") from None


def _to_rgb(image: Image.Image, path: Path) -> NDArray[np.uint8]:
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        values = np.asarray(image)
        if values.min() < 0 or values.max() > np.iinfo(np.uint16).max:
            raise PictureError(f"{path}: expected 8 or 16 bits a pixel, got values {values.min()} to {values.max()}")
        gray = (values.astype(np.uint32) >> 8).astype(np.uint8)
        return np.repeat(gray[..., None], 3, axis=2)
    if "transparency" in image.info or image.mode.endswith(("A", "a")):
        seen = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", seen.size, "white"), seen)
    return np.ascontiguousarray(np.asarray(image.convert("RGB")))


def _read_camera(intrinsics: str, size: tuple[int, int]) -> Camera:
    width, height = size
    if not intrinsics:
        focal = 0.5 * width / math.tan(math.radians(0.5 * ASSUMED_FIELD_OF_VIEW_DEG))
        return Camera(width, height, focal, focal, 0.5 * (width - 1), 0.5 * (height - 1))
    numbers = intrinsics.split(",")
    if len(numbers) == 1:
        return read_intrinsic_matrix(Path(intrinsics).expanduser(), size)
    try:
        fx, fy, cx, cy = (float(number) for number in numbers)
    except ValueError:
        raise PictureError(f"intrinsics: expected fx,fy,cx,cy in pixels or a file, got {intrinsics[:80]!r}") from None
    return checked_camera(Path("intrinsics"), size, fx, fy, cx, cy)

"""Pictures with an instruction and the masks that answer it: what reasoners are scored on in 2D.

Two kinds of sets: ReasonSeg, and whatever is annotated in its form (LISA, Lai et al., CVPR 2024): a folder with
NAME.json beside NAME.jpg, the polygons of labelme with an instruction in ``text``; and the annotated pictures of
ReasonRecon (``reasonrecon:ROOT``). Read one by one, each with an error that names the file.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lira_ros.datasets.image_files import EXIF_ORIENTATION, LYING_ORIENTATIONS, image_size, inside, read_json
from lira_ros.datasets.reasonrecon import LARGEST_CORNER_PX, MAXIMUM_MASKS, AnnotatedPicture, ReasonReconPictures
from lira_ros.datasets.scene_sets import REASONRECON_PREFIX
from lira_ros.datasets.sequence import SequenceError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
DEPTH_SUFFIX = ".depth.png"
INTRINSICS_NAME = "K.txt"
# The fixed sentence behind every instruction of ReasonRecon's pictures (lira-method specification, 2.2): models that
# were trained with it get it from their card, others are not to be told.
_SUPPLEMENT = re.compile(r"\s*Please give all objects that are helpful\b.*\Z", re.DOTALL)
_SPLITS = {
    "val": ("val", "base"),
    "train": ("train", "base"),
    "extension-val": ("val", "extension"),
    "extension-train": ("train", "extension"),
}


@dataclass(frozen=True)
class PictureTask:
    """A picture, an instruction, and the right answer.

    name: unique in its set. depth, intrinsics: files, None = there are none. masks: (objects, H, W) bool in pixels of
    the picture in its file. ignored: (H, W) bool pixels that are neither right nor wrong, None = there are none.
    with_helpers: the masks are those of all things that help to find the targets, not of the targets alone.
    """

    name: str
    picture: Path
    instruction: str
    masks: NDArray[np.bool_]
    ignored: NDArray[np.bool_] | None = None
    with_helpers: bool = False
    depth: Path | None = None
    intrinsics: Path | None = None


class PictureSet(ABC):
    """Annotated pictures by number."""

    @property
    @abstractmethod
    def names(self) -> Sequence[str]:
        """Return the name of each picture."""

    @abstractmethod
    def task(self, index: int) -> PictureTask:
        """Read one; raises SequenceError that names the file."""


def open_pictures(spec: str) -> PictureSet:
    """Open a folder in the form of ReasonSeg, or ``reasonrecon:ROOT`` with ``:SPLIT`` behind it for another than val.

    Splits: val, train, extension-val, extension-train. Raises SequenceError that says what was expected.
    """
    if not spec.startswith(REASONRECON_PREFIX):
        return ReasonSegPictures(Path(spec).expanduser())
    root, _, split = spec.removeprefix(REASONRECON_PREFIX).rpartition(":")
    if not root:
        root, split = split, "val"
    if split not in _SPLITS:
        raise SequenceError(f"{spec}: expected one of the splits {', '.join(_SPLITS)}, got {split!r}")
    return ReasonReconSet(ReasonReconPictures(Path(root).expanduser(), *_SPLITS[split]))


class ReasonSegPictures(PictureSet):
    """A folder with NAME.json beside NAME.jpg (or .png).

    The JSON holds ``text``, a sentence or a list of which the first counts, and ``shapes`` with a ``label`` and
    ``points`` each: polygons of "target" are one object each, those of one ``group_id`` one together; "ignore" is
    neither right nor wrong, "flag" means nothing (LISA, utils/data_processing.py). Of shapes that overlap the smaller
    one wins. NAME.depth.png (16-bit, millimetres) and K.txt (3x3 intrinsics of all pictures) may be there.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise SequenceError(f"{folder}: expected a folder of annotated pictures, or {REASONRECON_PREFIX}FOLDER")
        self._folder = folder
        self._names = tuple(sorted(path.stem for path in folder.glob("*.json")))
        if not self._names:
            raise SequenceError(f"{folder}: expected annotated pictures, NAME.json beside NAME.jpg, found no .json")

    @property
    def names(self) -> Sequence[str]:
        """Return the names of the files without their endings."""
        return self._names

    def task(self, index: int) -> PictureTask:
        """Read a picture's annotation."""
        name = self._names[index]
        path = self._file(f"{name}.json")
        picture = next(
            (item for item in map(self._file, (name + end for end in IMAGE_SUFFIXES)) if item.exists()), None
        )
        if picture is None:
            raise SequenceError(f"{path}: expected {name}{', '.join(IMAGE_SUFFIXES)} beside it, found none")
        content = read_json(path, "an annotated picture")
        try:
            text = content["text"]
            instruction = text if isinstance(text, str) else text[0]
            if not isinstance(instruction, str) or not instruction.strip():
                raise ValueError("text: expected a sentence or a list of them")
            shapes = [_shape(item) for item in _list(content["shapes"])]
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
            raise SequenceError(f"{path}: expected text and shapes ({error!r})") from None
        size = _upright_size(picture)
        masks, ignored = _drawn([shape for shape in shapes if shape is not None], size)
        depth, intrinsics = self._file(name + DEPTH_SUFFIX), self._file(INTRINSICS_NAME)
        return PictureTask(
            name,
            picture,
            instruction,
            masks,
            ignored,
            depth=depth if depth.exists() else None,
            intrinsics=intrinsics if intrinsics.exists() else None,
        )

    def _file(self, name: str) -> Path:
        return inside(self._folder / name, self._folder)


class ReasonReconSet(PictureSet):
    """The annotated pictures of ReasonRecon; their masks are those of everything that helps to find the targets."""

    def __init__(self, pictures: ReasonReconPictures) -> None:
        self._pictures = pictures

    @property
    def names(self) -> Sequence[str]:
        """Return the names of the JSON files without their ending."""
        return self._pictures.names

    def task(self, index: int) -> PictureTask:
        """Read a picture's annotation; raises SequenceError also when its image is missing."""
        found: AnnotatedPicture | None = self._pictures.picture(index)
        if found is None:
            raise SequenceError(f"{self.names[index]}: the image is missing in scans/")
        instruction = _SUPPLEMENT.sub("", found.instruction) or found.instruction
        return PictureTask(self.names[index], found.image, instruction, found.masks(), with_helpers=True)


def _upright_size(picture: Path) -> tuple[int, int]:
    """Return height and width as a viewer shows the picture, and as those who annotated it saw it."""
    width, height = image_size(picture, "a colour image")
    with Image.open(picture) as image:
        lies = image.getexif().get(EXIF_ORIENTATION, 1) in LYING_ORIENTATIONS
    return (width, height) if lies else (height, width)


@dataclass(frozen=True)
class _Shape:
    ignored: bool
    group: int | None
    corners: NDArray[np.float64]


def _shape(item: Any) -> _Shape | None:
    label = str(item["label"]).lower()
    if "flag" in label:
        return None
    corners = np.asarray(item["points"], dtype=np.float64)
    if corners.ndim != 2 or corners.shape[1] != 2 or len(corners) < 3 or not np.isfinite(corners).all():
        raise ValueError("points: expected three corners x, y or more")
    group = item.get("group_id")
    if group is not None and not isinstance(group, int):
        raise ValueError("group_id: expected a whole number or nothing")
    return _Shape("ignore" in label, group, corners)


def _drawn(shapes: Sequence[_Shape], size: tuple[int, int]) -> tuple[NDArray[np.bool_], NDArray[np.bool_] | None]:
    """Draw shapes, the larger ones first, as the published code does; return masks of objects and what is ignored."""
    canvas = np.zeros(size, np.int32)
    numbers: dict[object, int] = {}
    for index, shape in sorted(enumerate(shapes), key=lambda pair: -_area(pair[1].corners)):
        corners = np.rint(np.clip(shape.corners, -LARGEST_CORNER_PX, LARGEST_CORNER_PX)).astype(np.int32)
        key = "ignored" if shape.ignored else (index if shape.group is None else f"group {shape.group}")
        number = -1 if shape.ignored else numbers.setdefault(key, len(numbers) + 1)
        cv2.fillPoly(canvas, [corners], number)
    masks = np.stack([canvas == number for number in numbers.values()]) if numbers else np.zeros((0, *size), np.bool_)
    ignored = canvas == -1
    return masks[masks.any(axis=(1, 2))], ignored if ignored.any() else None


def _area(corners: NDArray[np.float64]) -> float:
    x, y = corners.T
    return math.fabs(float(x @ np.roll(y, 1) - y @ np.roll(x, 1))) / 2


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list) or len(value) > MAXIMUM_MASKS:
        raise ValueError(f"shapes: expected a list of at most {MAXIMUM_MASKS}")
    return value

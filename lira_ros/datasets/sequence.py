"""The one interface through which every recording is read, whatever its format."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lira_ros.geometry.camera import Camera
from lira_ros.geometry.frame import Frame


class SequenceError(ValueError):
    """A recording is missing something or broken; names the file."""


@dataclass(frozen=True)
class GroundTruthObject:
    """One annotated object. points: (N, 3) float32 surface samples [m] in the map frame of the sequence."""

    id: int
    label: str
    points: NDArray[np.float32]
    attributes: dict[str, str]


class Sequence(Protocol):
    """A posed RGB-D recording with optional ground truth; frames are read when asked for."""

    name: str
    path: Path | None
    camera: Camera
    rate_hz: float  # nominal frame rate, from stamps or the format
    up_axis: str  # "+z", "-y", ... when the format fixes gravity, "auto" when it must be estimated
    skipped: dict[str, int]  # frames that were left out, by reason; empty when none was

    def __len__(self) -> int:
        """Return the number of frames with a pose."""
        ...

    def frame(self, index: int) -> Frame:
        """Read one frame; raises SequenceError that names a missing or broken file."""
        ...

    def stamp_ns(self, index: int) -> int:
        """Return the stamp of a frame [ns] without reading it."""
        ...

    def __iter__(self) -> Iterator[Frame]:
        """Read all frames in order of their stamps."""
        ...

    def instance_image(self, index: int) -> NDArray[np.uint16] | None:
        """Return the (H, W) ground-truth object ids of a frame (0 = not annotated), None without truth."""
        ...

    def objects(self) -> tuple[GroundTruthObject, ...]:
        """Return the annotated objects, empty without truth."""
        ...

"""What the fusion room publishes: instances, verdicts and the status of an instruction."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from lira_ros.reasoning.contracts import Attributes, Opinion
from lira_ros.state.columns import Array


class Conformity(IntEnum):
    """Whether an instance conforms to an instruction; values equal lira_msgs/Verdict."""

    UNDECIDED = 0
    CONFORMS = 1
    REJECTED = 2


class SearchState(IntEnum):
    """Where an instruction stands; values equal lira_msgs/InstructionStatus."""

    PENDING = 0
    SEARCHING = 1
    FOUND = 2
    NONE_CONFORM = 3
    CANCELLED = 4
    FAILED = 5


class InstanceState(IntEnum):
    """How sure it is that an instance is a thing; values equal lira_msgs/Instance.

    PROVISIONAL: seen, but in fewer independent looks than confirm it (evidence.CONFIRMED_LOOKS).
    """

    PROVISIONAL = 0
    CONFIRMED = 1


class RemovalReason(IntEnum):
    """Why an instance left the map of an instruction; values equal lira_msgs/Removal."""

    REMOVED = 1
    MERGED = 2
    REJECTED = 3


@dataclass(frozen=True)
class Removal:
    """That an instance left the map of an instruction, and why; merged_into: the id that goes on, 0 unless MERGED."""

    id: int
    reason: RemovalReason
    merged_into: int = 0


@dataclass(frozen=True)
class InstanceView:
    """A small picture of an instance; fields as in lira_msgs/InstanceView.

    jpeg: the picture as a JPEG file. direction: (3,) unit vector from the instance to the camera in the map frame.
    """

    instance_id: int
    keyframe_id: int
    stamp_ns: int
    jpeg: bytes
    visible_px: int
    score: float
    direction: NDArray[np.float64]


@dataclass(frozen=True)
class Verdict:
    """The judgement of one instance against one instruction; reason is a sentence for a person, never empty.

    certainty: how probable it is that what decided was measured right, from 0.5 (a tie) to 1; it is not published.
    """

    conformity: Conformity
    score: float  # [0, 1] how well it fits
    reason: str
    label: str = ""  # the name under which it conforms, "" = the label of the instance
    certainty: float = field(default=1.0, compare=False)


@dataclass(frozen=True)
class OrientedBox:
    """A box whose z axis is along gravity and whose x axis is along the longer horizontal side.

    T_map_box: (4, 4), box centre and axes in the map frame. size_m: (3,) extents along x, y, z of the box.
    """

    T_map_box: NDArray[np.float64]
    size_m: NDArray[np.float64]

    STATE: ClassVar[dict[str, Any]] = {"T_map_box": Array("<f8", (4, 4)), "size_m": Array("<f8", (3,))}

    def corners(self) -> NDArray[np.float64]:
        """Return the (8, 3) corners in the map frame, bottom four first."""
        signs = np.array([[x, y, z] for z in (-1, 1) for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1))])
        local = 0.5 * signs * self.size_m
        return local @ self.T_map_box[:3, :3].T + self.T_map_box[:3, 3]


@dataclass(frozen=True)
class Instance:
    """One instance of the 3D map, as published; fields as in lira_msgs/Instance.

    voxels: (N, 3) int32 sorted by x, y, z; voxel v is centred at v * voxel_size_m in the map frame.
    voxel_colors: (N, 3) uint8 RGB. names: label -> weight summed over observations, normalised to 1. colors: basic
    colour name -> part of the surface, normalised to 1. color_deviation: root mean square distance of the colours from
    their mean in CIELAB, NaN = not measured. looks: what the observations are worth as independent ones.
    merged_from: younger ids that turned out to be this instance. embedding: (D,) float32 of unit length or (0,).
    verdicts: by instruction id. opinions: what models that read an instruction think of it, by instruction id; they end
    in the verdicts and are not part of the message.
    """

    id: int
    label: str
    label_confidence: float
    existence: float
    attributes: Attributes
    box: OrientedBox
    voxel_size_m: float
    voxels: NDArray[np.int32]
    voxel_colors: NDArray[np.uint8]
    first_seen_ns: int
    last_seen_ns: int
    observations: int
    names: dict[str, float] = field(default_factory=dict)
    embedding: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, dtype=np.float32))
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    opinions: dict[str, Opinion] = field(default_factory=dict)
    state: InstanceState = InstanceState.CONFIRMED
    looks: float = 1.0
    colors: dict[str, float] = field(default_factory=dict)
    color_deviation: float = float("nan")
    merged_from: tuple[int, ...] = ()

    @property
    def label_entropy_bits(self) -> float:
        """Return how undecided the votes on the name are [bits]: 0 = one name only (or none), 1 = two even ones."""
        return _entropy_bits(self.names.values())

    @property
    def color_entropy_bits(self) -> float:
        """Return how mixed the colour is [bits]: 0 = one basic colour (or none measured), 1 = two even ones."""
        return _entropy_bits(self.colors.values())

    @property
    def points(self) -> NDArray[np.float32]:
        """Return the (N, 3) voxel centres [m] in the map frame."""
        return self.voxels.astype(np.float32) * np.float32(self.voxel_size_m)

    @cached_property
    def centroid(self) -> NDArray[np.float64]:
        """Return the (3,) mean of the voxel centres [m] in the map frame; of the box when it came without voxels."""
        if len(self.voxels) == 0:
            return np.asarray(self.box.T_map_box[:3, 3], dtype=np.float64)
        # A product sums the columns ten times as fast as mean() does, and exactly: voxels are whole numbers.
        total = np.ones(len(self.voxels)) @ self.voxels
        return np.asarray(total * (self.voxel_size_m / len(self.voxels)))


def _entropy_bits(shares: Iterable[float]) -> float:
    return -sum(share * math.log2(share) for share in shares if share > 0.0) + 0.0


@dataclass(frozen=True)
class Judgement:
    """The outcome of the target inference for one instruction: a verdict for every instance judged."""

    state: SearchState
    reason: str
    verdicts: dict[int, Verdict]  # by instance id


@dataclass(frozen=True)
class InstructionStatus:
    """Where an instruction stands; fields as in lira_msgs/InstructionStatus."""

    instruction_id: str
    state: SearchState
    reason: str
    keyframes_answered: int = 0
    keyframes_pending: int = 0
    instances_judged: int = 0
    instances_found: int = 0

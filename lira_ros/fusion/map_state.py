"""What a ConformingMap knows besides its instances, as it is saved, and what others read of a saved map."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from lira_ros.fusion.contracts import InstructionStatus
from lira_ros.fusion.exploration import Exploration
from lira_ros.fusion.instance_state import check_ids, check_unit
from lira_ros.fusion.steadying import SteadyVerdicts
from lira_ros.geometry.frame import Keyframe
from lira_ros.geometry.pose import checked_transform
from lira_ros.reasoning.contracts import Opinion
from lira_ros.state.columns import Array, StateError, from_bytes, to_bytes

STATE_NAME = "instance map"


@dataclass(frozen=True)
class ReasoningProgress:
    """How far the reasoning is with an instruction, as it says itself.

    failure: why it could not answer, "" when it could. waiting: why no answer has come yet, "" when not known.
    """

    answered: int
    pending: int
    failure: str = ""
    waiting: str = ""


@dataclass(frozen=True)
class Viewpoint:
    """What of the newest keyframe is asked for again: stamp, direction of gravity (3,), pose of the camera (4, 4)."""

    id: int
    stamp_ns: int
    up: NDArray[np.float64]
    T_map_camera: NDArray[np.float64]

    STATE: ClassVar[dict[str, Any]] = {
        "id": int,
        "stamp_ns": int,
        "up": Array("<f8", (3,)),
        "T_map_camera": Array("<f8", (4, 4)),
    }

    def __post_init__(self) -> None:
        """Check direction and pose."""
        check_unit(self.up)
        checked_transform(self.T_map_camera, "pose of the newest keyframe")

    @classmethod
    def of(cls, keyframe: Keyframe) -> Viewpoint:
        """Return that of a keyframe."""
        return cls(keyframe.id, keyframe.frame.stamp_ns, keyframe.up, keyframe.frame.T_map_camera)


@dataclass
class SavedSearch:
    """What is known of one instruction; the answers that were shown last, so that they do not flicker."""

    text: str
    status: InstructionStatus
    steady: SteadyVerdicts
    opinions: dict[int, Opinion]
    answered: set[int]
    lost: set[int]
    progress: ReasoningProgress | None


@dataclass(frozen=True)
class InstanceVoxels:
    """The voxels of a published instance, (N, 3), for programs that draw them."""

    voxel_size_m: float
    voxels: NDArray[np.int32]

    STATE: ClassVar[dict[str, Any]] = {"voxel_size_m": float, "voxels": Array("<i4", ("voxels", 3))}


@dataclass
class ConformingMapState:
    """All that is known. document: what map_document() says; voxels: of the instances in it, by id."""

    engine: bytes
    searches: dict[str, SavedSearch]
    keyframe_ids: set[int]
    newest: Viewpoint | None
    exploration: Exploration
    document: str
    voxels: dict[int, InstanceVoxels] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """Return the state as bytes."""
        return to_bytes(self, ConformingMapState, STATE_NAME)

    @classmethod
    def from_bytes(cls, data: bytes) -> ConformingMapState:
        """Read to_bytes(); raises StateError."""
        state: ConformingMapState = from_bytes(data, cls, STATE_NAME)
        check_ids(state.keyframe_ids)
        return state


@dataclass(frozen=True)
class SavedInstances:
    """What a saved map says of its instances.

    document: as map_document() made it. voxels: of each instance, by id.
    """

    document: dict[str, Any]
    voxels: dict[int, InstanceVoxels]


def read_instances(data: bytes) -> SavedInstances:
    """Return what a saved ConformingMap says of its instances, whatever method made them; raises StateError."""
    state = ConformingMapState.from_bytes(data)
    try:
        document = json.loads(state.document)
    except (ValueError, RecursionError) as error:
        raise StateError(f"{STATE_NAME}: the document is no JSON: {error}") from error
    entries = document.get("instances") if isinstance(document, dict) else None
    entries = entries if isinstance(entries, list) else [None]
    if not all(isinstance(item, dict) and type(item.get("id")) is int for item in entries):
        raise StateError(f"{STATE_NAME}: the document has no list of instances")
    return SavedInstances(document, state.voxels)

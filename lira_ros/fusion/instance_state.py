"""What an InstanceFusion knows, as it is saved; keyframes are not part of it and come back from the map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from lira_ros.fusion.answers import Answers
from lira_ros.fusion.configuration import FusionConfiguration
from lira_ros.fusion.evidence import InstanceEvidence
from lira_ros.fusion.intake import Intake
from lira_ros.fusion.lifecycle import Lifecycle
from lira_ros.fusion.publication import Measured
from lira_ros.fusion.surface import FragmentSurfaces
from lira_ros.geometry.pose import checked_transform
from lira_ros.state.columns import Array, StateError

# Keyframe ids are kept with voxels in 32 bits.
MOST_KEYFRAMES = (1 << 31) - 1
Pose = Annotated[NDArray[np.float64], Array("<f8", (4, 4))]


@dataclass(frozen=True)
class Reading:
    """What became of a candidate: the instance that took it, and the quality of the view."""

    candidate_id: int
    label: str
    label_confidence: float
    instance_id: int
    quality: float


Looks = dict[int, dict[tuple[bytes, ...], list[Reading]]]  # by keyframe id, then by masks


@dataclass
class InstanceFusionState:
    """All that is known of instances; keyframes: the ids of those that were at hand."""

    method: str
    voxel_size_m: float
    evidence: dict[int, InstanceEvidence]
    keyframes: set[int]
    poses: dict[int, NDArray[np.float64]]
    corrected: dict[int, NDArray[np.float64]]
    surfaces: FragmentSurfaces
    looks: Looks
    answers: Answers
    life: Lifecycle
    intake: Intake
    up: NDArray[np.float64]
    floor_height_m: float
    counts: dict[str, int]
    measured: dict[int, Measured]
    learned: bytes

    STATE: ClassVar[dict[str, Any]] = {
        "method": str,
        "voxel_size_m": float,
        "evidence": dict[int, InstanceEvidence],
        "keyframes": set[int],
        "poses": dict[int, Pose],
        "corrected": dict[int, Pose],
        "surfaces": FragmentSurfaces,
        "looks": Looks,
        "answers": Answers,
        "life": Lifecycle,
        "intake": Intake,
        "up": Array("<f8", (3,)),
        "floor_height_m": float,
        "counts": dict[str, int],
        "measured": dict[int, Measured],
        "learned": bytes,
    }

    def check(self, configuration: FusionConfiguration) -> None:
        """Raise StateError when this is not of such a fusion, or contradicts itself."""
        check_origin(self.method, self.voxel_size_m, configuration)
        check_unit(self.up)
        for ids in (self.keyframes, self.poses, self.corrected, self.looks):
            check_ids(ids)
        for name, poses in (("pose", self.poses), ("corrected pose", self.corrected)):
            for keyframe_id, pose in poses.items():
                try:
                    checked_transform(pose, f"{name} of keyframe {keyframe_id}")
                except ValueError as error:
                    raise StateError(str(error)) from error
        for key, evidence in (*self.evidence.items(), *self.life._gone.items()):
            if key != evidence.id or not 1 <= key <= self.life.last_id:
                raise StateError(f"instance {evidence.id}: expected an id up to {self.life.last_id} under its own")
            check_ids(evidence.claims)
            if len(evidence.voxels.keys) > configuration.max_instance_voxels:
                raise StateError(
                    f"instance {key}: expected at most fusion.max_instance_voxels, {configuration.max_instance_voxels} "
                    f"voxels, found {len(evidence.voxels.keys)}"
                )
        if self.counts.keys() != {"fused", "repeated", "too small", "doubtful"}:
            raise StateError(f"counts: found those of {', '.join(self.counts)[:80]}")


def check_origin(method: str, voxel_size_m: float, configuration: FusionConfiguration) -> None:
    """Raise StateError when a state was made by another method or with other voxels."""
    if method != configuration.method:
        raise StateError(f"the instances were made with fusion.method {method:.20}, here it is {configuration.method}")
    if not np.isclose(voxel_size_m, configuration.voxel_size_m, rtol=1e-6):
        raise StateError(
            f"the instances were made with fusion.voxel_size_m {voxel_size_m:g}, here it is "
            f"{configuration.voxel_size_m:g}"
        )


def check_ids(keyframe_ids: Any) -> None:
    """Raise StateError for what is no id of a keyframe."""
    for keyframe_id in keyframe_ids:
        if not 1 <= keyframe_id <= MOST_KEYFRAMES:
            raise StateError(f"keyframe id: expected 1 to {MOST_KEYFRAMES}, found {keyframe_id}")


def check_unit(up: NDArray[np.float64]) -> None:
    """Raise StateError for what is no direction."""
    if abs(float(np.linalg.norm(up)) - 1.0) > 1e-6:
        raise StateError(f"up: expected a unit vector, found {up.tolist()}")

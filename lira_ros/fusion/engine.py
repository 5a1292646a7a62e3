"""What every fusion of candidates into instances offers, whatever its method, and what it says about its input."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from lira_ros.fusion.configuration import FusionConfiguration
from lira_ros.fusion.contracts import Instance, InstanceView
from lira_ros.geometry.camera import Camera
from lira_ros.geometry.frame import Keyframe
from lira_ros.mapping.fragment import Fragment
from lira_ros.reasoning.contracts import Candidate, CandidateSet

if TYPE_CHECKING:
    from lira_ros.fusion.method import Encode


class Refusal(Enum):
    """Why input was refused; the value is the name under which statistics() counts it."""

    INVALID_KEYFRAME_ID = "invalid keyframe id"
    KEYFRAME_CHANGED = "keyframe id used twice"
    KEYFRAME_FORGOTTEN = "keyframe forgotten"
    STAMP_DIFFERS = "stamp differs from the keyframe"
    MASK_SIZE = "mask size differs from the keyframe"
    INVALID_CANDIDATE = "invalid candidate"
    VOXEL_SIZE = "voxel size of a fragment"
    MISSING_INSTRUCTION = "missing instruction id"
    KEYFRAME_NEVER_CAME = "keyframe never came"


class FusionError(ValueError):
    """Input that cannot be fused; the map is unchanged. ``refusal`` tells the kind, the message what and why."""

    def __init__(self, refusal: Refusal, message: str) -> None:
        super().__init__(message)
        self.refusal = refusal


class Outcome(Enum):
    """What became of a candidate set."""

    FUSED = "fused"
    WAITING = "waiting for its keyframe"
    REPEATED = "already answered"


@dataclass(frozen=True)
class FusionStatistics:
    """What is kept and what was refused, for diagnostics. refused: by the value of Refusal."""

    instances: int
    published: int
    voxels: int
    keyframes: int
    keyframe_bytes: int
    fragments: int
    waiting: int
    fused: int
    repeated: int
    candidates_too_small: int
    candidates_doubtful: int
    instances_merged: int
    instances_split: int
    instances_moved: int
    instances_pruned: int
    refused: dict[str, int]
    last_refusal: str


class FusionEngine(Protocol):
    """Candidates of keyframes become instances. Not thread-safe: it has one owner."""

    def add_keyframe(self, keyframe: Keyframe) -> tuple[Outcome | FusionError, ...]:
        """Keep a keyframe and take up the candidate sets that waited for it.

        Returns what became of each of those, in the order in which they had come: refused ones as the
        FusionError that add_candidates() would have raised. A keyframe seen before is ignored. Raises FusionError
        when its id was used for another stamp.
        """

    def add_candidates(self, candidates: CandidateSet) -> Outcome:
        """Take up the answer of a reasoner, or let it wait for its keyframe.

        Raises FusionError that names the keyframe id, what was expected and what came, with the map unchanged:
        a keyframe that is forgotten or has another stamp, masks of another size, impossible numbers, no
        instruction id. An answer that came before (same keyframe and instruction) is ignored.
        """

    def add_fragment(self, fragment: Fragment) -> None:
        """Take note of the voxels of a fragment of the map; a newer revision replaces the older."""

    def correct_poses(
        self,
        keyframe_poses: Mapping[int, NDArray[np.float64]],
        fragment_poses: Mapping[int, tuple[int, NDArray[np.float64]]],
    ) -> int:
        """Move what is known to corrected poses; return how many instances moved.

        keyframe_poses: (4, 4) T_map_camera by keyframe id; those of keyframes that come later are kept for them.
        fragment_poses: revision and (4, 4) T_map_fragment by fragment id; an older revision is ignored.
        """

    def forget_places(self, keyframe_ids: Collection[int], fragment_ids: Collection[int]) -> int:
        """Forget what these keyframes and fragments of the map showed; return how many instances went.

        Candidates of these keyframes are refused from now on.
        """

    def forget_answers(self, instruction_id: str) -> None:
        """Let an instruction that is gone be answered anew when its id is used again; instances stay, opinions go."""

    def finish(self) -> None:
        """Take up what still waits for more to come: at the end of a recording, or when none came for a while."""

    def reset(self) -> None:
        """Forget everything; ``revision`` goes on, so that a delta since before is not mistaken for a current one."""

    def export_state(self) -> bytes:
        """Return all that is known as bytes, so that another engine of the same method goes on from here.

        Images of keyframes are not part of it, nor answers that wait for a keyframe.
        """

    def import_state(self, data: bytes) -> None:
        """Go on from what export_state() gave, in place of what is known; ``revision`` goes on.

        The keyframes of then are to be added again; they are not fused a second time. Raises StateError, which says
        what was expected and what was found, with everything as it was.
        """

    @property
    def revision(self) -> int:
        """Return the revision of the published instances, +1 whenever any of them changed."""

    def instances(self) -> tuple[Instance, ...]:
        """Return the published instances by ascending id, without verdicts."""

    def merged_into(self) -> dict[int, int]:
        """Return the id that goes on, by the id of every instance that turned out to be another."""

    def views(self, instance_id: int, count: int) -> tuple[InstanceView, ...]:
        """Return at most ``count`` pictures of an instance, the best first; raises KeyError for an unknown id.

        An id that was merged into another is answered by that one.
        """

    def statistics(self) -> FusionStatistics:
        """Return what is kept and what was refused so far."""


def create_fusion(configuration: FusionConfiguration, encode: Encode | None = None) -> FusionEngine:
    """Return the engine of the method that is configured.

    encode: returns the unit vector of a text, for methods that compare names by meaning. Raises FusionModelError or
    TiffCheckpointError for a network that cannot be loaded or used, ReasoningError for a device that there is not.
    """
    # The engines take their errors and statistics from here.
    if configuration.method == "tiff":
        from lira_ros.fusion.tiff.creation import create_tiff_fusion

        return create_tiff_fusion(configuration, encode)
    from lira_ros.fusion.instance_fusion import InstanceFusion
    from lira_ros.fusion.method import method_maker

    return InstanceFusion(configuration, method_maker(configuration, encode))


def fault_of(candidates: CandidateSet, stamp_ns: int, camera: Camera) -> tuple[Refusal, str] | None:
    """Return why an answer does not belong to a keyframe with this stamp [ns] and camera or holds impossible numbers.

    None where nothing is wrong with it.
    """
    where = f"candidates of keyframe {candidates.keyframe_id}"
    if candidates.stamp_ns != stamp_ns:
        return (
            Refusal.STAMP_DIFFERS,
            f"{where}: expected stamp {stamp_ns} ns of the keyframe, got {candidates.stamp_ns} ns",
        )
    for candidate in candidates.candidates:
        mask = candidate.mask
        if mask.ndim != 2 or mask.shape != (camera.height_px, camera.width_px):
            size = " x ".join(str(n) for n in reversed(mask.shape))
            return (
                Refusal.MASK_SIZE,
                f"{where}: mask of candidate {candidate.id} expected {camera.width_px} x {camera.height_px} pixels, "
                f"got {size}",
            )
        fault = _fault_of(candidate)
        if fault:
            return Refusal.INVALID_CANDIDATE, f"{where}: {fault}"
    return None


def _fault_of(candidate: Candidate) -> str:
    for name, value in (("score", candidate.score), ("label_confidence", candidate.label_confidence)):
        if not 0.0 <= value <= 1.0:
            return f"{name} of candidate {candidate.id} expected in [0, 1], got {value}"
    if candidate.mask.dtype != np.bool_ or not np.isfinite(candidate.embedding).all():
        return (
            f"candidate {candidate.id} expected a bool mask and a finite embedding, got {candidate.mask.dtype} "
            f"and {candidate.embedding}"
        )
    if not (math.isnan(candidate.target_confidence) or 0.0 <= candidate.target_confidence <= 1.0):
        return (
            f"target_confidence of candidate {candidate.id} expected in [0, 1] or NaN, got "
            f"{candidate.target_confidence}"
        )
    return ""

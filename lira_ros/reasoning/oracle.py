"""The oracle back end: ground-truth masks of a recording, to tell errors of the map from errors of a model."""

from __future__ import annotations

import bisect
import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lira_ros.configuration import section
from lira_ros.geometry.frame import Keyframe
from lira_ros.geometry.pose import transform_points
from lira_ros.reasoning.candidate_errors import CandidateCorruption, CandidateErrors
from lira_ros.reasoning.color import appearance
from lira_ros.reasoning.constraint import Constraint
from lira_ros.reasoning.contracts import (
    Attributes,
    Candidate,
    CandidateSet,
    Instruction,
    Reasoner,
    ReasoningError,
    Role,
)
from lira_ros.reasoning.measurement import describe_attributes, measure
from lira_ros.reasoning.relevance import Relevance
from lira_ros.reasoning.roles import assign_role
from lira_ros.reasoning.sightings import MIN_PIXELS


@dataclasses.dataclass(frozen=True)
class OracleConfiguration:
    """What the annotated masks are made into."""

    errors: CandidateErrors = section(CandidateErrors)


class AnnotatedObject(Protocol):
    """What the oracle needs to know of an annotated object."""

    @property
    def id(self) -> int:
        """Value of its pixels in the instance images."""
        ...

    @property
    def label(self) -> str:
        """What it is called."""
        ...

    @property
    def attributes(self) -> Mapping[str, str]:
        """What is known of it by name; "color" replaces the measured colour."""
        ...


def annotated_candidates(
    keyframe: Keyframe,
    instance_image: NDArray[np.integer],
    objects: Mapping[int, AnnotatedObject],
    measured: bool = True,
) -> CandidateSet:
    """Return every annotated object in sight of a keyframe, whatever is asked for: all are context, with score 1.

    instance_image: the (H, W) object ids of the keyframe, 0 = not annotated. objects: what the ids are; others are
    left out, and objects with fewer than MIN_PIXELS measured pixels. Ids of candidates are those of the objects.
    measured: whether attributes are measured, which takes most of the time; who learns to fuse masks needs none.
    Raises ReasoningError when the image has another size than the keyframe.
    """
    frame = keyframe.frame
    if instance_image.shape != frame.depth_m.shape:
        raise ReasoningError(
            f"oracle: keyframe {keyframe.id} is {frame.depth_m.shape[1]} x {frame.depth_m.shape[0]} pixels, its "
            f"annotation {instance_image.shape[1]} x {instance_image.shape[0]}"
        )
    points = transform_points(frame.T_map_camera, frame.camera.unproject(frame.depth_m))
    candidates = []
    for identifier in np.unique(instance_image):
        item = objects.get(int(identifier))
        mask = instance_image == identifier
        known = mask & (frame.depth_m > 0)
        if item is None or np.count_nonzero(known) < MIN_PIXELS:
            continue
        colors = frame.color[known]
        attributes = Attributes()
        if measured:
            attributes = measure(points[known], colors, keyframe.up, keyframe.floor_height_m)
        if item.attributes.get("color"):
            attributes = dataclasses.replace(attributes, color=item.attributes["color"])
        candidates.append(
            Candidate(
                id=item.id,
                mask=mask,
                label=item.label,
                label_confidence=1.0,
                score=1.0,
                role=Role.CONTEXT,
                attributes=attributes,
                reason=describe_attributes(attributes) if measured else "",
                embedding=appearance(colors),
            )
        )
    return CandidateSet(keyframe.id, frame.stamp_ns, "", OracleReasoner.name, 0.0, tuple(candidates))


class OracleReasoner(Reasoner):
    """Answers with the annotated masks of a recording and score 1, or with those and the errors of a model.

    instance_image: returns the (H, W) object ids (0 = not annotated) of the frame with a stamp [ns], None for a stamp
    that the recording does not have. objects: what the ids are. errors: which errors the masks are given. stamps_ns:
    the stamps of all frames, in order; masks of an earlier frame come late only where they are known.
    """

    name = "oracle"

    def __init__(
        self,
        instance_image: Callable[[int], NDArray[np.integer] | None],
        objects: Sequence[AnnotatedObject],
        relevance: Relevance,
        errors: CandidateErrors | None = None,
        stamps_ns: Sequence[int] = (),
    ) -> None:
        self._instance_image = instance_image
        self._objects = {item.id: item for item in objects}
        self._relevance = relevance
        self._corruption = CandidateCorruption(errors or CandidateErrors(), [item.label for item in objects])
        self._stamps_ns = stamps_ns
        self._latest: tuple[Keyframe, CandidateSet] | None = None

    def propose(self, keyframe: Keyframe, instruction: Instruction) -> CandidateSet:
        """Return every annotated object in sight, with the errors that were asked for.

        Raises ReasoningError when the recording has no frame with this stamp or its annotation has another size.
        """
        start = time.perf_counter()
        seen = self._seen(keyframe)
        candidates = tuple(self._judged(candidate, instruction.constraint) for candidate in seen.candidates)
        return dataclasses.replace(
            seen,
            instruction_id=instruction.id,
            latency_s=time.perf_counter() - start,
            candidates=candidates,
        )

    def _seen(self, keyframe: Keyframe) -> CandidateSet:
        # Instructions ask about one keyframe one after the other; what is in sight is the same for all of them.
        if self._latest is None or self._latest[0] is not keyframe:
            stamp_ns = keyframe.frame.stamp_ns
            image = self._instance_image(stamp_ns)
            if image is None:
                raise ReasoningError(
                    f"oracle: the recording has no annotated frame with the stamp {stamp_ns} ns of keyframe "
                    f"{keyframe.id}"
                )
            clean = annotated_candidates(keyframe, image, self._objects)
            self._latest = (keyframe, self._corruption.corrupt(clean, keyframe, self._image_before))
        return self._latest[1]

    def _image_before(self, stamp_ns: int) -> NDArray[np.integer] | None:
        index = bisect.bisect_right(self._stamps_ns, stamp_ns) - 1
        return self._instance_image(self._stamps_ns[index]) if index >= 0 else None

    def _judged(self, candidate: Candidate, constraint: Constraint) -> Candidate:
        role, match = assign_role(self._relevance, constraint, {candidate.label: 1.0}, candidate.attributes)
        conclusion = match.reason if match is not None and match.reason else f"annotated as {candidate.label}"
        return dataclasses.replace(candidate, role=role, reason=f"{candidate.reason}: {conclusion}")

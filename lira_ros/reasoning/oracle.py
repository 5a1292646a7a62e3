"""The oracle back end: ground-truth masks of a recording, to tell errors of the map from errors of a model."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lira_ros.geometry.frame import Keyframe
from lira_ros.geometry.pose import transform_points
from lira_ros.reasoning.color import appearance
from lira_ros.reasoning.constraint import Constraint
from lira_ros.reasoning.contracts import Attributes, Candidate, CandidateSet, Instruction, Reasoner, ReasoningError
from lira_ros.reasoning.measurement import describe_attributes, measure
from lira_ros.reasoning.relevance import Relevance
from lira_ros.reasoning.roles import assign_role

# A sliver of an object at the border of the image says nothing of it.
MIN_PIXELS = 30


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


@dataclasses.dataclass(frozen=True)
class _Sighting:
    """An annotated object in a keyframe, measured; whatever the instruction is."""

    item: AnnotatedObject
    mask: NDArray[np.bool_]
    attributes: Attributes
    description: str
    embedding: NDArray[np.float32]


class OracleReasoner(Reasoner):
    """Answers with the annotated masks of a recording and score 1.

    instance_image: returns the (H, W) object ids (0 = not annotated) of the frame with a stamp [ns], None for a stamp
    that the recording does not have. objects: what the ids are.
    """

    name = "oracle"

    def __init__(
        self,
        instance_image: Callable[[int], NDArray[np.integer] | None],
        objects: Sequence[AnnotatedObject],
        relevance: Relevance,
    ) -> None:
        self._instance_image = instance_image
        self._objects = {item.id: item for item in objects}
        self._relevance = relevance
        self._latest: tuple[Keyframe, tuple[_Sighting, ...]] | None = None

    def propose(self, keyframe: Keyframe, instruction: Instruction) -> CandidateSet:
        """Return every annotated object in sight.

        Raises ReasoningError when the recording has no frame with this stamp or its annotation has another size.
        """
        start = time.perf_counter()
        candidates = tuple(
            self._candidate(sighting, instruction.constraint) for sighting in self._sightings_of(keyframe)
        )
        return CandidateSet(
            keyframe_id=keyframe.id,
            stamp_ns=keyframe.frame.stamp_ns,
            instruction_id=instruction.id,
            model=self.name,
            latency_s=time.perf_counter() - start,
            candidates=candidates,
        )

    def _sightings_of(self, keyframe: Keyframe) -> tuple[_Sighting, ...]:
        # Instructions ask about one keyframe one after the other; what is in sight is the same for all of them.
        if self._latest is None or self._latest[0] is not keyframe:
            self._latest = (keyframe, self._look(keyframe))
        return self._latest[1]

    def _look(self, keyframe: Keyframe) -> tuple[_Sighting, ...]:
        frame = keyframe.frame
        image = self._instance_image(frame.stamp_ns)
        if image is None:
            raise ReasoningError(
                f"oracle: the recording has no annotated frame with the stamp {frame.stamp_ns} ns "
                f"of keyframe {keyframe.id}"
            )
        if image.shape != frame.depth_m.shape:
            raise ReasoningError(
                f"oracle: keyframe {keyframe.id} is {frame.depth_m.shape[1]} x {frame.depth_m.shape[0]} pixels, its "
                f"annotation {image.shape[1]} x {image.shape[0]}"
            )
        points = transform_points(frame.T_map_camera, frame.camera.unproject(frame.depth_m))
        sightings = []
        for identifier in np.unique(image):
            item = self._objects.get(int(identifier))
            mask = image == identifier
            measured = mask & (frame.depth_m > 0)
            if item is None or np.count_nonzero(measured) < MIN_PIXELS:
                continue
            colors = frame.color[measured]
            attributes = measure(points[measured], colors, keyframe.up, keyframe.floor_height_m)
            if item.attributes.get("color"):
                attributes = dataclasses.replace(attributes, color=item.attributes["color"])
            sightings.append(_Sighting(item, mask, attributes, describe_attributes(attributes), appearance(colors)))
        return tuple(sightings)

    def _candidate(self, sighting: _Sighting, constraint: Constraint) -> Candidate:
        label, attributes = sighting.item.label, sighting.attributes
        role, match = assign_role(self._relevance, constraint, {label: 1.0}, attributes)
        conclusion = match.reason if match is not None and match.reason else f"annotated as {label}"
        return Candidate(
            id=sighting.item.id,
            mask=sighting.mask,
            label=label,
            label_confidence=1.0,
            score=1.0,
            role=role,
            attributes=attributes,
            reason=f"{sighting.description}: {conclusion}",
            embedding=sighting.embedding,
        )

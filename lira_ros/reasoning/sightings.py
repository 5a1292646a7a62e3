"""What a model saw in a keyframe becomes candidates: measured in metres, coloured, bounded."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lira_ros.geometry.frame import Keyframe
from lira_ros.geometry.pose import transform_points
from lira_ros.reasoning.color import appearance, color_name
from lira_ros.reasoning.contracts import MAX_LABEL_CHARACTERS, Candidate, Role
from lira_ros.reasoning.measurement import describe_attributes, measure
from lira_ros.reasoning.plain_text import plain_text

# A sliver says nothing of a thing; the same bound as for annotated masks.
MIN_PIXELS = 30
# Enough pixels to tell which colour most of them have.
COLOR_SAMPLES = 3000
# What a model says of a thing; what was measured of it stands before it.
MAX_SAID_CHARACTERS = 300


@dataclass(frozen=True)
class Sighting:
    """One instance that a model saw: its (H, W) bool mask in the pixels of the keyframe, and what was said of it.

    color: the colour as the model named it, "" = it is measured. embedding: as in Candidate, (0,) = the appearance is
    taken.
    """

    mask: NDArray[np.bool_]
    label: str = ""
    label_confidence: float = 0.0
    score: float = 1.0
    role: Role = Role.CONTEXT
    target_confidence: float = float("nan")
    color: str = ""
    reason: str = ""
    embedding: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, dtype=np.float32))


def candidates_from_sightings(keyframe: Keyframe, sightings: Sequence[Sighting]) -> tuple[Candidate, ...]:
    """Measure what was seen and number it from 1; masks of fewer than MIN_PIXELS pixels are left out.

    Where the mask has depth, sizes, heights, shape and colour are measured from it. Where it has none, the colour is
    the one that the model named, for masks without depth may hold much of what is behind, else that of the pixels.
    """
    frame = keyframe.frame
    candidates: list[Candidate] = []
    points = transform_points(frame.T_map_camera, frame.camera.unproject(frame.depth_m)) if sightings else np.zeros(0)
    for sighting in sightings:
        mask = np.asarray(sighting.mask, dtype=np.bool_)
        if mask.shape != frame.depth_m.shape:
            raise ValueError(f"sighting: expected a mask of {frame.depth_m.shape}, got {mask.shape}")
        if np.count_nonzero(mask) < MIN_PIXELS:
            continue
        measured = mask & (frame.depth_m > 0)
        attributes = measure(points[measured], frame.color[measured], keyframe.up, keyframe.floor_height_m)
        if not attributes.color:
            pixels = frame.color[mask][:: max(1, np.count_nonzero(mask) // COLOR_SAMPLES)]
            seen = plain_text(sighting.color, MAX_LABEL_CHARACTERS) or color_name(pixels)
            attributes = dataclasses.replace(attributes, color=seen)
        embedding = np.asarray(sighting.embedding, dtype=np.float32)
        described = describe_attributes(attributes)
        said = plain_text(sighting.reason, MAX_SAID_CHARACTERS)
        candidates.append(
            Candidate(
                id=len(candidates) + 1,
                mask=mask,
                label=sighting.label.lower(),
                label_confidence=min(1.0, max(0.0, sighting.label_confidence)),
                score=min(1.0, max(0.0, sighting.score)),
                role=sighting.role,
                attributes=attributes,
                reason=f"{described}: {said}" if said else described,
                embedding=embedding if len(embedding) else appearance(frame.color[mask]),
                target_confidence=sighting.target_confidence,
            )
        )
    return tuple(candidates)

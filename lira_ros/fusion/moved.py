"""Whether a thing that is gone from its place is the one that has appeared elsewhere.

Only where nothing else can be meant: the old place was seen empty, the new thing has the same name, colour and size,
and no other thing of the map, there or gone, looks like them. Then the thing keeps its id.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from lira_ros.fusion.box import oriented_box
from lira_ros.fusion.evidence import InstanceEvidence
from lira_ros.fusion.lifting import unpack

# Colours of one thing in two places differ by the light; ten just noticeable differences of 2.3 in CIELAB.
SAME_COLOR_DISTANCE = 25.0
# Lengths of one thing, seen from other sides, agree to this share and to this length for small ones [m].
SAME_LENGTH_SHARE = 0.25
SAME_LENGTH_M = 0.05
# Names must be settled: most of the votes.
SURE_NAME = 0.5
# Gone things are remembered this long [s] and this many of them: who carries a thing elsewhere has put it down by then.
MEMORY_S = 600.0
MEMORY_COUNT = 100


@dataclass(frozen=True)
class Likeness:
    """What a thing looks like, wherever it is; lengths_m: (3,) edges of its upright box, horizontal ones falling."""

    instance_id: int
    label: str
    label_confidence: float
    lab: NDArray[np.float32]
    lengths_m: NDArray[np.float64]
    first_seen_ns: int
    last_seen_ns: int

    @classmethod
    def of(cls, evidence: InstanceEvidence, up: NDArray[np.float64], min_share: float, voxel_size_m: float) -> Likeness:
        """Take the likeness of an instance from the voxels that views support; up: (3,) unit vector against gravity."""
        keys = evidence.voxels.keys[evidence.voxels.share() >= min_share]
        lengths_m = np.zeros(3)
        if len(keys):
            lengths_m = oriented_box(unpack(keys) * voxel_size_m, up, 0.5 * voxel_size_m).size_m
        rgb = np.clip(evidence.color / 255.0, 0.0, 1.0).astype(np.float32)
        label, confidence = evidence.label()
        return cls(
            evidence.id,
            label,
            confidence,
            cv2.cvtColor(rgb.reshape(1, 1, 3), cv2.COLOR_RGB2LAB).reshape(3).astype(np.float32),
            lengths_m,
            evidence.first_seen_ns,
            evidence.last_seen_ns,
        )

    def is_like(self, other: Likeness) -> bool:
        """Tell whether the two may be one thing."""
        if not self.label or self.label != other.label:
            return False
        if min(self.label_confidence, other.label_confidence) < SURE_NAME:
            return False
        if float(np.linalg.norm(self.lab - other.lab)) > SAME_COLOR_DISTANCE:
            return False
        allowed = np.maximum(SAME_LENGTH_M, SAME_LENGTH_SHARE * np.maximum(self.lengths_m, other.lengths_m))
        return bool((np.abs(self.lengths_m - other.lengths_m) <= allowed).all())


def match_moved(gone: Iterable[Likeness], present: Iterable[Likeness]) -> dict[int, int]:
    """Return which present thing is which gone one, present id -> gone id, where nothing else can be meant.

    A thing that moved was first seen at its new place after it was last seen at the old one.
    """
    gone, present = tuple(gone), tuple(present)
    pairs: dict[int, int] = {}
    for new in present:
        alike = [old for old in gone if old.is_like(new)]
        if len(alike) != 1 or alike[0].last_seen_ns >= new.first_seen_ns:
            continue
        twins = [other for other in present if other is not new and (other.is_like(new) or other.is_like(alike[0]))]
        if not twins:
            pairs[new.instance_id] = alike[0].instance_id
    return pairs

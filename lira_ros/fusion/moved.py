"""Whether a thing that is gone from its place is the one that has appeared elsewhere.

Only where nothing else can be meant: the old place was seen empty, the new thing has the same name, colour and size,
and no other thing of the map, there or gone, looks like them. Then the thing keeps its id.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

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


class Likeness:
    """What an instance looks like, wherever it is; measured when it is asked for, for most differ in their names."""

    def __init__(
        self, evidence: InstanceEvidence, up: NDArray[np.float64], min_share: float, voxel_size_m: float
    ) -> None:
        """up: (3,) unit vector against gravity. min_share: support of the voxels that count."""
        self.instance_id = evidence.id
        self.first_seen_ns, self.last_seen_ns = evidence.first_seen_ns, evidence.last_seen_ns
        self._evidence = evidence
        self._up = up
        self._min_share = min_share
        self._voxel_size_m = voxel_size_m

    @cached_property
    def lab(self) -> NDArray[np.float32]:
        """Return the (3,) mean colour in CIELAB."""
        rgb = np.clip(self._evidence.color / 255.0, 0.0, 1.0).astype(np.float32)
        return cv2.cvtColor(rgb.reshape(1, 1, 3), cv2.COLOR_RGB2LAB).reshape(3).astype(np.float32)

    @cached_property
    def lengths_m(self) -> NDArray[np.float64]:
        """Return the (3,) edges of its upright box, the longer horizontal one first; 0 without supported voxels."""
        voxels = self._evidence.voxels
        keys = voxels.keys[voxels.share() >= self._min_share]
        if len(keys) == 0:
            return np.zeros(3)
        return oriented_box(unpack(keys) * self._voxel_size_m, self._up, 0.5 * self._voxel_size_m).size_m

    def is_like(self, other: Likeness) -> bool:
        """Tell whether the two may be one thing."""
        label, confidence = self._evidence.label()
        other_label, other_confidence = other._evidence.label()
        if not label or label != other_label or min(confidence, other_confidence) < SURE_NAME:
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
        if not any(old.last_seen_ns < new.first_seen_ns for old in gone):
            continue
        alike = [old for old in gone if old.is_like(new)]
        if len(alike) != 1 or alike[0].last_seen_ns >= new.first_seen_ns:
            continue
        twins = [other for other in present if other is not new and (other.is_like(new) or other.is_like(alike[0]))]
        if not twins:
            pairs[new.instance_id] = alike[0].instance_id
    return pairs

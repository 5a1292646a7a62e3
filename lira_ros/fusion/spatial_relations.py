"""Where instances are to one another, in metres: near, on, under, inside, between, left of the viewer, ...

Everything is measured on voxels in a frame whose z axis is along gravity; boxes are looked at first, because
most pairs are far apart.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError, cKDTree

from lira_ros.fusion.contracts import Instance
from lira_ros.reasoning.constraint import RelationKind
from lira_ros.reasoning.measurement import horizontal_axes

# Points that stand for an instance when gaps are measured; enough for 2 cm on furniture.
SAMPLES = 1000
# "Near" reaches half the size of the bigger thing, at least an arm's length and at most a step and a half [m].
NEAR_MIN_M, NEAR_MAX_M, NEAR_SHARE = 0.35, 1.0, 0.5
# From here on things are "far from" one another indoors [m].
FAR_M = 1.5
# A thing stands on another when its bottom is this close to the surface under it: voxels, depth noise, drift [m].
CONTACT_M = 0.12
# What reaches down to the floor is on nothing but a rug or a step of this height [m].
LOW_ANCHOR_M = 0.2
# The surface under a thing is hidden by it; its height is read this far around its footprint [m].
AROUND_M = 0.2
# Share of a thing's footprint that must be over the other one.
OVERLAP_SHARE = 0.3
# What rests on something has its middle over it, give or take what the footprint is wrong by [m].
BALANCE_M = 0.05
# Things hang or stand above another within this horizontal gap, a picture over a sofa for example [m].
ABOVE_GAP_M = 0.35
# Left, right, before and behind need this much offset to mean anything [m].
OFFSET_M = 0.08
# ... and more along their own direction than this share of the offset across it.
OFFSET_RATIO = 0.6
# A thing between two others is no farther from their connecting line than this share of its length.
BETWEEN_SHARE = 0.4


@dataclass(frozen=True)
class Shape:
    """The geometry of an instance: (N, 3) sampled points with z along gravity [m], bounds, centroid and size."""

    points: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    centroid: NDArray[np.float64]
    tree: cKDTree
    outline: NDArray[np.float64]  # (E, 3) half planes a x + b y + c <= 0 of the convex outline seen from above

    @property
    def outline_middle(self) -> NDArray[np.float64]:
        """Return the (2,) middle of the footprint."""
        return 0.5 * (self.low + self.high)[:2]

    @property
    def size_m(self) -> float:
        """Return the longest extent [m]."""
        return float((self.high - self.low).max())


@dataclass(frozen=True)
class Evidence:
    """Whether a relation holds, by how much (gap or offset in metres, smaller is better), and in words."""

    holds: bool
    measure_m: float
    words: str


class SpatialRelations:
    """Measures relations between instances; keeps shapes while the voxels of an instance stay the same."""

    def __init__(self) -> None:
        self._shapes: dict[int, tuple[NDArray[np.int32], Shape]] = {}
        self._axes = horizontal_axes(np.array([0.0, 0.0, 1.0]))
        self._camera = np.zeros(3)
        self._gaps: dict[tuple[int, int], float] = {}

    def look_from(self, up: NDArray[np.float64], camera_position: NDArray[np.float64]) -> None:
        """Set what "up" is, (3,) unit vector, and where the viewer is, (3,) [m], both in the map frame."""
        axes = horizontal_axes(up)
        if not np.allclose(axes, self._axes, atol=1e-6):
            self._shapes.clear()
            self._gaps.clear()
            self._axes = axes
        self._camera = self._axes @ np.asarray(camera_position, dtype=np.float64)

    @property
    def up(self) -> NDArray[np.float64]:
        """Return the (3,) unit vector against gravity in the map frame."""
        return np.asarray(self._axes[2])

    def forget_except(self, ids: set[int]) -> None:
        """Drop what is kept of instances that are gone."""
        for gone in self._shapes.keys() - ids:
            del self._shapes[gone]

    def shape(self, instance: Instance) -> Shape:
        """Return the geometry of an instance."""
        kept = self._shapes.get(instance.id)
        if kept is not None and kept[0] is instance.voxels:
            return kept[1]
        points = instance.points.astype(np.float64)
        if len(points) == 0:
            points = instance.box.corners()
        points = points @ self._axes.T
        half = 0.5 * instance.voxel_size_m
        # Voxels are sorted: every n-th one would leave out whole layers. The same points always give the same sample.
        chosen = np.random.default_rng(0).permutation(len(points))[:SAMPLES]
        sampled = points[np.sort(chosen)]
        shape = Shape(
            sampled,
            points.min(axis=0) - half,
            points.max(axis=0) + half,
            points.mean(axis=0),
            cKDTree(sampled),
            _outline(sampled[:, :2]),
        )
        self._shapes[instance.id] = (instance.voxels, shape)
        self._gaps = {pair: gap for pair, gap in self._gaps.items() if instance.id not in pair}
        return shape

    def gap(self, first: Instance, second: Instance) -> float:
        """Return the distance between the nearest points of two instances [m]."""
        key = (first.id, second.id) if first.id < second.id else (second.id, first.id)
        one, other = self.shape(first), self.shape(second)
        if key not in self._gaps:
            if len(one.points) > len(other.points):
                one, other = other, one
            distance = float(other.tree.query(one.points)[0].min())
            half = 0.5 * (first.voxel_size_m + second.voxel_size_m)
            self._gaps[key] = max(0.0, distance - half)
        return self._gaps[key]

    def covered_share(self, first: Instance, second: Instance, reach_m: float) -> float:
        """Return the share of the points of the first within ``reach_m`` of the second."""
        one, other = self.shape(first), self.shape(second)
        if (one.low > other.high + reach_m).any() or (other.low > one.high + reach_m).any():
            return 0.0
        distances, _ = other.tree.query(one.points, distance_upper_bound=reach_m + _spacing(other))
        return float(np.isfinite(distances).mean())

    def camera_distance(self, instance: Instance) -> float:
        """Return the distance from the viewer to the nearest point of an instance [m]."""
        return float(self.shape(instance).tree.query(self._camera)[0])

    def lateral(self, instance: Instance, others: list[Instance]) -> float:
        """Return how far to the right of the middle of several instances one is, as the viewer sees them [m]."""
        middle = np.mean([self.shape(other).centroid for other in others], axis=0)
        _, right = self._view(middle)
        return float((self.shape(instance).centroid - middle)[:2] @ right)

    def from_middle(self, instance: Instance, others: list[Instance]) -> float:
        """Return how far one is from the middle of several instances [m]."""
        middle = np.mean([self.shape(other).centroid for other in others], axis=0)
        return float(np.linalg.norm(self.shape(instance).centroid - middle))

    def relate(self, kind: RelationKind, target: Instance, anchors: tuple[Instance, ...]) -> Evidence:
        """Return whether a target stands in a relation to an anchor (two for BETWEEN)."""
        anchor = anchors[0]
        if kind in (RelationKind.NEAR, RelationKind.FAR):
            gap = self.gap(target, anchor)
            if kind is RelationKind.FAR:
                return Evidence(gap >= FAR_M, -gap, f"{gap:.1f} m away from")
            reach = float(
                np.clip(NEAR_SHARE * max(self.shape(target).size_m, self.shape(anchor).size_m), NEAR_MIN_M, NEAR_MAX_M)
            )
            return Evidence(gap <= reach, gap, f"{gap:.2f} m from")
        if kind is RelationKind.ON:
            return self._on(target, anchor)
        if kind is RelationKind.HOLDS:
            carried = self._on(anchor, target)
            if not carried.holds:
                carried = self._inside(anchor, target)
            return Evidence(carried.holds, carried.measure_m, "has on it" if carried.holds else "does not have on it")
        if kind is RelationKind.UNDER:
            return self._under(target, anchor)
        if kind is RelationKind.ABOVE:
            return self._above(target, anchor)
        if kind is RelationKind.INSIDE:
            inside = self._inside(target, anchor)
            return inside if inside.holds else self._on(target, anchor, words="in")
        if kind is RelationKind.BETWEEN:
            return self._between(target, anchors)
        return self._beside(kind, target, anchor)

    def _on(self, target: Instance, anchor: Instance, words: str = "on") -> Evidence:
        if _stands_on_floor(target) and anchor.attributes.top_height_m > LOW_ANCHOR_M:
            return Evidence(False, float("inf"), f"not {words}")
        one, other = self.shape(target), self.shape(anchor)
        if _horizontal_gap(one, other) > AROUND_M or one.low[2] > other.high[2] + 2 * CONTACT_M:
            return Evidence(False, float("inf"), f"not {words}")
        overlap = _overlap(one, other)
        # The height that carries the thing: the highest part of the anchor around its footprint, below its bottom.
        around = (other.points[:, :2] >= one.low[:2] - AROUND_M).all(axis=1)
        around &= (other.points[:, :2] <= one.high[:2] + AROUND_M).all(axis=1)
        heights = other.points[around, 2]
        heights = heights[heights <= one.low[2] + CONTACT_M]
        if len(heights) == 0 or overlap < OVERLAP_SHARE:
            return Evidence(False, float("inf"), f"not {words}")
        clearance = float(one.low[2] - heights.max())
        rises = one.high[2] > heights.max() + 0.01
        balanced = (one.outline_middle @ other.outline[:, :2].T + other.outline[:, 2] <= BALANCE_M).all()
        smaller = np.prod((one.high - one.low)[:2]) <= 1.5 * np.prod((other.high - other.low)[:2])
        roofed = _share_below(one, other) > OVERLAP_SHARE  # on a lower shelf or between legs: not on top
        holds = not roofed and clearance <= CONTACT_M and bool(rises) and bool(smaller) and bool(balanced)
        return Evidence(holds, abs(clearance), words if holds else f"not {words}")

    def _under(self, target: Instance, anchor: Instance) -> Evidence:
        one, other = self.shape(target), self.shape(anchor)
        above = (other.points[:, :2] >= one.low[:2] - 0.05).all(axis=1)
        above &= (other.points[:, :2] <= one.high[:2] + 0.05).all(axis=1)
        covered = _overlap(one, other) >= OVERLAP_SHARE and bool(above.any())
        holds = covered and float(other.points[above, 2].max()) >= one.high[2] - 0.05
        holds = holds and one.centroid[2] < other.high[2] - 0.05 and not self._on(target, anchor).holds
        # What carries a thing is under it, although it reaches out below.
        holds = holds or self._on(anchor, target).holds
        drop = float(other.high[2] - one.high[2])
        return Evidence(holds, max(drop, 0.0), "under" if holds else "not under")

    def _above(self, target: Instance, anchor: Instance) -> Evidence:
        one, other = self.shape(target), self.shape(anchor)
        rise = float(one.low[2] - other.high[2])
        holds = rise >= -0.1 and _horizontal_gap(one, other) <= ABOVE_GAP_M
        return Evidence(holds, abs(rise), f"{max(rise, 0.0):.2f} m above" if holds else "not above")

    def _inside(self, target: Instance, anchor: Instance) -> Evidence:
        one, other = self.shape(target), self.shape(anchor)
        within = (one.points[:, :2] >= other.low[:2] - 0.02).all(axis=1)
        within &= (one.points[:, :2] <= other.high[:2] + 0.02).all(axis=1)
        share = float(within.mean())
        holds = share >= 0.7 and other.low[2] - 0.05 <= one.low[2] <= other.high[2] - 0.02
        holds = holds and one.size_m < other.size_m
        return Evidence(holds, 1.0 - share, "in" if holds else "not in")

    def _between(self, target: Instance, anchors: tuple[Instance, ...]) -> Evidence:
        here = self.shape(target).centroid[:2]
        start, end = (self.shape(anchor).centroid[:2] for anchor in anchors[:2])
        line = end - start
        length = float(np.linalg.norm(line))
        if length < 1e-6:
            return Evidence(False, float("inf"), "not between")
        along = float((here - start) @ line) / length**2
        aside = abs(float(line[0] * (here - start)[1] - line[1] * (here - start)[0])) / length
        holds = 0.05 <= along <= 0.95 and aside <= BETWEEN_SHARE * length
        return Evidence(holds, aside, "between" if holds else "not between")

    def _beside(self, kind: RelationKind, target: Instance, anchor: Instance) -> Evidence:
        place = self.shape(anchor).centroid
        forward, right = self._view(place)
        offset: NDArray[np.float64] = (self.shape(target).centroid - place)[:2]
        lateral, deeper = float(offset @ right), float(offset @ forward)
        along, across = {
            RelationKind.LEFT_OF: (-lateral, deeper),
            RelationKind.RIGHT_OF: (lateral, deeper),
            RelationKind.IN_FRONT_OF: (-deeper, lateral),
            RelationKind.BEHIND: (deeper, lateral),
        }[kind]
        holds = along >= OFFSET_M and along >= OFFSET_RATIO * abs(across)
        words = kind.value if holds else f"not {kind.value}"
        return Evidence(holds, self.gap(target, anchor), f"seen from the camera {words}")

    def _view(self, place: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the horizontal unit vectors forward (from the viewer to a place) and right."""
        forward = (place - self._camera)[:2]
        norm = float(np.linalg.norm(forward))
        forward = forward / norm if norm > 1e-6 else np.array([1.0, 0.0])
        return forward, np.array([forward[1], -forward[0]])


def _stands_on_floor(instance: Instance) -> bool:
    return instance.attributes.supported_by == "floor" and instance.attributes.bottom_height_m < CONTACT_M


def _horizontal_gap(one: Shape, other: Shape) -> float:
    apart = np.maximum(0.0, np.maximum(one.low[:2] - other.high[:2], other.low[:2] - one.high[:2]))
    return float(np.linalg.norm(apart))


def _outline(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the half planes of the convex outline of (N, 2) points; their bounds when they are too few or in line."""
    try:
        return np.unique(ConvexHull(points).equations, axis=0)
    except (QhullError, ValueError):
        low, high = points.min(axis=0), points.max(axis=0)
        return np.array([[-1.0, 0.0, low[0]], [0.0, -1.0, low[1]], [1.0, 0.0, -high[0]], [0.0, 1.0, -high[1]]])


def _share_below(one: Shape, other: Shape) -> float:
    """Return the share of one's points that have a part of the other above the top of the whole thing."""
    roof = other.points[other.points[:, 2] > one.high[2] + 0.02]
    if len(roof) == 0:
        return 0.0
    distances, _ = cKDTree(roof[:, :2]).query(one.points[:, :2], distance_upper_bound=_spacing(other))
    return float(np.isfinite(distances).mean())


def _spacing(shape: Shape) -> float:
    """Return how far apart samples of a shape are, seen from above [m]."""
    area = max(float(np.prod((shape.high - shape.low)[:2])), 1e-4)
    return max(0.06, 1.5 * math.sqrt(area / len(shape.points)))


def _overlap(one: Shape, other: Shape) -> float:
    """Return the share of one's points that are over or under the other one, seen from above."""
    tree = cKDTree(other.points[:, :2])
    distances, _ = tree.query(one.points[:, :2], distance_upper_bound=_spacing(other))
    near = float(np.isfinite(distances).mean())
    # A thing hides what is under it: points inside the other's outline count when the other is around them.
    inside = (one.points[:, :2] @ other.outline[:, :2].T + other.outline[:, 2] <= 0.0).all(axis=1)
    distances, _ = tree.query(one.points[:, :2], distance_upper_bound=AROUND_M)
    return max(near, float((inside & np.isfinite(distances)).mean()))

"""Where two instances are to one another, in metres: near, on, under, inside, between, left of the viewer, ...

Everything is measured on points in a frame whose z axis is along gravity. Each relation is a few measures with limits;
it holds when all are within them, and what it is told apart by is the measure with the least room to its limit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError, cKDTree

from lira_ros.fusion.contracts import Instance
from lira_ros.fusion.uncertainty import surface_deviation_m
from lira_ros.reasoning.constraint import RelationKind

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
# What rests on something is at most this much larger than it, seen from above.
LARGER_RATIO = 1.5
# What stands on a surface rises above it by at least this [m].
RISE_M = 0.01
# Things hang or stand above another within this horizontal gap, a picture over a sofa for example [m].
ABOVE_GAP_M = 0.35
# What is above another may reach down below its top by this much [m].
ABOVE_SINK_M = 0.1
# Outlines of what is under or in something are wrong by this much [m].
UNDER_EDGE_M, INSIDE_EDGE_M = 0.05, 0.02
# Share of a thing that must be within the outline of what it is in.
INSIDE_SHARE = 0.7
# Left, right, before and behind need this much offset to mean anything [m].
OFFSET_M = 0.08
# ... and more along their own direction than this share of the offset across it.
OFFSET_RATIO = 0.6
# A thing between two others is no farther from their connecting line than this share of its length,
BETWEEN_SHARE = 0.4
# ... and no nearer to its ends than this one.
BETWEEN_ENDS = 0.05
# What a shape derives of its points when it is first asked for.
_DERIVED = ("tree", "plan", "outline")
# Relations whose answer depends on where the viewer is.
VIEWER_KINDS = frozenset(
    {RelationKind.LEFT_OF, RelationKind.RIGHT_OF, RelationKind.IN_FRONT_OF, RelationKind.BEHIND}
)  # fmt: skip


@dataclass(frozen=True)
class Shape:
    """The geometry of an instance in a frame with z along gravity.

    points: (N, 3) sampled points [m]; low, high: (3,) bounds; centroid: (3,) mean of all points. deviation_m: standard
    deviation of where its surface is. grounded: it was seen to stand on the floor. top_height_m: above the floor, or
    NaN.
    """

    points: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    centroid: NDArray[np.float64]
    deviation_m: float
    grounded: bool
    top_height_m: float

    @cached_property
    def tree(self) -> cKDTree:
        """Return a tree of the points."""
        return cKDTree(self.points)

    @cached_property
    def plan(self) -> cKDTree:
        """Return a tree of the points seen from above."""
        return cKDTree(self.points[:, :2])

    @cached_property
    def outline(self) -> NDArray[np.float64]:
        """Return (E, 3) half planes a x + b y + c <= 0 of the convex outline seen from above."""
        return _outline(self.points[:, :2])

    def described_by(self, instance: Instance) -> Shape:
        """Return this shape with what else is known of an instance now, itself when nothing is new."""
        deviation_m, grounded, top_m = _known_of(instance)
        if repr((deviation_m, grounded, top_m)) == repr((self.deviation_m, self.grounded, self.top_height_m)):
            return self
        shape = Shape(self.points, self.low, self.high, self.centroid, deviation_m, grounded, top_m)
        # What was derived of the points stays.
        shape.__dict__.update({name: self.__dict__[name] for name in _DERIVED if name in self.__dict__})
        return shape

    @property
    def middle(self) -> NDArray[np.float64]:
        """Return the (2,) middle of the footprint."""
        return 0.5 * (self.low + self.high)[:2]

    @property
    def size_m(self) -> float:
        """Return the longest extent [m]."""
        return float((self.high - self.low).max())

    @property
    def footprint_m2(self) -> float:
        """Return the area of the rectangle around it seen from above [m2]."""
        return float(np.prod((self.high - self.low)[:2]))

    @property
    def spacing_m(self) -> float:
        """Return how far apart samples are, seen from above [m]."""
        return max(0.06, 1.5 * math.sqrt(max(self.footprint_m2, 1e-4) / len(self.points)))


@dataclass(frozen=True)
class Evidence:
    """Whether a relation holds, and in words with the number that decides.

    measure_m: gap or offset, smaller is better. margin_m: how far the measure that decides is from its limit, below 0
    when it does not hold; infinite when no small error can change it. deviation_m: standard deviation of that measure.
    """

    holds: bool
    measure_m: float
    words: str
    margin_m: float = math.inf
    deviation_m: float = 0.0


@dataclass(frozen=True)
class _Check:
    """One measure of a relation: how far it is within its limit [m], and what to say when it is beyond."""

    margin_m: float
    words: str


def shape_of(instance: Instance, axes: NDArray[np.float64]) -> Shape:
    """Return the geometry of an instance; axes: (3, 3) rows of the frame with z along gravity, in the map frame."""
    points = instance.points.astype(np.float64)
    if len(points) == 0:
        points = instance.box.corners()
    points = points @ axes.T
    half = 0.5 * instance.voxel_size_m
    # Voxels are sorted: every n-th one would leave out whole layers. The same points always give the same sample.
    chosen = np.random.default_rng(0).permutation(len(points))[:SAMPLES]
    deviation_m, grounded, top_m = _known_of(instance)
    return Shape(
        points=points[np.sort(chosen)],
        low=points.min(axis=0) - half,
        high=points.max(axis=0) + half,
        centroid=points.mean(axis=0),
        deviation_m=deviation_m,
        grounded=grounded,
        top_height_m=top_m,
    )


def _known_of(instance: Instance) -> tuple[float, bool, float]:
    """Return deviation_m, grounded and top_height_m of a shape."""
    attributes = instance.attributes
    grounded = attributes.supported_by == "floor" and attributes.bottom_height_m < CONTACT_M
    return surface_deviation_m(instance), grounded, attributes.top_height_m


def near(one: Shape, other: Shape, gap_m: float) -> Evidence:
    """Return whether two things are near one another; gap_m: between their surfaces."""
    reach_m = min(NEAR_MAX_M, max(NEAR_MIN_M, NEAR_SHARE * max(one.size_m, other.size_m)))
    holds = gap_m <= reach_m
    words = f"{gap_m:.2f} m from" if holds else f"{gap_m:.2f} m, more than {reach_m:.2f} m, from"
    return Evidence(holds, gap_m, words, reach_m - gap_m, joint_deviation_m(one, other))


def far(one: Shape, other: Shape, gap_m: float) -> Evidence:
    """Return whether two things are far from one another; gap_m: between their surfaces."""
    holds = gap_m >= FAR_M
    words = f"{gap_m:.1f} m away from" if holds else f"{gap_m:.2f} m, less than {FAR_M:.1f} m, away from"
    return Evidence(holds, -gap_m, words, gap_m - FAR_M, joint_deviation_m(one, other))


def on(one: Shape, other: Shape, word: str = "on") -> Evidence:
    """Return whether one thing stands or lies on the other."""
    negative = f"not {word}"
    if one.grounded and other.top_height_m > LOW_ANCHOR_M:
        return Evidence(False, math.inf, f"stands on the floor, {negative}")
    aside, over = horizontal_gap_m(one, other), float(one.low[2] - other.high[2])
    if aside > AROUND_M:
        return _decided([_Check(AROUND_M - aside, f"{aside:.2f} m beside, {negative}")], word, math.inf, one, other)
    if over > 2 * CONTACT_M:
        return _decided([_Check(2 * CONTACT_M - over, f"{over:.2f} m above, {negative}")], word, math.inf, one, other)
    overlap = _overlap(one, other)
    # The height that carries the thing: the highest part of the anchor around its footprint, below its bottom.
    around = (other.points[:, :2] >= one.low[:2] - AROUND_M).all(axis=1)
    around &= (other.points[:, :2] <= one.high[:2] + AROUND_M).all(axis=1)
    heights = other.points[around, 2]
    below = heights[heights <= one.low[2] + CONTACT_M]
    if len(below) == 0:
        sunk = float(heights.min() - one.low[2]) if len(heights) else math.inf
        words = f"nothing of it is below, {negative}"
        return _decided([_Check(CONTACT_M - sunk, words)], word, math.inf, one, other)
    carrying_m = float(below.max())
    clearance = float(one.low[2]) - carrying_m
    outside = float((one.middle @ other.outline[:, :2].T + other.outline[:, 2]).max())
    covered = _share_below(one, other)  # on a lower shelf or between legs: not on top
    checks = [
        _Check((overlap - OVERLAP_SHARE) * one.size_m, f"only {100 * overlap:.0f} % over it, {negative}"),
        _Check(CONTACT_M - clearance, f"{clearance:.2f} m above the surface, {negative}"),
        _Check(float(one.high[2]) - carrying_m - RISE_M, f"level with its surface, {negative}"),
        _Check(BALANCE_M - outside, f"its middle {outside:.2f} m beside, {negative}"),
        _Check(
            math.sqrt(LARGER_RATIO * other.footprint_m2) - math.sqrt(one.footprint_m2), f"larger than it, {negative}"
        ),
        _Check((OVERLAP_SHARE - covered) * one.size_m, f"{100 * covered:.0f} % below a part of it, {negative}"),
    ]
    measure_m = abs(clearance) if overlap >= OVERLAP_SHARE else math.inf
    return _decided(checks, word, measure_m, one, other)


def under(one: Shape, other: Shape) -> Evidence:
    """Return whether one thing is under the other: below a part of it, or carrying it."""
    drop = max(0.0, float(other.high[2] - one.high[2]))
    carried = on(other, one)
    if carried.holds:  # what carries a thing is under it, although it reaches out below
        return Evidence(True, drop, "under", carried.margin_m, carried.deviation_m)
    aside = horizontal_gap_m(one, other)
    if aside > UNDER_EDGE_M:
        return _decided([_Check(UNDER_EDGE_M - aside, f"{aside:.2f} m beside, not under")], "under", drop, one, other)
    above = (other.points[:, :2] >= one.low[:2] - UNDER_EDGE_M).all(axis=1)
    above &= (other.points[:, :2] <= one.high[:2] + UNDER_EDGE_M).all(axis=1)
    overlap = _overlap(one, other) if above.any() else 0.0
    roof_m = float(other.points[above, 2].max()) if above.any() else -math.inf
    checks = [
        _Check((overlap - OVERLAP_SHARE) * one.size_m, f"only {100 * overlap:.0f} % below it, not under"),
        _Check(
            roof_m - float(one.high[2]) + UNDER_EDGE_M,
            f"reaches {float(one.high[2]) - roof_m:.2f} m above it, not under",
        ),
        _Check(
            float(other.high[2]) - UNDER_EDGE_M - float(one.centroid[2]),
            f"its middle {float(one.centroid[2] - other.high[2]):.2f} m above the top, not under",
        ),
    ]
    found = _decided(checks, "under", drop, one, other)
    if found.holds and on(one, other).holds:
        return Evidence(False, drop, "on top, not under")
    return found


def above(one: Shape, other: Shape) -> Evidence:
    """Return whether one thing is above the other, touching it or not."""
    rise, aside = float(one.low[2] - other.high[2]), horizontal_gap_m(one, other)
    checks = [
        _Check(rise + ABOVE_SINK_M, f"begins {-rise:.2f} m below the top, not above"),
        _Check(ABOVE_GAP_M - aside, f"{aside:.2f} m beside, not above"),
    ]
    return _decided(checks, f"{max(rise, 0.0):.2f} m above", abs(rise), one, other)


def inside(one: Shape, other: Shape) -> Evidence:
    """Return whether one thing is within the other."""
    aside = horizontal_gap_m(one, other)
    if aside > INSIDE_EDGE_M:
        return _decided([_Check(INSIDE_EDGE_M - aside, f"{aside:.2f} m beside, not in")], "in", 1.0, one, other)
    within = (one.points[:, :2] >= other.low[:2] - INSIDE_EDGE_M).all(axis=1)
    within &= (one.points[:, :2] <= other.high[:2] + INSIDE_EDGE_M).all(axis=1)
    share = float(within.mean())
    bottom = float(one.low[2])
    checks = [
        _Check((share - INSIDE_SHARE) * one.size_m, f"only {100 * share:.0f} % within, not in"),
        _Check(bottom - float(other.low[2]) + 0.05, f"begins {float(other.low[2]) - bottom:.2f} m below it, not in"),
        _Check(
            float(other.high[2]) - INSIDE_EDGE_M - bottom,
            f"begins {bottom - float(other.high[2]):.2f} m above its rim, not in",
        ),
        _Check(other.size_m - one.size_m, "larger than it, not in"),
    ]
    return _decided(checks, "in", 1.0 - share, one, other)


def between(one: Shape, start: Shape, end: Shape) -> Evidence:
    """Return whether a thing is between two others, seen from above."""
    line = (end.centroid - start.centroid)[:2]
    offset = (one.centroid - start.centroid)[:2]
    length = float(np.linalg.norm(line))
    if length < 1e-6:
        return Evidence(False, math.inf, "not between")
    along = float(offset @ line) / length
    aside = abs(float(line[0] * offset[1] - line[1] * offset[0])) / length
    beyond = max(-along, along - length)
    checks = [
        _Check(min(along, length - along) - BETWEEN_ENDS * length, f"{max(0.0, beyond):.2f} m beyond, not between"),
        _Check(BETWEEN_SHARE * length - aside, f"{aside:.2f} m off the line, not between"),
    ]
    return _decided(checks, f"{aside:.2f} m off the line between", aside, one, start, end)


def beside(kind: RelationKind, one: Shape, other: Shape, viewer: NDArray[np.float64], gap_m: float) -> Evidence:
    """Return whether a thing is left, right, before or behind another, for a viewer at (3,) [m]."""
    forward, right = view_directions(viewer, other.centroid)
    offset: NDArray[np.float64] = (one.centroid - other.centroid)[:2]
    lateral, deeper = float(offset @ right), float(offset @ forward)
    along, across = {
        RelationKind.LEFT_OF: (-lateral, deeper),
        RelationKind.RIGHT_OF: (lateral, deeper),
        RelationKind.IN_FRONT_OF: (-deeper, lateral),
        RelationKind.BEHIND: (deeper, lateral),
    }[kind]
    lateral_words = f"{abs(lateral):.2f} m to the {'right' if lateral > 0 else 'left'}"
    deep_words = f"{abs(deeper):.2f} m {'behind' if deeper > 0 else 'in front'}"
    said = f"{lateral_words} and {deep_words}, not {kind.value}"
    checks = [_Check(along - OFFSET_M, said), _Check(along - OFFSET_RATIO * abs(across), said)]
    found = _decided(checks, f"{along:.2f} m {kind.value}", gap_m, one, other)
    return Evidence(found.holds, gap_m, f"seen from the camera {found.words}", found.margin_m, found.deviation_m)


def horizontal_gap_m(one: Shape, other: Shape) -> float:
    """Return how far apart the bounds of two things are, seen from above [m]."""
    apart = np.maximum(0.0, np.maximum(one.low[:2] - other.high[:2], other.low[:2] - one.high[:2]))
    return float(np.linalg.norm(apart))


def view_directions(
    viewer: NDArray[np.float64], place: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the horizontal unit vectors forward (from the viewer to a place) and right, (2,) each."""
    forward = (place - viewer)[:2]
    norm = float(np.linalg.norm(forward))
    forward = forward / norm if norm > 1e-6 else np.array([1.0, 0.0])
    return forward, np.array([forward[1], -forward[0]])


def joint_deviation_m(*shapes: Shape) -> float:
    """Return the standard deviation of a measure between the surfaces of several things [m]."""
    return math.sqrt(sum(shape.deviation_m**2 for shape in shapes))


def _decided(checks: list[_Check], words: str, measure_m: float, *shapes: Shape) -> Evidence:
    """Return the evidence of a relation: it holds when every check is within its limit."""
    least = min(checks, key=lambda check: check.margin_m)
    holds = least.margin_m >= 0.0
    return Evidence(holds, measure_m, words if holds else least.words, least.margin_m, joint_deviation_m(*shapes))


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
    distances, _ = cKDTree(roof[:, :2]).query(one.points[:, :2], distance_upper_bound=other.spacing_m)
    return float(np.isfinite(distances).mean())


def _overlap(one: Shape, other: Shape) -> float:
    """Return the share of one's points that are over or under the other one, seen from above."""
    distances, _ = other.plan.query(one.points[:, :2], distance_upper_bound=max(AROUND_M, other.spacing_m))
    over = distances <= other.spacing_m
    # A thing hides what is under it: points inside the other's outline count when the other is around them.
    within = (one.points[:, :2] @ other.outline[:, :2].T + other.outline[:, 2] <= 0.0).all(axis=1)
    return max(float(over.mean()), float((within & (distances <= AROUND_M)).mean()))

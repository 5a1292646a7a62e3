"""The table of relations between instances: computed once per change, only rows and columns of what changed.

Numbers that cost little are kept for every pair: the pairwise terms of Inst3D-LMM (distance, slope and direction
between centres), a lower bound of the distance between surfaces from the bounds of both, and that distance itself where
it is less than a room. The distance of pairs farther apart, and the named relations (on, in, under, above, near, far),
are measured when first asked for and kept until one of the two changes. What depends on the viewer is never kept.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numba
import numpy as np
from numpy.typing import NDArray

from lira_ros.fusion import spatial_relations
from lira_ros.fusion.contracts import Instance
from lira_ros.fusion.spatial_relations import FAR_M, SAMPLES, VIEWER_KINDS, Evidence, Shape
from lira_ros.reasoning.constraint import RelationKind
from lira_ros.reasoning.contracts import Attributes

# Distances between surfaces up to this are measured with every change: up to here "near" and "far" are told apart [m].
MEASURED_M = FAR_M
# Points are looked at in blocks of so many neighbours: most blocks of two things are too far apart to matter.
BLOCK = 32
_BLOCKS = -(-SAMPLES // BLOCK)
# Points are put in the order of cells of this many bits for each axis, so that a block is a small patch of surface.
_ORDER_BITS = 8
# How far apart two things may be, seen from above, so that the one can still stand so to the other [m]; "in" and "has
# on it" mean "on" as well, and what carries a thing is under it.
_SIDE_REACH_M = {
    RelationKind.ON: spatial_relations.AROUND_M,
    RelationKind.HOLDS: spatial_relations.AROUND_M,
    RelationKind.INSIDE: spatial_relations.AROUND_M,
    RelationKind.UNDER: spatial_relations.AROUND_M,
    RelationKind.ABOVE: spatial_relations.ABOVE_GAP_M,
}
# Named relations that say where a thing is kept, most telling first.
_RESTING_KINDS = (RelationKind.INSIDE, RelationKind.ON, RelationKind.ABOVE)


@dataclass(frozen=True)
class PairwiseTerms:
    """The terms of Inst3D-LMM for N instances.

    ids: of the rows and columns. terms: (N, N, 5) float32, for the way from the row's centre to the column's:
    d / d_max, dz / d, d_xy / d, dy / d_xy, dx / d_xy, with z against gravity and x as near to the map's x as can be; 0
    where a divisor is 0.
    """

    ids: tuple[int, ...]
    terms: NDArray[np.float32]


@dataclass(frozen=True)
class NamedRelation:
    """A relation that holds: the target stands to the anchor as kind says; gap_m: between their surfaces [m]."""

    target: int
    kind: RelationKind
    anchor: int
    gap_m: float


@dataclass(frozen=True)
class Anchors:
    """Instances that something may stand in a relation to.

    least: (R, N) float32, for each row of the table and each anchor the least that their measure can be [m]: how far
    apart they are seen from above, or the gap between their bounds.
    """

    kind: RelationKind
    instances: tuple[Instance, ...]
    least: NDArray[np.float32]


@dataclass
class _Row:
    """What is kept of one instance; version: changes whenever its geometry does."""

    slot: int
    voxels: NDArray[np.int32]
    attributes: Attributes
    observations: int
    shape: Shape
    version: int


class RelationTable:
    """Keeps relations between instances up to date. Not thread-safe: it has one owner."""

    def __init__(self) -> None:
        self._axes = _level_axes(np.array([0.0, 0.0, 1.0]))
        self._viewer = np.zeros(3)
        self._rows: dict[int, _Row] = {}
        self._free: list[int] = []
        self._versions = 0
        self._named: dict[tuple[RelationKind, int, int], tuple[int, int, Evidence]] = {}
        self._allocate(0)

    @property
    def up(self) -> NDArray[np.float64]:
        """Return the (3,) unit vector against gravity in the map frame."""
        return np.asarray(self._axes[2])

    @property
    def viewer(self) -> NDArray[np.float64]:
        """Return the (3,) place of the viewer in the map frame [m]."""
        return self._viewer @ self._axes

    def __len__(self) -> int:
        """Return the number of instances in the table."""
        return len(self._rows)

    def look_from(self, up: NDArray[np.float64], viewer: NDArray[np.float64]) -> None:
        """Set what "up" is, (3,) unit vector, and where the viewer is, (3,) [m], both in the map frame."""
        axes = _level_axes(up)
        if not np.allclose(axes, self._axes, atol=1e-6):
            self._axes = axes
            self._rows.clear()
            self._named.clear()
            self._free = list(range(len(self._counts)))[::-1]
        self._viewer = self._axes @ np.asarray(viewer, dtype=np.float64)

    def update(self, instances: Sequence[Instance]) -> int:
        """Make the table one of these instances; return how many rows were computed anew."""
        ids = {instance.id for instance in instances}
        gone = self._rows.keys() - ids
        for number in gone:
            self._free.append(self._rows.pop(number).slot)
        version = self._versions
        changed = [instance for instance in instances if not self._holds(instance)]
        if changed:
            self._add(changed)
        if gone or version != self._versions:
            rows = self._rows
            self._named = {
                key: kept
                for key, kept in self._named.items()
                if key[1] in rows and key[2] in rows and kept[:2] == (rows[key[1]].version, rows[key[2]].version)
            }
        return len(changed)

    def shape(self, instance: Instance) -> Shape:
        """Return the geometry of an instance, which becomes part of the table when it is not."""
        return self._row(instance).shape

    def gap(self, first: Instance, second: Instance) -> float:
        """Return the distance between the nearest points of two instances [m]."""
        return self._gap(self._row(first).slot, self._row(second).slot)

    def nearest(self, instance: Instance, others: Sequence[Instance]) -> tuple[float, Instance] | None:
        """Return the other whose surface is nearest, with the distance [m]; of equals the one of the lower id."""
        slot = self._row(instance).slot
        rest = sorted((other for other in others if other.id != instance.id), key=lambda other: other.id)
        if not rest:
            return None
        bounds = self._bounds[slot, [self._row(other).slot for other in rest]]
        best: tuple[float, int] | None = None
        for place in np.argsort(bounds, kind="stable").tolist():
            if best is not None and bounds[place] > best[0]:
                break
            found = (self._gap(slot, self._row(rest[place]).slot), place)
            best = found if best is None else min(best, found)
        assert best is not None
        return best[0], rest[best[1]]

    def covered_share(self, first: Instance, second: Instance, reach_m: float) -> float:
        """Return the share of the points of the first within ``reach_m`` of the second."""
        if self._bounds[self._row(first).slot, self._row(second).slot] > reach_m:
            return 0.0
        one, other = self.shape(first), self.shape(second)
        distances, _ = other.tree.query(one.points, distance_upper_bound=reach_m + other.spacing_m)
        return float(np.isfinite(distances).mean())

    def camera_distance(self, instance: Instance) -> float:
        """Return the distance from the viewer to the nearest point of an instance [m]."""
        return float(self.shape(instance).tree.query(self._viewer)[0])

    def lateral(self, instance: Instance, others: Sequence[Instance]) -> float:
        """Return how far to the right of the middle of several instances one is, as the viewer sees them [m]."""
        middle = np.mean([self.shape(other).centroid for other in others], axis=0)
        _, right = spatial_relations.view_directions(self._viewer, middle)
        return float((self.shape(instance).centroid - middle)[:2] @ right)

    def from_middle(self, instance: Instance, others: Sequence[Instance]) -> float:
        """Return how far one is from the middle of several instances [m]."""
        middle = np.mean([self.shape(other).centroid for other in others], axis=0)
        return float(np.linalg.norm(self.shape(instance).centroid - middle))

    def relate(self, kind: RelationKind, target: Instance, anchors: Sequence[Instance]) -> Evidence:
        """Return whether a target stands in a relation to an anchor (two for BETWEEN)."""
        if kind is RelationKind.BETWEEN:
            return spatial_relations.between(*(self.shape(item) for item in (target, *anchors[:2])))
        anchor = anchors[0]
        if kind in VIEWER_KINDS:
            gap_m = self.gap(target, anchor)
            return spatial_relations.beside(kind, self.shape(target), self.shape(anchor), self._viewer, gap_m)
        one, other = self._row(target), self._row(anchor)
        key, versions = (kind, target.id, anchor.id), (one.version, other.version)
        kept = self._named.get(key)
        if kept is None or kept[:2] != versions:
            kept = (*versions, self._measure(kind, one, other))
            self._named[key] = kept
        return kept[2]

    def gather(self, kind: RelationKind, anchors: Sequence[Instance]) -> Anchors:
        """Return several instances as anchors of best(), for many targets; good until the table changes."""
        slots = np.array([self._row(anchor).slot for anchor in anchors], dtype=np.int64)
        if kind in _SIDE_REACH_M:
            low, high = self._limits[:, 0, :2], self._limits[:, 1, :2]
            apart = np.maximum(low[slots] - high[:, None], low[:, None] - high[slots])
            least = np.hypot(*np.moveaxis(np.maximum(apart, 0.0), 2, 0)).astype(np.float32)
        elif kind is RelationKind.FAR:
            least = -self._distances[:, slots]  # no gap is wider than the way between the centres
        else:
            least = self._bounds[:, slots]  # no gap is narrower than the one between the bounds
        least[slots, np.arange(len(slots))] = np.inf  # nothing stands in a relation to itself
        return Anchors(kind, tuple(anchors), least)

    def best(self, target: Instance, anchors: Anchors) -> tuple[Evidence, int] | None:
        """Return what speaks best for the relation to one of several anchors but the target itself, and which, or None.

        An anchor to which the relation holds comes before one to which it does not, then the one of the smallest
        measure, then the first. Anchors that are too far away to change that are not measured.
        """
        kind, least = anchors.kind, anchors.least[self._row(target).slot]
        reach_m = _SIDE_REACH_M.get(kind)
        if reach_m is None:
            order = np.argsort(least, kind="stable")
        elif len(least):
            within = (least <= reach_m).nonzero()[0]
            # Where nothing is in reach, the nearest one tells what is missing.
            order = within if len(within) else least.argmin(keepdims=True)
        else:
            return None
        best: tuple[Evidence, int] | None = None
        for place in order.tolist():
            limit_m = float(least[place]) - 1e-5  # of single precision
            if math.isinf(limit_m):
                break
            # The measure of "near", "far" and the sides is the gap: what follows is worse than what holds, and beyond
            # the reach of "near" it cannot hold either.
            if best is not None and reach_m is None and limit_m > best[0].measure_m:
                out_of_reach = kind is RelationKind.NEAR and limit_m > spatial_relations.NEAR_MAX_M
                if best[0].holds or out_of_reach:
                    break
            found = self.relate(kind, target, (anchors.instances[place],))
            rank = (not found.holds, found.measure_m, place)
            if best is None or rank < (not best[0].holds, best[0].measure_m, best[1]):
                best = (found, place)
        return best

    def pairwise_terms(self) -> PairwiseTerms:
        """Return the terms of Inst3D-LMM for all instances of the table, by ascending id."""
        ids = tuple(sorted(self._rows))
        slots = np.array([self._rows[number].slot for number in ids], dtype=np.int64)
        places = np.ix_(slots, slots)
        distances = self._distances[places]
        largest = float(distances.max(initial=0.0))
        terms = np.empty((len(ids), len(ids), 5), dtype=np.float32)
        terms[..., 0] = distances / largest if largest > 0 else 0.0
        terms[..., 1:] = self._directions[places]
        return PairwiseTerms(ids, terms)

    def relations_of(self, instances: Sequence[Instance], limit: int) -> tuple[NamedRelation, ...]:
        """Return up to ``limit`` relations that hold between some instances and tell where things are.

        What something is in, on or above comes first, then what is near and not told by that already, nearest first;
        each pair once.
        """
        by_slot = {self._row(instance).slot: instance for instance in instances}
        slots = np.array(sorted(by_slot), dtype=np.int64)
        first, second = np.nonzero(self._bounds[np.ix_(slots, slots)] <= spatial_relations.NEAR_MAX_M)
        order = np.argsort(self._bounds[slots[first], slots[second]], kind="stable")
        found: dict[tuple[int, int], tuple[int, NamedRelation]] = {}
        for one, other in zip(slots[first[order]].tolist(), slots[second[order]].tolist(), strict=True):
            if one == other:
                continue
            target, anchor = by_slot[one], by_slot[other]
            pair = (min(target.id, anchor.id), max(target.id, anchor.id))
            for kind in (*_RESTING_KINDS, RelationKind.NEAR):
                told = kind is RelationKind.NEAR and (pair in found or target.id > anchor.id)
                if not told and self._tells(kind, target, anchor):
                    rank = int(kind is RelationKind.NEAR)
                    if pair not in found or rank < found[pair][0]:
                        found[pair] = (rank, NamedRelation(target.id, kind, anchor.id, self._gap(one, other)))
                    break
        ordered = sorted(found.values(), key=lambda item: (item[0], item[1].gap_m, item[1].target, item[1].anchor))
        return tuple(relation for _, relation in ordered[:limit])

    def _tells(self, kind: RelationKind, target: Instance, anchor: Instance) -> bool:
        """Tell whether a relation holds; a thing that lies on another is not said to be in it."""
        if kind is RelationKind.INSIDE:
            return spatial_relations.inside(self.shape(target), self.shape(anchor)).holds
        return self.relate(kind, target, (anchor,)).holds

    # ---- rows --------------------------------------------------------------------------------------------------

    def _allocate(self, capacity: int) -> None:
        self._points = np.zeros((capacity, SAMPLES, 3), dtype=np.float32)
        self._counts = np.zeros(capacity, dtype=np.int64)
        self._block_bounds = np.zeros((capacity, _BLOCKS, 2, 3), dtype=np.float32)
        self._limits = np.zeros((capacity, 2, 3))
        self._centroids = np.zeros((capacity, 3))
        self._voxel_sizes = np.zeros(capacity)
        self._distances = np.zeros((capacity, capacity), dtype=np.float32)
        self._directions = np.zeros((capacity, capacity, 4), dtype=np.float32)
        self._bounds = np.zeros((capacity, capacity), dtype=np.float32)
        self._gaps = np.full((capacity, capacity), np.nan, dtype=np.float32)

    def _reserve(self, count: int) -> None:
        """Make room for so many more rows."""
        missing = count - len(self._free)
        if missing <= 0:
            return
        before = len(self._counts)
        capacity = max(before + missing, 2 * before)
        old = {name: getattr(self, name) for name in _ARRAYS}
        self._allocate(capacity)
        for name, array in old.items():
            square = name in _SQUARES
            getattr(self, name)[(slice(before),) * (1 + square)] = array
        self._free = [*range(before, capacity)][::-1] + self._free

    def _holds(self, instance: Instance) -> bool:
        """Tell whether the row of an instance has its geometry; what else is known of it is brought up to date."""
        row = self._rows.get(instance.id)
        if row is None:
            return False
        if row.voxels is not instance.voxels:
            if not np.array_equal(row.voxels, instance.voxels):
                return False
            row.voxels = instance.voxels
        if row.attributes is not instance.attributes or row.observations != instance.observations:
            row.attributes, row.observations = instance.attributes, instance.observations
            shape = row.shape.described_by(instance)
            if shape is not row.shape:
                self._versions += 1
                row.shape, row.version = shape, self._versions
        return True

    def _row(self, instance: Instance) -> _Row:
        if not self._holds(instance):
            self._add([instance])
        return self._rows[instance.id]

    def _add(self, changed: Sequence[Instance]) -> None:
        """Compute the rows and columns of new and changed instances."""
        self._reserve(sum(instance.id not in self._rows for instance in changed))
        for instance in changed:
            self._place(instance)
        slots = np.array([self._rows[instance.id].slot for instance in changed], dtype=np.int64)
        self._fill(slots, np.array([row.slot for row in self._rows.values()], dtype=np.int64))

    def _place(self, instance: Instance) -> None:
        """Put the geometry of an instance into its row."""
        before = self._rows.get(instance.id)
        slot = self._free.pop() if before is None else before.slot
        shape = spatial_relations.shape_of(instance, self._axes)
        self._versions += 1
        self._rows[instance.id] = _Row(
            slot, instance.voxels, instance.attributes, instance.observations, shape, self._versions
        )
        points = _in_patches(shape.points).astype(np.float32)
        count = len(points)
        self._points[slot, :count], self._counts[slot] = points, count
        starts = np.arange(0, count, BLOCK)
        self._block_bounds[slot, : len(starts), 0] = np.minimum.reduceat(points, starts)
        self._block_bounds[slot, : len(starts), 1] = np.maximum.reduceat(points, starts)
        self._limits[slot] = shape.low, shape.high
        self._centroids[slot] = shape.centroid
        self._voxel_sizes[slot] = instance.voxel_size_m

    def _fill(self, slots: NDArray[np.int64], others: NDArray[np.int64]) -> None:
        """Compute what is kept of every pair of some rows with all others, both ways."""
        low, high = self._limits[:, 0], self._limits[:, 1]
        apart = np.maximum(low[slots][:, None] - high[others], low[others] - high[slots][:, None])
        bounds = np.linalg.norm(np.maximum(apart, 0.0), axis=2).astype(np.float32)
        offsets = self._centroids[others] - self._centroids[slots][:, None]
        distances = np.linalg.norm(offsets, axis=2)
        flat = np.linalg.norm(offsets[..., :2], axis=2)
        directions = np.stack(
            [
                _ratio(offsets[..., 2], distances),
                _ratio(flat, distances),
                _ratio(offsets[..., 1], flat),
                _ratio(offsets[..., 0], flat),
            ],
            axis=2,
        ).astype(np.float32)
        opposite = directions * np.array([-1.0, 1.0, -1.0, -1.0], dtype=np.float32)
        rows, columns = np.ix_(slots, others), np.ix_(others, slots)
        self._bounds[rows], self._bounds[columns] = bounds, bounds.T
        self._distances[rows], self._distances[columns] = distances, distances.T
        self._directions[rows], self._directions[columns] = directions, opposite.transpose(1, 0, 2)
        first, second = np.nonzero((bounds <= MEASURED_M) & (slots[:, None] != others))
        self._gaps[rows] = np.nan
        self._gaps[columns] = np.nan
        one, other = slots[first], others[second]
        both_changed = np.isin(other, slots) & (one > other)  # measured the other way round
        one, other = one[~both_changed], other[~both_changed]
        gaps = self._measured_gaps(one, other)
        self._gaps[one, other] = gaps
        self._gaps[other, one] = gaps

    def _gap(self, first: int, second: int) -> float:
        gap_m = float(self._gaps[first, second])
        if math.isnan(gap_m):
            gap_m = float(self._measured_gaps(np.array([first]), np.array([second]))[0])
            self._gaps[first, second] = self._gaps[second, first] = gap_m
        return gap_m

    def _measured_gaps(self, first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return (P,) distances between the surfaces of (P,) pairs of rows [m]."""
        between_points = _least_distances(self._points, self._counts, self._block_bounds, first, second)
        half = 0.5 * (self._voxel_sizes[first] + self._voxel_sizes[second])
        return np.maximum(0.0, between_points - half).astype(np.float32)

    def _measure(self, kind: RelationKind, one: _Row, other: _Row) -> Evidence:
        if kind is RelationKind.NEAR:
            return spatial_relations.near(one.shape, other.shape, self._gap(one.slot, other.slot))
        if kind is RelationKind.FAR:
            return spatial_relations.far(one.shape, other.shape, self._gap(one.slot, other.slot))
        if kind is RelationKind.ON:
            return spatial_relations.on(one.shape, other.shape)
        if kind is RelationKind.UNDER:
            return spatial_relations.under(one.shape, other.shape)
        if kind is RelationKind.ABOVE:
            return spatial_relations.above(one.shape, other.shape)
        contained = spatial_relations.inside
        if kind is RelationKind.INSIDE:
            within = contained(one.shape, other.shape)
            return within if within.holds else spatial_relations.on(one.shape, other.shape, "in")
        assert kind is RelationKind.HOLDS
        carried = spatial_relations.on(other.shape, one.shape)
        if not carried.holds:
            carried = contained(other.shape, one.shape)
        return replace(carried, words="has on it" if carried.holds else "does not have on it")


def _level_axes(up: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (3, 3) rows of a frame with z along up and x as near to the map's x as can be (its y when x is up)."""
    reference = np.eye(3)[int(abs(up[0]) > 0.9)]
    x = reference - (reference @ up) * up
    x /= np.linalg.norm(x)
    return np.stack([x, np.cross(up, x), up])


_SQUARES = ("_distances", "_directions", "_bounds", "_gaps")
_ARRAYS = ("_points", "_counts", "_block_bounds", "_limits", "_centroids", "_voxel_sizes", *_SQUARES)


def _ratio(numerator: NDArray[np.float64], divisor: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(numerator, divisor, out=np.zeros_like(divisor), where=divisor > 0)


def _in_patches(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (N, 3) points in an order in which neighbours in space are mostly neighbours (Morton, 1966)."""
    low = points.min(axis=0)
    extent = max(float((points.max(axis=0) - low).max()), 1e-6)
    cells = np.minimum((points - low) / extent * (1 << _ORDER_BITS), (1 << _ORDER_BITS) - 1).astype(np.int64)
    codes = np.zeros(len(points), dtype=np.int64)
    for bit in range(_ORDER_BITS):
        for axis in range(3):
            codes |= ((cells[:, axis] >> bit) & 1) << (3 * bit + axis)
    return points[np.argsort(codes, kind="stable")]


@numba.njit(nogil=True, cache=True)
def _block_distance(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Return the squared distance between two blocks given as (2, 3) bounds."""
    total = 0.0
    for axis in range(3):
        apart = max(one[0, axis] - other[1, axis], other[0, axis] - one[1, axis])
        if apart > 0.0:
            total += apart * apart
    return total


@numba.njit(nogil=True, cache=True)
def _block_pair(
    points: NDArray[np.float32], counts: NDArray[np.int64], first: int, second: int, a: int, b: int, best: float
) -> float:
    """Return the least squared distance between the points of two blocks, or ``best`` when that is less."""
    for i in range(a * BLOCK, min(counts[first], (a + 1) * BLOCK)):
        for j in range(b * BLOCK, min(counts[second], (b + 1) * BLOCK)):
            dx = points[first, i, 0] - points[second, j, 0]
            dy = points[first, i, 1] - points[second, j, 1]
            dz = points[first, i, 2] - points[second, j, 2]
            best = min(best, dx * dx + dy * dy + dz * dz)
    return best


@numba.njit(nogil=True, cache=True)
def _least_distances(
    points: NDArray[np.float32],
    counts: NDArray[np.int64],
    block_bounds: NDArray[np.float32],
    first: NDArray[np.int64],
    second: NDArray[np.int64],
) -> NDArray[np.float64]:
    # The nearest pair of blocks first: it rules out nearly all others.
    result = np.empty(len(first))
    for pair in range(len(first)):
        one, other = first[pair], second[pair]
        ones, others = -(-counts[one] // BLOCK), -(-counts[other] // BLOCK)
        least, start_a, start_b = np.inf, 0, 0
        for a in range(ones):
            for b in range(others):
                apart = _block_distance(block_bounds[one, a], block_bounds[other, b])
                if apart < least:
                    least, start_a, start_b = apart, a, b
        best = _block_pair(points, counts, one, other, start_a, start_b, np.inf)
        for a in range(ones):
            for b in range(others):
                if _block_distance(block_bounds[one, a], block_bounds[other, b]) < best:
                    best = _block_pair(points, counts, one, other, a, b, best)
        result[pair] = math.sqrt(best)
    return result

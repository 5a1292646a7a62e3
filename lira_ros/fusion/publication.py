"""What is published of the instances: voxels on the mapped surface, each owned by the best supported instance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import cv2
import numba
import numpy as np
from numpy.typing import NDArray

from lira_ros.fusion.box import oriented_box
from lira_ros.fusion.components import without_flying_voxels
from lira_ros.fusion.configuration import FusionConfiguration
from lira_ros.fusion.contracts import Instance, InstanceState, OrientedBox
from lira_ros.fusion.evidence import InstanceEvidence
from lira_ros.fusion.lifting import cells_of, find_slot, unpack, voxel_bounds
from lira_ros.fusion.surface import FragmentSurface, FragmentSurfaces
from lira_ros.mapping.voxel import contained_in
from lira_ros.reasoning.color import color_deviation, color_shares
from lira_ros.reasoning.contracts import Attributes
from lira_ros.reasoning.measurement import measure
from lira_ros.state.columns import Array

# A thing on or in a larger one is told from a part of it by its colour: smaller than this share of the larger one,
# another colour by this distance in CIELAB (ten just noticeable differences of 2.3; shading within one piece of
# upholstery stays below), and confirmed on its own.
THING_SHARE = 0.3
THING_COLOR_DISTANCE = 25.0
# An instance that loses more than this share of its voxels to stronger ones that are not small beside
# it is another reading of them that fewer views say; what is left of it is no thing that anybody saw.
LOST_SHARE = 0.5

# A mask that once ran over an edge leaves voxels that hardly any view repeats. What has fewer hits than this share of
# the well seen part of the instance is such a stray, unless this many views agree on it.
STRAY_SHARE = 0.2
AGREEING_VIEWS = 3

# Attributes and box are measured again when more than this share of the voxels came or went: below that they
# change by less than a voxel, and measuring costs more than the rest of a keyframe.
REMEASURE_SHARE = 0.02


@dataclass
class Measured:
    """Attributes and box, and what they were measured on."""

    keys: NDArray[np.int64]
    up: NDArray[np.float64]
    floor_height_m: float
    supported_by: str
    attributes: Attributes
    box: OrientedBox
    colors: dict[str, float]
    color_deviation: float

    STATE: ClassVar[dict[str, Any]] = {
        "keys": Array("<i8", ("voxels",)),
        "up": Array("<f8", (3,)),
        "floor_height_m": float,
        "supported_by": str,
        "attributes": Attributes,
        "box": OrientedBox,
        "colors": dict[str, float],
        "color_deviation": float,
    }

    def holds(self, keys: NDArray[np.int64], up: NDArray[np.float64], floor_height_m: float, supported_by: str) -> bool:
        """Tell whether it still holds for these voxels and this direction of gravity."""
        if self.up is not up or repr(self.floor_height_m) != repr(floor_height_m) or self.supported_by != supported_by:
            return False
        both = int(np.count_nonzero(contained_in(keys, self.keys)))
        return len(keys) + len(self.keys) - 2 * both <= REMEASURE_SHARE * len(self.keys)


@dataclass
class _Entry:
    """An instance as published, and what it was derived from."""

    keys: NDArray[np.int64]  # drawn to the mapped surface, before competing
    strength: NDArray[np.float32]  # by which instances compete for a voxel
    colors: NDArray[np.float32]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    existence: float
    owned: NDArray[np.bool_]
    lab: NDArray[np.float32]  # (3,) mean colour in CIELAB
    confirmed: bool
    instance: Instance | None = None
    measured: Measured | None = None


class Publication:
    """The published instances with a revision; derived from the evidence, which stays with its owner."""

    def __init__(self, configuration: FusionConfiguration, surfaces: FragmentSurfaces, revision: int) -> None:
        self.revision = revision
        self._configuration = configuration
        self._surfaces = surfaces
        self._entries: dict[int, _Entry] = {}
        self._restored: dict[int, Measured] = {}

    def instances(self) -> tuple[Instance, ...]:
        """Return the published instances by ascending id."""
        found = (self._entries[instance_id].instance for instance_id in sorted(self._entries))
        return tuple(instance for instance in found if instance is not None)

    def touched_by(self, surface: FragmentSurface) -> set[int]:
        """Return the ids of instances within the bounds of a fragment."""
        return {key for key, item in self._entries.items() if surface.overlaps(item.low, item.high)}

    def measured(self) -> dict[int, Measured]:
        """Return what was measured of instances, by id."""
        return {key: entry.measured for key, entry in sorted(self._entries.items()) if entry.measured is not None}

    def restore(
        self,
        evidence: Mapping[int, InstanceEvidence],
        measured: Mapping[int, Measured],
        up: NDArray[np.float64],
        floor_height_m: float,
    ) -> None:
        """Derive everything anew, but keep what was measured where it still holds."""
        for item in measured.values():
            if np.array_equal(item.up, up):
                item.up = up  # it is compared by identity
        self._restored = dict(measured)
        self.update(evidence, set(evidence), up, floor_height_m)
        self._restored = {}

    def update(
        self, evidence: Mapping[int, InstanceEvidence], dirty: set[int], up: NDArray[np.float64], floor_height_m: float
    ) -> None:
        """Derive again what changed (``dirty`` ids, those that are gone included), and what competes with it."""
        changed = False
        for instance_id in sorted(set(self._entries) - set(evidence)):
            if self._entries.pop(instance_id).instance is not None:
                changed = True
        for instance_id in sorted(dirty & set(evidence)):
            entry = self._derive(evidence[instance_id])
            entry.measured = self._restored.get(instance_id)
            if instance_id in self._entries:
                entry.instance = self._entries[instance_id].instance
                entry.measured = self._entries[instance_id].measured
            self._entries[instance_id] = entry
        for instance_id, owned in self._compete():
            entry = self._entries[instance_id]
            if instance_id not in dirty and np.array_equal(owned, entry.owned):
                continue
            entry.owned = owned
            before, after = entry.instance, self._assemble(evidence[instance_id], up, floor_height_m)
            if before is None if after is None else _same(before, after):
                continue
            entry.instance = after
            changed = True
        if changed:
            self.revision += 1

    def _compete(self) -> list[tuple[int, NDArray[np.bool_]]]:
        """Return for every instance which of its voxels it owns; none for one that lost most of them."""
        configuration = self._configuration
        competing = [
            instance_id
            for instance_id, entry in self._entries.items()
            if entry.existence >= configuration.publish_existence and len(entry.keys) >= configuration.min_voxels
        ]
        # The strongest first, the older of equals: it decides which instances are suppressed.
        competing.sort(key=lambda instance_id: (-float(self._entries[instance_id].strength.mean()), instance_id))
        entries = [self._entries[instance_id] for instance_id in competing]
        bounds = np.concatenate(([0], np.cumsum([len(entry.keys) for entry in entries]))).astype(np.int64)
        owned = np.zeros(int(bounds[-1]), dtype=np.bool_)
        if entries:
            keys = np.concatenate([entry.keys for entry in entries])
            _own(
                keys,
                cells_of(keys),
                np.concatenate([entry.strength for entry in entries]),
                bounds,
                np.array([entry.lab for entry in entries]),
                np.array([entry.confirmed for entry in entries]),
                owned,
            )
        result = {instance_id: owned[bounds[i] : bounds[i + 1]].copy() for i, instance_id in enumerate(competing)}
        return [
            (instance_id, result.get(instance_id, np.zeros(len(entry.keys), dtype=np.bool_)))
            for instance_id, entry in sorted(self._entries.items())
        ]

    def _derive(self, evidence: InstanceEvidence) -> _Entry:
        configuration = self._configuration
        voxels = evidence.voxels
        if configuration.method != "geometry":
            keep = (voxels.share() >= configuration.min_support) & (voxels.hits >= _least_hits(voxels.hits))
        else:
            keep = voxels.hits > 0
        keys, support = voxels.keys[keep], voxels.support()[keep]
        colors = voxels.colors[keep] / np.maximum(voxels.color_weights[keep], np.float32(1e-9))[:, None]
        keys, firm = self._surfaces.snap(keys, configuration.voxel_size_m)
        keys, support, colors = keys[firm], support[firm], colors[firm]
        if not (keys[1:] > keys[:-1]).all():
            # Of voxels drawn to the same place the best supported speaks.
            order = np.lexsort((-support, keys))
            keys, support, colors = keys[order], support[order], colors[order]
            first = np.ones(len(keys), dtype=bool)
            first[1:] = keys[1:] != keys[:-1]
            keys, support, colors = keys[first], support[first], colors[first]
        low, high, _ = voxel_bounds(keys)
        size = configuration.voxel_size_m
        # Equally strong instances keep what they had first.
        strength = support * np.float32(evidence.mean_score() if configuration.method != "geometry" else 0.0)
        owned = np.zeros(len(keys), dtype=np.bool_)
        rgb = np.clip(evidence.color / 255.0, 0.0, 1.0).astype(np.float32)
        return _Entry(
            keys=keys,
            strength=strength,
            colors=colors,
            low=low * size,
            high=high * size,
            existence=evidence.existence(),
            owned=owned,
            lab=cv2.cvtColor(rgb.reshape(1, 1, 3), cv2.COLOR_RGB2LAB).reshape(3).astype(np.float32),
            confirmed=evidence.state() == InstanceState.CONFIRMED,
        )

    def _assemble(self, evidence: InstanceEvidence, up: NDArray[np.float64], floor_height_m: float) -> Instance | None:
        configuration = self._configuration
        instance_id = evidence.id
        item = self._entries[instance_id]
        keys, colors = item.keys[item.owned], item.colors[item.owned]
        body = without_flying_voxels(keys)
        keys, colors = keys[body], colors[body]
        if len(keys) < configuration.min_voxels:
            return None
        voxels = unpack(keys)
        voxel_colors = np.clip(np.rint(colors), 0, 255).astype(np.uint8)
        supported_by = evidence.supported_by()
        if item.measured is None or not item.measured.holds(keys, up, floor_height_m, supported_by):
            points = voxels.astype(np.float32) * np.float32(configuration.voxel_size_m)
            attributes = measure(points, voxel_colors, up, floor_height_m, supported_by=supported_by)
            box = oriented_box(points, up, 0.5 * configuration.voxel_size_m)
            shares, deviation = color_shares(voxel_colors), color_deviation(voxel_colors)
            item.measured = Measured(keys, up, floor_height_m, supported_by, attributes, box, shares, deviation)
        label, confidence = evidence.label()
        total = sum(evidence.names.values())
        return Instance(
            id=instance_id,
            label=label,
            label_confidence=confidence,
            existence=item.existence,
            attributes=item.measured.attributes,
            box=item.measured.box,
            voxel_size_m=configuration.voxel_size_m,
            voxels=voxels,
            voxel_colors=voxel_colors,
            first_seen_ns=evidence.first_seen_ns,
            last_seen_ns=evidence.last_seen_ns,
            observations=evidence.observations(),
            names={name: evidence.names[name] / total for name in sorted(evidence.names)} if total > 0 else {},
            embedding=evidence.unit_embedding(),
            opinions={
                name: opinion
                for name, votes in sorted(evidence.opinions.items())
                if (opinion := votes.opinion()) is not None
            },
            state=evidence.state(),
            looks=evidence.votes.looks(),
            colors=item.measured.colors,
            color_deviation=item.measured.color_deviation,
            merged_from=tuple(sorted(evidence.merged_from)),
        )


def _least_hits(hits: NDArray[np.float32]) -> float:
    """Return the views that must have put a voxel into an instance with these (N,) hits."""
    if len(hits) == 0:
        return 0.0
    return min(float(AGREEING_VIEWS), STRAY_SHARE * float(np.percentile(hits, 75)))


@numba.njit(inline="always")
def _is_thing_on(
    m: int, other: int, bounds: NDArray[np.int64], lab: NDArray[np.float32], confirmed: NDArray[np.bool_]
) -> bool:
    if not confirmed[m] or bounds[m + 1] - bounds[m] > THING_SHARE * (bounds[other + 1] - bounds[other]):
        return False
    square = 0.0
    for channel in range(3):
        square += (lab[m, channel] - lab[other, channel]) ** 2
    return square > THING_COLOR_DISTANCE**2


@numba.njit(nogil=True, cache=True)
def _own(
    keys: NDArray[np.int64],
    cells: NDArray[np.int64],
    strength: NDArray[np.float32],
    bounds: NDArray[np.int64],
    lab: NDArray[np.float32],
    confirmed: NDArray[np.bool_],
    owned: NDArray[np.bool_],
) -> None:
    # Instances come strongest first. Whether one is suppressed is decided on cells, which voxels it owns on voxels.
    size = 1024
    while size < 2 * len(keys):
        size *= 2
    cell_table = np.full(size, -1, dtype=np.int64)
    cell_best = np.empty(size, dtype=np.float32)
    cell_owner = np.empty(size, dtype=np.int32)
    table = np.full(size, -1, dtype=np.int64)
    owner = np.empty(size, dtype=np.int32)
    best = np.empty(size, dtype=np.float32)
    accepted = np.zeros(len(bounds) - 1, dtype=np.bool_)
    for m in range(len(bounds) - 1):
        lost = 0
        for i in range(bounds[m], bounds[m + 1]):
            slot = find_slot(cell_table, cells[i])
            if cell_table[slot] == cells[i] and cell_best[slot] >= strength[i]:
                rival = cell_owner[slot]
                smaller = 2 * (bounds[rival + 1] - bounds[rival]) < bounds[m + 1] - bounds[m]
                lost += not smaller and not _is_thing_on(m, rival, bounds, lab, confirmed)
        if lost > LOST_SHARE * (bounds[m + 1] - bounds[m]):
            continue
        accepted[m] = True
        for i in range(bounds[m], bounds[m + 1]):
            slot = find_slot(table, keys[i])
            if (
                table[slot] != keys[i]
                or best[slot] < strength[i]
                or _is_thing_on(m, owner[slot], bounds, lab, confirmed)
            ):
                table[slot] = keys[i]
                owner[slot] = m
                best[slot] = strength[i]
        # Only now: an instance does not lose cells to itself.
        for i in range(bounds[m], bounds[m + 1]):
            slot = find_slot(cell_table, cells[i])
            if (
                cell_table[slot] != cells[i]
                or cell_best[slot] < strength[i]
                or _is_thing_on(m, cell_owner[slot], bounds, lab, confirmed)
            ):
                cell_table[slot] = cells[i]
                cell_best[slot] = strength[i]
                cell_owner[slot] = m
    for m in range(len(bounds) - 1):
        if accepted[m]:
            for i in range(bounds[m], bounds[m + 1]):
                owned[i] = owner[find_slot(table, keys[i])] == m


def _same(before: Instance | None, after: Instance) -> bool:
    """Tell whether two states of an instance are the same to whoever receives them."""
    return (
        before is not None
        and before.label == after.label
        and before.existence == after.existence
        and before.observations == after.observations
        and before.looks == after.looks
        and before.merged_from == after.merged_from
        and before.label_confidence == after.label_confidence
        and before.names == after.names
        and before.opinions == after.opinions
        and before.last_seen_ns == after.last_seen_ns
        and np.array_equal(before.voxels, after.voxels)
        and np.array_equal(before.voxel_colors, after.voxel_colors)
        and np.array_equal(before.box.T_map_box, after.box.T_map_box)
        and repr(before.attributes) == repr(after.attributes)
    )

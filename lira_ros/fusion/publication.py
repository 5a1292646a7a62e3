"""What is published of the instances: voxels on the mapped surface, each owned by the best supported instance."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lira_ros.fusion.box import oriented_box
from lira_ros.fusion.configuration import FusionConfiguration
from lira_ros.fusion.contracts import Instance
from lira_ros.fusion.evidence import InstanceEvidence, without_flying_voxels
from lira_ros.fusion.lifting import unpack, voxel_bounds
from lira_ros.fusion.surface import FragmentSurface, FragmentSurfaces
from lira_ros.reasoning.measurement import measure

# Ids of removed instances that are remembered for changed_since().
MAX_REMEMBERED_REMOVALS = 10000


@dataclass
class _Entry:
    """An instance as published, and what it was derived from."""

    keys: NDArray[np.int64]  # drawn to the mapped surface, before competing
    support: NDArray[np.float32]
    colors: NDArray[np.float32]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    existence: float
    instance: Instance | None = None


class Publication:
    """The published instances with a revision; derived from the evidence, which stays with its owner."""

    def __init__(self, configuration: FusionConfiguration, surfaces: FragmentSurfaces, revision: int) -> None:
        self.revision = revision
        self._configuration = configuration
        self._surfaces = surfaces
        self._entries: dict[int, _Entry] = {}
        self._changed_at: dict[int, int] = {}
        self._removed_at: OrderedDict[int, int] = OrderedDict()
        self._oldest_revision = 0

    def instances(self) -> tuple[Instance, ...]:
        """Return the published instances by ascending id."""
        found = (self._entries[instance_id].instance for instance_id in sorted(self._entries))
        return tuple(instance for instance in found if instance is not None)

    def touched_by(self, surface: FragmentSurface) -> set[int]:
        """Return the ids of instances within the bounds of a fragment."""
        return {key for key, item in self._entries.items() if surface.overlaps(item.low, item.high)}

    def remove_all(self, removed: tuple[int, ...]) -> None:
        """Note that instances of an earlier publication are gone, as one change."""
        self.revision += 1
        for instance_id in removed:
            self._note_removed(instance_id, self.revision)

    def changed_since(self, revision: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the ids of instances that were published anew or changed, and removed, after a revision.

        Raises ValueError when that revision is unknown or too long ago; take instances() then.
        """
        if not self._oldest_revision <= revision <= self.revision:
            raise ValueError(
                f"revision {revision}: expected one from {self._oldest_revision} to {self.revision}; "
                "fetch all instances instead"
            )
        changed = sorted(instance_id for instance_id, at in self._changed_at.items() if at > revision)
        removed = sorted(instance_id for instance_id, at in self._removed_at.items() if at > revision)
        return tuple(changed), tuple(removed)

    def update(
        self, evidence: Mapping[int, InstanceEvidence], dirty: set[int], up: NDArray[np.float64], floor_height_m: float
    ) -> None:
        """Derive again what changed (``dirty`` ids, those that are gone included), and what competes with it."""
        affected = set()
        for instance_id in sorted(dirty & set(self._entries)):
            affected.update(self._rivals(instance_id))
        for instance_id in sorted(dirty & set(evidence)):
            entry = self._derive(evidence[instance_id])
            if instance_id in self._entries:
                entry.instance = self._entries[instance_id].instance
            self._entries[instance_id] = entry
            affected.add(instance_id)
        for instance_id in sorted(dirty & set(evidence)):
            affected.update(self._rivals(instance_id))
        gone = set(self._entries) - set(evidence)
        revision = self.revision + 1
        changed = False
        for instance_id in sorted(gone):
            if self._entries.pop(instance_id).instance is not None:
                changed = True
                self._note_removed(instance_id, revision)
        for instance_id in sorted(affected - gone):
            item = self._entries[instance_id]
            before, after = item.instance, self._assemble(evidence[instance_id], up, floor_height_m)
            if after is None and before is not None:
                self._note_removed(instance_id, revision)
            elif after is not None and not _same(before, after):
                self._changed_at[instance_id] = revision
                self._removed_at.pop(instance_id, None)
            else:
                continue
            item.instance = after
            changed = True
        if changed:
            self.revision = revision

    def _note_removed(self, instance_id: int, revision: int) -> None:
        self._changed_at.pop(instance_id, None)
        self._removed_at[instance_id] = revision
        while len(self._removed_at) > MAX_REMEMBERED_REMOVALS:
            _, at = self._removed_at.popitem(last=False)
            self._oldest_revision = max(self._oldest_revision, at)

    def _derive(self, evidence: InstanceEvidence) -> _Entry:
        configuration = self._configuration
        voxels = evidence.voxels
        keep = voxels.share() >= configuration.min_support
        keys, support = voxels.keys[keep], voxels.support()[keep]
        colors = voxels.colors[keep] / np.maximum(voxels.color_weights[keep], np.float32(1e-9))[:, None]
        keys, firm = self._surfaces.snap(keys, configuration.voxel_size_m)
        keys, support, colors = keys[firm], support[firm], colors[firm]
        # Of voxels drawn to the same place the best supported speaks.
        order = np.lexsort((-support, keys))
        keys, support, colors = keys[order], support[order], colors[order]
        first = np.ones(len(keys), dtype=bool)
        first[1:] = keys[1:] != keys[:-1]
        keys, support, colors = keys[first], support[first], colors[first]
        low, high, _ = voxel_bounds(keys)
        size = configuration.voxel_size_m
        return _Entry(keys, support, colors, low * size, high * size, evidence.existence())

    def _rivals(self, instance_id: int) -> list[int]:
        item = self._entries[instance_id]
        return [
            other_id
            for other_id, other in self._entries.items()
            if other_id != instance_id and (item.low <= other.high).all() and (other.low <= item.high).all()
        ]

    def _assemble(self, evidence: InstanceEvidence, up: NDArray[np.float64], floor_height_m: float) -> Instance | None:
        configuration = self._configuration
        instance_id = evidence.id
        item = self._entries[instance_id]
        if item.existence < configuration.publish_existence or len(item.keys) < configuration.min_voxels:
            return None
        keep = np.ones(len(item.keys), dtype=bool)
        for other_id in self._rivals(instance_id):
            other = self._entries[other_id]
            if other.existence < configuration.publish_existence or len(other.keys) == 0:
                continue
            at = np.minimum(np.searchsorted(other.keys, item.keys), len(other.keys) - 1)
            same = other.keys[at] == item.keys
            stronger = other.support[at] > item.support
            if other_id < instance_id:
                stronger |= other.support[at] == item.support
            keep &= ~(same & stronger)
        keys, colors = item.keys[keep], item.colors[keep]
        body = without_flying_voxels(keys)
        keys, colors = keys[body], colors[body]
        if len(keys) < configuration.min_voxels:
            return None
        voxels = unpack(keys)
        voxel_colors = np.clip(np.rint(colors), 0, 255).astype(np.uint8)
        points = voxels.astype(np.float32) * np.float32(configuration.voxel_size_m)
        label, confidence = evidence.label()
        total = sum(evidence.names.values())
        return Instance(
            id=instance_id,
            label=label,
            label_confidence=confidence,
            existence=item.existence,
            attributes=measure(points, voxel_colors, up, floor_height_m, supported_by=evidence.supported_by()),
            box=oriented_box(points, up, 0.5 * configuration.voxel_size_m),
            voxel_size_m=configuration.voxel_size_m,
            voxels=voxels,
            voxel_colors=voxel_colors,
            first_seen_ns=evidence.first_seen_ns,
            last_seen_ns=evidence.last_seen_ns,
            observations=evidence.observations(),
            names={name: evidence.names[name] / total for name in sorted(evidence.names)} if total > 0 else {},
            embedding=evidence.unit_embedding(),
        )


def _same(before: Instance | None, after: Instance) -> bool:
    """Tell whether two states of an instance are the same to whoever receives them."""
    return (
        before is not None
        and before.label == after.label
        and before.existence == after.existence
        and before.observations == after.observations
        and before.label_confidence == after.label_confidence
        and before.names == after.names
        and before.last_seen_ns == after.last_seen_ns
        and np.array_equal(before.voxels, after.voxels)
        and np.array_equal(before.voxel_colors, after.voxel_colors)
        and np.array_equal(before.box.T_map_box, after.box.T_map_box)
        and repr(before.attributes) == repr(after.attributes)
    )

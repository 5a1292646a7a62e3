"""The map of TIFF: voxels with their distances and instance labels, and what is known of each instance.

As in the released module: a fragment replaces the voxels of its cube, and in there each voxel goes to the largest
cluster that wants it. Voxels are NumPy arrays on the processor. Two things are answered here that fail in the original:
a cube without any background voxel, and fragments whose offset it gets wrong by truncating where it should round.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from lira_ros.fusion.tiff.matching import Matching, match
from lira_ros.fusion.tiff.network import HIDDEN_LENGTH, VOXEL_M
from lira_ros.state.columns import Array

# Edge of LIRA's fragment, in voxels.
FRAGMENT_VOXELS = 96
BACKGROUND = 0

_Name = TypeVar("_Name")


@dataclass(frozen=True)
class FragmentVoxels:
    """The voxels of a fragment: coordinates (N, 3) integers in 0..95, tsdf (N,) float32, origin_voxels (3,) in the map.

    A voxel whose distance is 1 or more in size is empty, and empties the map at its place.
    """

    coordinates: NDArray[np.integer]
    tsdf: NDArray[np.float32]
    origin_voxels: NDArray[np.integer]


@dataclass(frozen=True)
class FragmentInstances:
    """The n candidates of a fragment that take part: embeddings (n, 128) float32, masks (n, N) bool, scores (n,).

    texts: colour and class of each; target_ids: the true instance of each, which only training and evaluation know.
    """

    embeddings: NDArray[np.float32]
    masks: NDArray[np.bool_]
    scores: NDArray[np.float32]
    texts: tuple[str, ...]
    target_ids: tuple[int, ...]


@dataclass
class InstanceRecord:
    """What is known of one instance: means over ``count`` sightings, and what each of them said it was."""

    embedding: NDArray[np.float32]
    score: np.float32
    count: int
    texts: list[str]
    target_ids: list[int]

    STATE: ClassVar[dict[str, Any]] = {
        "embedding": Array("<f4", (HIDDEN_LENGTH,)),
        "score": float,
        "count": int,
        "texts": list[str],
        "target_ids": list[int],
    }

    def __post_init__(self) -> None:
        """Count in float32, as the network does, whatever the score came as."""
        self.score = np.float32(self.score)

    @property
    def text(self) -> str:
        """Return what most sightings said that it is, of equally many that which came first."""
        return _most_frequent(self.texts)

    @property
    def target_id(self) -> int:
        """Return the true instance of most sightings, of equally many that which came first."""
        return _most_frequent(self.target_ids)


@dataclass
class GlobalMap:
    """The map so far: coordinates (M, 3) int64, tsdf (M,) float32, labels (M,) int64 (0 is background), and records.

    The records of instances that own no voxel stay until their id is given to another one: a new id is one more than
    the largest label of any voxel.
    """

    coordinates: NDArray[np.int64] = field(default_factory=lambda: np.empty((0, 3), dtype=np.int64))
    tsdf: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, dtype=np.float32))
    labels: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    records: dict[int, InstanceRecord] = field(default_factory=dict)

    STATE: ClassVar[dict[str, Any]] = {
        "coordinates": Array("<i8", ("voxels", 3)),
        "tsdf": Array("<f4", ("voxels",)),
        "labels": Array("<i8", ("voxels",)),
        "records": dict[int, InstanceRecord],
    }

    def fuse(self, voxels: FragmentVoxels, instances: FragmentInstances) -> Matching | None:
        """Put a fragment into the map and return what was matched; of a fragment without candidates, None.

        Raises:
            ValueError: if voxels lie outside of the fragment, or the shapes do not fit each other.
        """
        _check(voxels, instances)
        largest_label = int(self.labels.max(initial=BACKGROUND))
        local = self.coordinates - voxels.origin_voxels
        inside = ((local >= 0) & (local < FRAGMENT_VOXELS)).all(axis=1)
        before = tuple(local[inside].T)
        now = tuple(voxels.coordinates.T)

        tsdf = np.ones((FRAGMENT_VOXELS,) * 3, dtype=np.float32)
        tsdf[before] = self.tsdf[inside]
        tsdf[now] = voxels.tsdf
        kept = np.nonzero(np.abs(tsdf) < 1.0)
        labels_before = np.full(tsdf.shape, BACKGROUND, dtype=np.int64)
        labels_before[before] = self.labels[inside]
        labels = labels_before[kept]

        matching = None
        if len(instances.masks) > 0:
            # Row of each voxel in the fragment, and behind its end for voxels that only the map has.
            rows = np.full(tsdf.shape, len(voxels.tsdf), dtype=np.int64)
            rows[now] = np.arange(len(voxels.tsdf))
            empty = np.zeros((len(instances.masks), 1), dtype=bool)
            masks = np.concatenate((instances.masks, empty), axis=1)[:, rows[kept]]
            matching, labels = self._merge(labels, masks, instances, largest_label)

        places = np.stack(kept, axis=1) + voxels.origin_voxels
        self.coordinates = np.concatenate((self.coordinates[~inside], places))
        self.tsdf = np.concatenate((self.tsdf[~inside], tsdf[kept]))
        self.labels = np.concatenate((self.labels[~inside], labels))
        return matching

    def labels_within(self, origin_voxels: NDArray[np.integer]) -> list[int]:
        """Return the labels of the instances that have a voxel in the fragment at an origin (3,), ascending."""
        local = self.coordinates - origin_voxels
        inside = ((local >= 0) & (local < FRAGMENT_VOXELS)).all(axis=1)
        return [int(label) for label in np.unique(self.labels[inside]) if label != BACKGROUND]

    def _merge(
        self,
        labels: NDArray[np.int64],
        masks: NDArray[np.bool_],
        instances: FragmentInstances,
        largest_label: int,
    ) -> tuple[Matching, NDArray[np.int64]]:
        """Return what was matched and the new labels (V,) from those before and the candidates' masks (n, V)."""
        present = [int(label) for label in np.unique(labels) if label != BACKGROUND]
        known = [self.records[label] for label in present]
        # What an instance of the map adds to another one is its mean as one more sighting, and its most frequent names.
        means = np.array([record.embedding for record in known], np.float32).reshape(-1, HIDDEN_LENGTH)
        embeddings = np.concatenate((means, instances.embeddings))
        scores = np.concatenate((np.array([record.score for record in known], np.float32), instances.scores))
        texts = [record.text for record in known] + list(instances.texts)
        target_ids = [record.target_id for record in known] + list(instances.target_ids)
        wanted = np.concatenate((labels[None] == np.array(present, np.int64)[:, None], masks))

        matching = match(embeddings)
        merged = np.full_like(labels, BACKGROUND)
        for cluster in matching.order:
            members = np.flatnonzero(matching.clusters == cluster)
            if members[0] < len(present):
                label = present[members[0]]
                record = self.records[label]
                added = members[1:]
            else:
                largest_label += 1
                label = largest_label
                record = InstanceRecord(np.zeros(HIDDEN_LENGTH, np.float32), np.float32(0.0), 0, [], [])
                self.records[label] = record
                added = members
            merged[(merged == BACKGROUND) & wanted[members].any(axis=0)] = label
            count = record.count + len(added)
            weight = np.float32(record.count)
            record.embedding = (record.embedding * weight + embeddings[added].sum(axis=0)) / np.float32(count)
            record.score = (record.score * weight + scores[added].sum()) / np.float32(count)
            record.count = count
            record.texts = record.texts + [texts[member] for member in added]
            record.target_ids = record.target_ids + [target_ids[member] for member in added]
        return matching, merged


def offset_voxels(origin_m: NDArray[np.floating], voxel_m: float = VOXEL_M) -> NDArray[np.int64]:
    """Return the place of a fragment in the map, whole voxels, from its origin (..., 3) in metres."""
    return np.rint(np.asarray(origin_m, dtype=np.float64) / voxel_m).astype(np.int64)


def _most_frequent(names: list[_Name]) -> _Name:
    return Counter(names).most_common(1)[0][0]  # of equally frequent ones that which came first


def _check(voxels: FragmentVoxels, instances: FragmentInstances) -> None:
    count, candidates = len(voxels.coordinates), len(instances.masks)
    shapes = {
        "coordinates": (voxels.coordinates, (count, 3)),
        "tsdf": (voxels.tsdf, (count,)),
        "origin_voxels": (voxels.origin_voxels, (3,)),
        "embeddings": (instances.embeddings, (candidates, HIDDEN_LENGTH)),
        "masks": (instances.masks, (candidates, count)),
        "scores": (instances.scores, (candidates,)),
    }
    for name, (array, shape) in shapes.items():
        if array.shape != shape:
            raise ValueError(f"{name}: expected the shape {shape}, got {array.shape}")
    for name, names in (("texts", instances.texts), ("target_ids", instances.target_ids)):
        if len(names) != candidates:
            raise ValueError(f"{name}: expected one for each of {candidates} candidates, got {len(names)}")
    outside = (voxels.coordinates < 0) | (voxels.coordinates >= FRAGMENT_VOXELS)
    if outside.any():
        raise ValueError(f"coordinates: expected 0 to {FRAGMENT_VOXELS - 1}, got {voxels.coordinates[outside][0]}")

"""Which candidate of a keyframe shows which instance.

The two are compared over what both could see: the part of an instance that is visible in the keyframe, and the
part of a candidate that was visible in the keyframes in which the instance was seen before. So a partial view
joins its whole, an instance grows into what was out of view, and a mask that swallows a thing together with what
was seen not to belong to it has little overlap with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from lira_ros.fusion.configuration import FusionConfiguration
from lira_ros.fusion.evidence import InstanceEvidence
from lira_ros.fusion.lifting import (
    ON_SURFACE,
    OUT_OF_VIEW,
    StoredKeyframe,
    count_inside,
    lift,
    look_up,
    rows_per_cell,
    splat,
    voxel_bounds,
)
from lira_ros.geometry.mask import intersection_over_union
from lira_ros.mapping.voxel import contained_in
from lira_ros.reasoning.contracts import Candidate, CandidateSet

# Two masks of one answer that share this much are one thing said twice (non-maximum suppression of Mask R-CNN
# style detectors uses 0.5 ... 0.9).
SAME_MASK_OVERLAP = 0.8
# A mask of a second instruction that shares this much with an instance already seen in the keyframe is that one.
SAME_VIEW_OVERLAP = 0.5
# Instances of which less than this share is inside any mask were overlooked by the answer.
CLAIMED_SHARE = 0.3
# Below this extent a few centimetres of pose error leave no overlap, and the distance of centres decides too.
TINY_EXTENT_M = 0.2
# Keyframes in which an instance was seen that are asked about voxels which a new mask adds to it.
REFERENCES = 6
# Negative evidence needs a good look: this share of the voxels and this many cells of the comparison grid.
WELL_SEEN_SHARE = 0.5
WELL_SEEN_CELLS = 30
# Voxels looked up for evidence that only needs a share of them.
SAMPLE_VOXELS = 200


@dataclass
class LiftedCandidate:
    """A candidate with its voxels; also: candidates that show the same thing again."""

    candidate: Candidate
    keys: NDArray[np.int64]
    colors: NDArray[np.float32]
    grid: NDArray[np.bool_]  # trusted pixels on the comparison grid
    cells: int
    center: NDArray[np.float64]
    extent_m: float
    also: list[Candidate]


@dataclass
class InstanceView:
    """What a keyframe sees of the instances, and how that meets the candidates."""

    instances: list[InstanceEvidence]
    bounds: NDArray[np.int64]
    relation: NDArray[np.uint8]
    pixel: NDArray[np.int32]
    distance: NDArray[np.float32]
    areas: NDArray[np.int32]
    shared: NDArray[np.int32]
    cells: NDArray[np.int32]
    slices: NDArray[np.int64]

    @classmethod
    def undrawn(
        cls,
        instances: list[InstanceEvidence],
        bounds: NDArray[np.int64],
        relation: NDArray[np.uint8],
        pixel: NDArray[np.int32],
        distance: NDArray[np.float32],
    ) -> InstanceView:
        """Return a view of which nothing is known but how its voxels meet the measured depth."""
        nothing = np.zeros(0, dtype=np.int32)
        slices = np.zeros(len(instances) + 1, dtype=np.int64)
        return cls(instances, bounds, relation, pixel, distance, nothing, nothing, nothing, slices)

    def part(self, index: int) -> slice:
        """Return the slice of one instance in the voxel arrays."""
        return slice(int(self.bounds[index]), int(self.bounds[index + 1]))


class Association:
    """Lifts candidates, observes instances and matches them; keyframes and instances stay with their owner."""

    def __init__(self, configuration: FusionConfiguration, keyframes: Mapping[int, StoredKeyframe]) -> None:
        self._configuration = configuration
        self._keyframes = keyframes

    def in_reach(self, evidence: InstanceEvidence, stored: StoredKeyframe) -> bool:
        """Tell whether the bounding sphere of an instance can be in the view of a keyframe."""
        camera = stored.camera
        t = stored.T_camera_map
        x, y, z = t[:3, :3] @ evidence.center + t[:3, 3]
        r = evidence.radius_m + self._configuration.voxel_size_m
        if z + r <= 0:
            return False
        # Distance to the side planes of the view: the pixel at the border, as a direction.
        for focal, offset, size, value in (
            (camera.fx, camera.cx, camera.width_px, x),
            (camera.fy, camera.cy, camera.height_px, y),
        ):
            low, high = (-0.5 - offset) / focal, (size - 0.5 - offset) / focal
            if value - high * z > r * np.hypot(1.0, high) or low * z - value > r * np.hypot(1.0, low):
                return False
        return True

    def lift_all(self, candidates: CandidateSet, stored: StoredKeyframe) -> tuple[list[LiftedCandidate], int]:
        """Lift the candidates of a set; return them, best first, and how many were too small to lift.

        Of masks that show the same thing the one with the best score is kept and remembers the others.
        """
        too_small = 0
        configuration = self._configuration
        liftable = stored.liftable(configuration.max_depth_m)
        results: list[LiftedCandidate] = []
        # Best first, so that of two masks of one thing the better one is kept.
        for candidate in sorted(candidates.candidates, key=lambda item: (-item.score, item.id)):
            trusted = candidate.mask & liftable
            keys, colors = lift(trusted, stored, configuration.voxel_size_m)
            if len(keys) < configuration.min_voxels:
                too_small += 1
                continue
            grid = stored.grid(trusted)
            cells = int(np.count_nonzero(grid))
            if cells == 0:
                too_small += 1
                continue
            for other in results:
                smaller, larger = sorted((cells, other.cells))
                if smaller < SAME_MASK_OVERLAP * larger:
                    continue
                both = int(np.count_nonzero(grid & other.grid))
                if both >= SAME_MASK_OVERLAP * (cells + other.cells - both):
                    other.also.append(candidate)
                    break
            else:
                results.append(self._lifted(candidate, keys, colors, grid, []))
        return results, too_small

    def widened(
        self, item: LiftedCandidate, stored: StoredKeyframe, liftable: NDArray[np.bool_], reach_cells: int
    ) -> LiftedCandidate:
        """Return a candidate with the voxels that lie up to so many grid cells beyond its mask as well.

        liftable: (H, W) pixels whose depth can be trusted. Everything else stays: the mask is still what was said.
        """
        mask = item.candidate.mask
        reach_px = reach_cells * stored.stride
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach_px + 1, 2 * reach_px + 1))
        rim = cv2.dilate(mask.view(np.uint8), kernel).view(np.bool_) & ~mask & liftable
        keys, colors = lift(rim, stored, self._configuration.voxel_size_m)
        new = ~contained_in(keys, item.keys)
        order = np.argsort(np.concatenate([item.keys, keys[new]]), kind="stable")
        return replace(
            item,
            keys=np.concatenate([item.keys, keys[new]])[order],
            colors=np.concatenate([item.colors, colors[new]])[order],
        )

    def joined(self, pieces: list[LiftedCandidate]) -> LiftedCandidate:
        """Return candidates of one picture that show pieces of one thing as one; the largest speaks for all."""
        if len(pieces) == 1:
            return pieces[0]
        largest = max(pieces, key=lambda item: (item.cells, item.candidate.score)).candidate
        mask = np.logical_or.reduce([item.candidate.mask for item in pieces])
        keys, first = np.unique(np.concatenate([item.keys for item in pieces]), return_index=True)
        colors = np.concatenate([item.colors for item in pieces])[first]
        grid = np.logical_or.reduce([item.grid for item in pieces])
        others = [candidate for item in pieces for candidate in (item.candidate, *item.also)]
        others = [candidate for candidate in others if candidate is not largest]
        return self._lifted(replace(largest, mask=mask), keys, colors, grid, others)

    def _lifted(
        self,
        candidate: Candidate,
        keys: NDArray[np.int64],
        colors: NDArray[np.float32],
        grid: NDArray[np.bool_],
        also: list[Candidate],
    ) -> LiftedCandidate:
        low, high, mean = voxel_bounds(keys)
        size = self._configuration.voxel_size_m
        extent_m = float((high - low + 1).max()) * size
        return LiftedCandidate(candidate, keys, colors, grid, int(np.count_nonzero(grid)), mean * size, extent_m, also)

    def observe(
        self, instances: Mapping[int, InstanceEvidence], lifted: list[LiftedCandidate], stored: StoredKeyframe
    ) -> InstanceView:
        """Look the voxels of all instances up in a keyframe, and count what they share with the candidates."""
        configuration = self._configuration
        within = [
            instances[instance_id] for instance_id in sorted(instances) if self.in_reach(instances[instance_id], stored)
        ]
        keys = [evidence.voxels.keys for evidence in within]
        bounds = np.concatenate(([0], np.cumsum([len(item) for item in keys]))).astype(np.int64)
        flat = np.concatenate(keys) if keys else np.zeros(0, dtype=np.int64)
        relation, pixel, distance = look_up(flat, stored, configuration.voxel_size_m, configuration.margin_m)
        return self.draw(InstanceView.undrawn(within, bounds, relation, pixel, distance), lifted, stored)

    def draw(self, view: InstanceView, lifted: list[LiftedCandidate], stored: StoredKeyframe) -> InstanceView:
        """Count anew what the instances of a view share with candidates."""
        configuration = self._configuration
        depth = stored.grid(stored.depth_m())
        masks = np.stack([item.grid for item in lifted]) if lifted else np.zeros((0, *depth.shape), dtype=np.bool_)
        offsets, rows = rows_per_cell(masks)
        # Voxels that the views mostly contradict do not speak for the place of their instance any more.
        drawn = view.relation.copy()
        for index, evidence in enumerate(view.instances):
            drawn[view.part(index)][evidence.voxels.share() < configuration.min_support] = OUT_OF_VIEW
        areas, shared, cells, slices = splat(
            view.bounds,
            drawn,
            view.pixel,
            view.distance,
            depth,
            stored.camera.width_px,
            stored.stride,
            configuration.voxel_size_m * stored.camera.fx,
            configuration.margin_m,
            offsets,
            rows,
            len(lifted),
        )
        return replace(view, areas=areas, shared=shared, cells=cells, slices=slices)

    def _references(self, evidence: InstanceEvidence, but: int) -> list[int]:
        """Return keyframes in which an instance was seen, the last and others evenly spread before."""
        known = [item for item in sorted(evidence.claims) if item in self._keyframes and item != but]
        if len(known) <= REFERENCES:
            return known
        return [known[round(i * (len(known) - 1) / (REFERENCES - 1))] for i in range(REFERENCES)]

    def shows_unclaimed(self, evidence: InstanceEvidence, stored: StoredKeyframe, claimed: NDArray[np.int32]) -> bool:
        """Tell whether a keyframe shows an instance well and outside of the masks of all others.

        claimed: (h, w) how many instances, this one included, claim each cell of the comparison grid.
        """
        configuration = self._configuration
        keys = evidence.voxels.keys[evidence.voxels.share() >= configuration.min_support]
        keys = keys[:: max(1, len(keys) // SAMPLE_VOXELS)]
        relation, pixel, distance = look_up(keys, stored, configuration.voxel_size_m, configuration.margin_m)
        visible = relation == ON_SURFACE
        if not visible.any() or np.count_nonzero(visible) < WELL_SEEN_SHARE * len(keys):
            return False
        rows, columns = np.divmod(pixel[visible], stored.camera.width_px)
        height, width = claimed.shape
        cells = np.unique(
            np.minimum(rows // stored.stride, height - 1) * width + np.minimum(columns // stored.stride, width - 1)
        )
        # A voxel that is near covers several cells.
        width_cells = (
            configuration.voxel_size_m * stored.camera.fx / float(np.median(distance[visible])) / stored.stride
        )
        if len(cells) * max(1.0, width_cells) ** 2 < WELL_SEEN_CELLS:
            return False
        others = claimed.ravel()[cells]
        own = evidence.claims.get(stored.id)
        if own is not None:
            others = others - own.mask().ravel()[cells]
        return int(np.count_nonzero(others > 0)) < CLAIMED_SHARE * len(cells)

    def ask_references(
        self, evidence: InstanceEvidence, keys: NDArray[np.int64], but: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return in how many earlier views of an instance (K,) voxels were seen inside and outside its mask."""
        configuration = self._configuration
        inside = np.zeros(len(keys), dtype=np.float32)
        outside = np.zeros(len(keys), dtype=np.float32)
        for keyframe_id in self._references(evidence, but):
            stored = self._keyframes[keyframe_id]
            count_inside(
                keys,
                stored.depth_mm,
                stored.intrinsics,
                stored.T_camera_map,
                evidence.claims[keyframe_id].mask(),
                stored.stride,
                configuration.voxel_size_m,
                configuration.margin_m,
                inside,
                outside,
                1.0,
            )
        return inside, outside

    def overlaps(
        self, view: InstanceView, lifted: list[LiftedCandidate], stored: StoredKeyframe
    ) -> NDArray[np.float64]:
        """Return (M, C) overlaps in [0, 1] over what both the instance's views and this one could see."""
        result = np.zeros((len(view.instances), len(lifted)))
        for m, c in zip(*np.nonzero(view.shared), strict=True):
            evidence, item = view.instances[m], lifted[c]
            both, area = int(view.shared[m, c]), int(view.areas[m])
            rest = item.cells - both
            plain = both / (area + rest)
            # The mask reaches beyond the instance: did the views of the instance see that part and leave it out?
            if both >= CLAIMED_SHARE * area and plain < SAME_VIEW_OVERLAP:
                new = item.keys[~evidence.voxels.contains(item.keys)]
                new = new[:: max(1, len(new) // SAMPLE_VOXELS)]
                inside, outside = self.ask_references(evidence, new, stored.id)
                seen_outside = int(np.count_nonzero(outside > inside))
                rest = rest * seen_outside / len(new) if len(new) else 0.0
            result[m, c] = both / (area + rest)
        return result

    def closeness(self, evidence: InstanceEvidence, item: LiftedCandidate) -> float:
        """Return how close the centres of two tiny things of like extent are, in [0, 1]."""
        larger = max(item.extent_m, evidence.extent_m)
        if larger >= TINY_EXTENT_M or min(item.extent_m, evidence.extent_m) < 0.5 * larger:
            return 0.0
        distance = float(np.linalg.norm(item.center - evidence.center))
        return max(0.0, 1.0 - distance / larger)

    def assign(
        self,
        view: InstanceView,
        lifted: list[LiftedCandidate],
        stored: StoredKeyframe,
        overlaps: NDArray[np.float64],
        scores: NDArray[np.float64],
    ) -> tuple[dict[int, int], dict[int, int]]:
        """Match candidates one to one with instances by the largest sum of scores; by index, candidate -> instance.

        overlaps, scores: (M, C); a score of -inf forbids a pair. Returns the matches, and the candidates that show
        again what an instance already claimed in this keyframe (for another instruction).
        """
        matches: dict[int, int] = {}
        again: dict[int, int] = {}
        scores = scores.copy()
        claimed = np.array([stored.id in evidence.claims for evidence in view.instances], dtype=np.bool_)
        if claimed.any():
            for c, item in enumerate(lifted):
                for m in np.flatnonzero(claimed):
                    mask = view.instances[m].claims[stored.id].mask()
                    if intersection_over_union(mask, item.grid) >= SAME_MASK_OVERLAP:
                        again[c] = int(m)
                        break
                if c in again:
                    continue
                best = int(np.argmax(scores[:, c]))
                if claimed[best] and overlaps[best, c] >= SAME_VIEW_OVERLAP:
                    again[c] = best
            scores[claimed] = -np.inf
        free = [c for c in range(len(lifted)) if c not in again]
        if free and view.instances:
            possible = scores[:, free]
            gain = np.where(np.isfinite(possible), possible, 0.0)
            for m, column in zip(*linear_sum_assignment(gain, maximize=True), strict=True):
                if np.isfinite(possible[m, column]):
                    matches[free[column]] = int(m)
        return matches, again

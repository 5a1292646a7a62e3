"""What a keyframe shows of candidates and instances, in numbers for the network.

Everything is without dimension or divided by a length that is natural for it, so that rooms, cameras and voxel sizes
may differ. Meaning and looks enter pairs as agreements, whatever encoder made them, and tokens through adapters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from lira_ros.fusion.association import Association, InstanceView, LiftedCandidate
from lira_ros.fusion.embedding_agreement import EmbeddingAgreement
from lira_ros.fusion.evidence import InstanceEvidence
from lira_ros.fusion.lifting import ON_SURFACE, StoredKeyframe, look_up, unpack, voxel_bounds
from lira_ros.fusion.method import Encode

# A jump of more than this share of the depth is an edge, as for lifting (lifting.BORDER_JUMP).
EDGE_JUMP = 0.04
# Distances to the border of a mask count up to this, in cells of the comparison grid and in metres: beyond it a voxel
# is well inside or well outside.
BORDER_CELLS = 12.0
BORDER_M = 0.1
# Edges of the depth image matter this near [cells].
EDGE_CELLS = 8.0
# Differences of colour in CIELAB count up to this (black to mid-gray is 50).
COLOR_RANGE = 30.0
# Lengths of furniture and of rooms, heights of people's things [m].
EXTENT_RANGE_M = 2.0
DEPTH_RANGE_M = 5.0
HEIGHT_RANGE_M = 2.0
# What lies on the floor or beside the foot of a thing is told within this height [m].
FOOT_RANGE_M = 0.2

CANDIDATE_FEATURES = 26
INSTANCE_FEATURES = 26
PAIR_FEATURES = 18
VOXEL_FEATURES = 24

# Kinds of pairs.
CANDIDATE_PAIR, MIXED_PAIR, INSTANCE_PAIR = 0, 1, 2


# Keys, shares and views of the voxels of all instances in view, and which instance each belongs to; best first.
_Rivals = tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]


@dataclass(frozen=True)
class Tokens:
    """Candidates and instances of a keyframe as the network takes them; C + M = T.

    candidates: (C, CANDIDATE_FEATURES). instances: (M, INSTANCE_FEATURES). pairs: (T, T, PAIR_FEATURES), candidates
    first. texts: T vectors of the labels and looks: T embeddings, (0,) where there is none.
    """

    candidates: NDArray[np.float32]
    instances: NDArray[np.float32]
    pairs: NDArray[np.float32]
    texts: list[NDArray[np.float32]]
    looks: list[NDArray[np.float32]]


class KeyframeImages:
    """What all candidates of a keyframe are compared with, on the comparison grid (h, w)."""

    def __init__(self, stored: StoredKeyframe) -> None:
        depth = stored.grid(stored.depth_m())
        height, width = depth.shape
        self.shape = (height, width)
        self.stored = stored
        stride, camera = stored.stride, stored.camera
        focal = camera.fx / stride
        rows = np.arange(height, dtype=np.float32)[:, None]
        columns = np.arange(width, dtype=np.float32)[None]
        x = (columns * stride + stride // 2 - np.float32(camera.cx)) * np.float32(1.0 / camera.fx)
        y = (rows * stride + stride // 2 - np.float32(camera.cy)) * np.float32(1.0 / camera.fy)
        # Height of every measured point, and how upright its surface is.
        rotation, shift = stored.T_map_camera[:3, :3], stored.T_map_camera[:3, 3]
        direction = (np.asarray(stored.up) @ rotation).astype(np.float32)
        self.height_m = depth * (direction[0] * x + direction[1] * y + direction[2]) + np.float32(stored.up @ shift)
        points = np.stack([depth * x, depth * y, depth], axis=2)
        smooth = cv2.blur(points, (3, 3))
        along = np.zeros_like(points)
        down = np.zeros_like(points)
        along[:, 1:-1] = smooth[:, 2:] - smooth[:, :-2]
        down[1:-1] = smooth[2:] - smooth[:-2]
        normal = np.cross(along, down)
        length = np.sqrt((normal * normal).sum(axis=2))
        self.upright = np.abs(normal @ direction) / np.maximum(length, np.float32(1e-9))
        kernel = np.ones((3, 3), np.uint8)
        jump = cv2.dilate(depth, kernel) - cv2.erode(depth, kernel) > np.float32(EDGE_JUMP) * depth
        jump |= depth == 0
        self.edge_cells = cv2.distanceTransform((~jump).astype(np.uint8), cv2.DIST_L2, 3)
        self.depth_m = depth
        self.focal_cells = float(focal)
        rgb = stored.color[
            np.minimum((np.arange(height) * stride + stride // 2) // 2, stored.color.shape[0] - 1)[:, None],
            np.minimum((np.arange(width) * stride + stride // 2) // 2, stored.color.shape[1] - 1)[None],
        ]
        self.lab = cv2.cvtColor(rgb.astype(np.float32) / np.float32(255.0), cv2.COLOR_RGB2LAB)
        self._scale = stride

    def cells(self, pixel: NDArray[np.int32]) -> NDArray[np.int64]:
        """Return the flat cells of (N,) pixels row * width + column of the whole image."""
        width = self.stored.camera.width_px
        row = np.minimum(pixel // width // self._scale, self.shape[0] - 1)
        column = np.minimum(pixel % width // self._scale, self.shape[1] - 1)
        return (row * self.shape[1] + column).astype(np.int64)


@dataclass(frozen=True)
class MaskImages:
    """A candidate on the comparison grid: border (h, w) signed distance to the border of its mask [cells], > 0 inside.

    lab: (3,) mean colour inside, spread: (3,) its standard deviation. bottom_m, top_m: heights of its 5 % and 95 %.
    """

    border: NDArray[np.float32]
    lab: NDArray[np.float32]
    spread: NDArray[np.float32]
    bottom_m: float
    top_m: float
    depth_m: float
    upright: float
    edge_share: float
    touches: float
    filled: float


def _border(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the signed distance to the border of a (h, w) mask [cells], clipped to BORDER_CELLS."""
    height, width = mask.shape
    result = np.full(mask.shape, np.float32(-BORDER_CELLS))
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        return result
    reach = int(BORDER_CELLS) + 1
    part = (
        slice(max(0, rows[0] - reach), min(height, rows[-1] + reach + 1)),
        slice(max(0, columns[0] - reach), min(width, columns[-1] + reach + 1)),
    )
    cut = mask[part].astype(np.uint8)
    inside = cv2.distanceTransform(cut, cv2.DIST_L2, 3)
    outside = cv2.distanceTransform(1 - cut, cv2.DIST_L2, 3)
    result[part] = np.clip(inside - outside, -BORDER_CELLS, BORDER_CELLS)
    return result


def _mask_images(item: LiftedCandidate, images: KeyframeImages) -> MaskImages:
    mask = images.stored.grid(item.candidate.mask)
    border = _border(mask)
    chosen = item.grid if item.grid.any() else mask
    # The middle of a mask is the thing itself more often than its rim.
    core = chosen & (border > 2.0)
    if np.count_nonzero(core) < 10:
        core = chosen
    lab = images.lab[core].astype(np.float64)
    heights = images.height_m[core]
    bottom, top = np.percentile(heights, (5, 95)) if heights.size else (0.0, 0.0)
    rim = mask & (border <= 1.5)
    rim_cells = max(1, int(np.count_nonzero(rim)))
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = (rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1)
    frame = np.count_nonzero(mask[0]) + np.count_nonzero(mask[-1])
    frame += np.count_nonzero(mask[:, 0]) + np.count_nonzero(mask[:, -1])
    return MaskImages(
        border=border,
        lab=lab.mean(axis=0).astype(np.float32),
        spread=lab.std(axis=0).astype(np.float32),
        bottom_m=float(bottom),
        top_m=float(top),
        depth_m=float(np.median(images.depth_m[chosen])),
        upright=float(images.upright[core].mean()),
        edge_share=float(np.count_nonzero(rim & (images.edge_cells < 2.0)) / rim_cells),
        touches=float(min(1.0, frame / rim_cells)),
        filled=float(np.count_nonzero(mask) / box),
    )


def _logarithm(count: float, largest: float) -> float:
    return math.log1p(count) / math.log1p(largest)


def _spans(keys: NDArray[np.int64], voxel_size_m: float, up: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return the longer and the shorter horizontal and the vertical extent of (N,) voxels [m]; z is nearly up."""
    low, high, _ = voxel_bounds(keys)
    if not np.isfinite(low).all():
        return 0.0, 0.0, 0.0
    size = (high - low + 1.0) * voxel_size_m
    vertical = int(np.argmax(np.abs(up)))
    flat = sorted((float(size[axis]) for axis in range(3) if axis != vertical), reverse=True)
    return flat[0], flat[1], float(size[vertical])


class FeatureMaker:
    """Makes the features of one keyframe after the other; remembers vectors of labels and what "alike" means."""

    def __init__(self, association: Association, voxel_size_m: float, margin_m: float, encode: Encode | None) -> None:
        self._association = association
        self._voxel_size_m = voxel_size_m
        self._margin_m = margin_m
        self._encode = encode
        self._texts: dict[str, NDArray[np.float32]] = {}
        self.agreement = EmbeddingAgreement()

    def look(self, view: InstanceView, lifted: list[LiftedCandidate], stored: StoredKeyframe) -> KeyframeFeatures:
        """Take in a keyframe; the features are made when they are asked for."""
        self.agreement.learn([item.candidate.embedding for item in lifted])
        return KeyframeFeatures(self, view, lifted, stored)

    @property
    def association(self) -> Association:
        """Return what compares the candidates with the instances."""
        return self._association

    @property
    def voxel_size_m(self) -> float:
        """Return the edge of a voxel [m]."""
        return self._voxel_size_m

    @property
    def margin_m(self) -> float:
        """Return the room for pose errors [m]."""
        return self._margin_m

    def text(self, label: str) -> NDArray[np.float32]:
        """Return the (L,) unit vector of a label, (0,) without a label or an encoder."""
        if not label or self._encode is None:
            return np.zeros(0, dtype=np.float32)
        if label not in self._texts:
            self._texts[label] = self._encode(label)
        return self._texts[label]

    def alike(self, first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
        """Return how much two embeddings of things agree, in [0, 1]."""
        return self.agreement.between(first, second)


class KeyframeFeatures:
    """The features of one keyframe."""

    def __init__(
        self, maker: FeatureMaker, view: InstanceView, lifted: list[LiftedCandidate], stored: StoredKeyframe
    ) -> None:
        self.view, self.lifted, self.stored = view, lifted, stored
        self._maker = maker
        self.images = KeyframeImages(stored)
        self.masks = [_mask_images(item, self.images) for item in lifted]
        self.overlaps = maker.association.overlaps(view, lifted, stored)
        self._rivals: tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]] | None = (
            None
        )
        self._others: tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.float32]] | None = None
        floor = stored.floor_height_m
        self._floor_m = float(floor) if math.isfinite(floor) else float("nan")
        self._instance_lab = [self._lab(evidence.color) for evidence in view.instances]
        self._instance_heights = [self._heights(evidence) for evidence in view.instances]

    @staticmethod
    def _lab(color: NDArray[np.float64]) -> NDArray[np.float32]:
        rgb = np.clip(color / 255.0, 0.0, 1.0).astype(np.float32).reshape(1, 1, 3)
        return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB).reshape(3), dtype=np.float32)

    def _heights(self, evidence: InstanceEvidence) -> tuple[float, float]:
        keys = evidence.voxels.keys
        if len(keys) == 0:
            return 0.0, 0.0
        heights = unpack(keys[:: max(1, len(keys) // 500)]) @ (self.stored.up * self._maker.voxel_size_m)
        low, high = np.percentile(heights, (5, 95))
        return float(low), float(high)

    def _above_floor(self, height_m: float) -> float:
        return 0.0 if math.isnan(self._floor_m) else max(-0.5, min(1.5, (height_m - self._floor_m) / HEIGHT_RANGE_M))

    # ---------------------------------------------------------------- tokens

    def tokens(self) -> Tokens:
        """Return what the network compares."""
        candidates = np.array([self._candidate(c) for c in range(len(self.lifted))], dtype=np.float32)
        instances = np.array([self._instance(m) for m in range(len(self.view.instances))], dtype=np.float32)
        labels = [item.candidate.label for item in self.lifted]
        labels += [evidence.label()[0] for evidence in self.view.instances]
        looks = [item.candidate.embedding for item in self.lifted]
        looks += [evidence.unit_embedding() for evidence in self.view.instances]
        texts = [self._maker.text(label) for label in labels]
        return Tokens(
            candidates.reshape(-1, CANDIDATE_FEATURES),
            instances.reshape(-1, INSTANCE_FEATURES),
            self._pairs(labels, texts, looks),
            texts,
            looks,
        )

    def _candidate(self, c: int) -> list[float]:
        item, mask, candidate = self.lifted[c], self.masks[c], self.lifted[c].candidate
        long, short, tall = _spans(item.keys, self._maker.voxel_size_m, self.stored.up)
        area = mask.border > 0
        trusted = item.cells / max(1, int(np.count_nonzero(area)))
        return [
            candidate.score,
            candidate.label_confidence,
            1.0 if candidate.label else 0.0,
            _logarithm(item.cells, 1e4),
            _logarithm(len(item.keys), 1e4),
            long / EXTENT_RANGE_M,
            short / EXTENT_RANGE_M,
            tall / EXTENT_RANGE_M,
            short / max(long, 1e-6),
            self._above_floor(mask.bottom_m),
            self._above_floor(mask.top_m),
            (mask.top_m - mask.bottom_m) / HEIGHT_RANGE_M,
            mask.depth_m / DEPTH_RANGE_M,
            *(mask.lab / np.array([100.0, 50.0, 50.0])).tolist(),
            *(mask.spread / COLOR_RANGE).tolist(),
            mask.upright,
            mask.edge_share,
            mask.touches,
            mask.filled,
            min(1.0, trusted),
            _logarithm(len(item.also), 5.0),
            1.0 if math.isnan(self._floor_m) else 0.0,
        ]

    def _instance(self, m: int) -> list[float]:
        evidence, view = self.view.instances[m], self.view
        part = view.part(m)
        relation = view.relation[part]
        count = max(1, len(relation))
        share = evidence.voxels.share()
        long, short, tall = _spans(evidence.voxels.keys[share >= 0.5], self._maker.voxel_size_m, self.stored.up)
        label, confidence = evidence.label()
        low, high = self._instance_heights[m]
        on_surface = relation == ON_SURFACE
        distance = view.distance[part][on_surface]
        age_s = max(0.0, (self.stored.stamp_ns - evidence.last_seen_ns) * 1e-9)
        return [
            evidence.mean_score(),
            confidence,
            1.0 if label else 0.0,
            _logarithm(int(view.areas[m]), 1e4),
            _logarithm(len(share), 1e5),
            long / EXTENT_RANGE_M,
            short / EXTENT_RANGE_M,
            tall / EXTENT_RANGE_M,
            short / max(long, 1e-6),
            self._above_floor(low),
            self._above_floor(high),
            (high - low) / HEIGHT_RANGE_M,
            float(np.median(distance)) / DEPTH_RANGE_M if len(distance) else 1.0,
            *(self._instance_lab[m] / np.array([100.0, 50.0, 50.0])).tolist(),
            float(np.mean(share)) if len(share) else 0.0,
            float(np.count_nonzero(on_surface)) / count,
            float(np.count_nonzero(relation > 2)) / count,
            evidence.existence(),
            _logarithm(evidence.observations(), 50.0),
            _logarithm(age_s, 100.0),
            1.0 if self.stored.id in evidence.claims else 0.0,
            float(view.shared[m].sum()) / max(1, int(view.areas[m])) if view.shared.size else 0.0,
            float(np.count_nonzero(share >= 0.5)) / max(1, len(share)),
            1.0 if math.isnan(self._floor_m) else 0.0,
        ]

    # ---------------------------------------------------------------- pairs

    def _pairs(
        self, labels: list[str], texts: list[NDArray[np.float32]], looks: list[NDArray[np.float32]]
    ) -> NDArray[np.float32]:
        lifted, view = self.lifted, self.view
        count, total = len(lifted), len(lifted) + len(view.instances)
        pairs = np.zeros((total, total, PAIR_FEATURES), dtype=np.float32)
        size = self._maker.voxel_size_m
        low, high = np.zeros((total, 3)), np.zeros((total, 3))
        for i in range(total):
            if i < count:
                keys = lifted[i].keys
            else:
                voxels = view.instances[i - count].voxels
                keys = voxels.keys[voxels.share() >= 0.5]
            lowest, highest, _ = voxel_bounds(keys)
            if np.isfinite(lowest).all():
                low[i], high[i] = lowest * size, (highest + 1.0) * size
        center = np.array([item.center for item in lifted] + [item.center for item in view.instances]).reshape(-1, 3)
        extent = np.array([item.extent_m for item in lifted] + [item.extent_m for item in view.instances])
        lab = np.array([mask.lab for mask in self.masks] + self._instance_lab, dtype=np.float64).reshape(-1, 3)
        confidence = np.array(
            [item.candidate.label_confidence for item in lifted] + [item.label()[1] for item in view.instances]
        )
        # Overlaps: of masks, of masks with what the view shows of instances, of instances as the view draws them.
        grids = np.stack([item.grid.ravel() for item in lifted]) if lifted else np.zeros((0, 1), np.bool_)
        drawn = np.zeros((len(view.instances), int(np.prod(self.images.shape))), dtype=np.float32)
        for m in range(len(view.instances)):
            drawn[m, view.cells[view.slices[m] : view.slices[m + 1]]] = 1.0
        flat = grids.astype(np.float32)
        areas = np.concatenate([flat.sum(axis=1), view.areas.astype(np.float32)])
        both = np.zeros((total, total), dtype=np.float32)
        if count:
            both[:count, :count] = flat @ flat.T
        if len(drawn):
            both[count:, count:] = drawn @ drawn.T
            both[count:, :count] = view.shared
            both[:count, count:] = view.shared.T
        union = np.maximum(areas[:, None] + areas[None] - both, 1.0)
        pairs[..., 0] = both / union
        pairs[..., 1] = both / np.maximum(areas[:, None], 1.0)
        pairs[..., 2] = both / np.maximum(areas[None], 1.0)
        pairs[count:, :count, 3] = self.overlaps
        pairs[:count, count:, 3] = self.overlaps.T
        gap = np.maximum(0.0, np.maximum(low[:, None] - high[None], low[None] - high[:, None]))
        pairs[..., 4] = np.minimum(1.0, np.linalg.norm(gap, axis=2))
        shared = np.maximum(0.0, np.minimum(high[:, None], high[None]) - np.maximum(low[:, None], low[None]))
        volume = np.maximum(np.prod(high - low, axis=1), 1e-9)
        inside = np.prod(shared, axis=2)
        pairs[..., 5] = inside / (volume[:, None] + volume[None] - inside)
        pairs[..., 6] = inside / volume[:, None]
        pairs[..., 7] = inside / volume[None]
        distance = np.linalg.norm(center[:, None] - center[None], axis=2)
        pairs[..., 8] = np.minimum(2.0, distance / np.maximum(0.5 * (extent[:, None] + extent[None]), 0.05))
        pairs[..., 9] = np.minimum(1.0, distance)
        pairs[..., 10] = np.clip(np.log(volume[:, None] / volume[None]) / 4.0, -1.0, 1.0)
        difference = np.abs(lab[:, None] - lab[None])
        pairs[..., 11] = np.minimum(1.0, difference[..., 0] / COLOR_RANGE)
        pairs[..., 12] = np.minimum(1.0, np.hypot(difference[..., 1], difference[..., 2]) / COLOR_RANGE)
        for i in range(total):
            for j in range(i, total):
                said, meant, looked = self._agreements(labels, texts, looks, i, j)
                sure = math.sqrt(max(0.0, confidence[i] * confidence[j]))
                pairs[i, j, 13] = pairs[j, i, 13] = said * sure
                pairs[i, j, 14] = pairs[j, i, 14] = meant
                pairs[i, j, 15] = pairs[j, i, 15] = looked
        pairs[:count, :count, 16] = 1.0
        pairs[count:, count:, 17] = 1.0
        return pairs

    def _agreements(
        self, labels: list[str], texts: list[NDArray[np.float32]], looks: list[NDArray[np.float32]], i: int, j: int
    ) -> tuple[float, float, float]:
        said = 0.0
        if labels[i] and labels[j]:
            said = 1.0 if labels[i] == labels[j] else -1.0
        meant = said
        if len(texts[i]) and len(texts[i]) == len(texts[j]):
            meant = float(texts[i] @ texts[j])
        return said, meant, self._maker.alike(looks[i], looks[j])

    # ---------------------------------------------------------------- voxels

    def voxels(self, m: int, c: int, chosen: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the (K, VOXEL_FEATURES) features of the ``chosen`` voxels of instance m (by index) for candidate c."""
        view = self.view
        evidence = view.instances[m].voxels
        share, views = evidence.share()[chosen], evidence.views[chosen]
        start = int(view.bounds[m])
        rival_share, rival_views = self._rival(evidence.keys[chosen], m)
        features = self._common(
            c,
            view.pixel[start + chosen],
            view.distance[start + chosen],
            view.relation[start + chosen],
            self._instance_lab[m],
            rival_share,
            rival_views,
        )
        features[:, 15] = share
        features[:, 16] = np.log1p(views) / 3.0
        features[:, 19] = share - rival_share
        return features

    def new_voxels(self, evidence: InstanceEvidence, m: int, c: int, keys: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the (K, VOXEL_FEATURES) features of voxels that candidate c adds to an instance (-1: a new one)."""
        maker = self._maker
        relation, pixel, distance = look_up(keys, self.stored, maker.voxel_size_m, maker.margin_m)
        rival_share, rival_views = self._rival(keys, m)
        lab = self._instance_lab[m] if m >= 0 else self.masks[c].lab
        features = self._common(c, pixel, distance, relation, lab, rival_share, rival_views)
        features[:, 0] = 1.0
        features[:, 19] = -rival_share
        if m >= 0 and evidence.claims and len(keys):
            inside, outside = maker.association.ask_references(evidence, keys, self.stored.id)
            asked = inside + outside
            features[:, 20] = np.where(asked > 0, inside / np.maximum(asked, 1e-6) - 0.5, 0.0)
            features[:, 21] = np.log1p(asked) / 2.0
        return features

    def _common(
        self,
        c: int,
        pixel: NDArray[np.int32],
        distance_m: NDArray[np.float32],
        relation: NDArray[np.uint8],
        instance_lab: NDArray[np.float32],
        rival_share: NDArray[np.float32],
        rival_views: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        images, mask = self.images, self.masks[c]
        # What is out of view has no pixel; its features mean nothing and nobody asks for them.
        cell = images.cells(np.maximum(pixel, 0))
        features = np.zeros((len(pixel), VOXEL_FEATURES), dtype=np.float32)
        border = mask.border.ravel()[cell]
        others = self._other_border(c).ravel()[cell]
        lab = images.lab.reshape(-1, 3)[cell]
        own = np.abs(lab - mask.lab)
        held = np.abs(lab - instance_lab)
        height = images.height_m.ravel()[cell]
        features[:, 1] = relation == ON_SURFACE
        features[:, 2] = border > 0
        features[:, 3] = np.clip(border * distance_m / (images.focal_cells * BORDER_M), -1.0, 1.0)
        features[:, 4] = border / BORDER_CELLS
        features[:, 5] = others > 0
        features[:, 6] = np.maximum(others, 0.0) / BORDER_CELLS
        features[:, 7] = np.minimum(2.0, own[:, 0] / COLOR_RANGE)
        features[:, 8] = np.minimum(2.0, np.hypot(own[:, 1], own[:, 2]) / COLOR_RANGE)
        features[:, 9] = np.minimum(2.0, np.sqrt((held * held).sum(axis=1)) / COLOR_RANGE)
        features[:, 10] = np.clip((height - mask.bottom_m) / FOOT_RANGE_M, -1.0, 2.0)
        if not math.isnan(self._floor_m):
            features[:, 11] = np.clip((height - self._floor_m) / FOOT_RANGE_M, -1.0, 2.0)
        else:
            features[:, 11] = 2.0
        features[:, 12] = images.upright.ravel()[cell]
        features[:, 13] = np.minimum(1.0, images.edge_cells.ravel()[cell] / EDGE_CELLS)
        features[:, 14] = distance_m / DEPTH_RANGE_M
        features[:, 17] = rival_share
        features[:, 18] = np.log1p(rival_views) / 3.0
        measured = images.depth_m.ravel()[cell]
        features[:, 22] = np.clip((distance_m - measured) / 0.1, -1.0, 1.0)
        features[:, 23] = np.clip((height - mask.top_m) / FOOT_RANGE_M, -2.0, 1.0)
        return features

    def _other_border(self, c: int) -> NDArray[np.float32]:
        """Return (h, w) how deep each cell is in a mask other than that of candidate c [cells], <= 0 in none."""
        if self._others is None:
            best = np.full(self.images.shape, np.float32(-BORDER_CELLS))
            second = best.copy()
            owner = np.full(self.images.shape, -1, dtype=np.int32)
            for index, mask in enumerate(self.masks):
                deeper = mask.border > best
                second = np.where(deeper, best, np.maximum(second, mask.border))
                owner[deeper] = index
                best = np.maximum(best, mask.border)
            self._others = (best, owner, second)
        best, owner, second = self._others
        return np.where(owner == c, second, best)

    def _rival(self, keys: NDArray[np.int64], m: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return by which share and how many views the best other instance in view holds each of (K,) voxels."""
        if self._rivals is None:
            instances = self.view.instances
            flat = np.concatenate([item.voxels.keys for item in instances] + [np.zeros(0, np.int64)])
            share = np.concatenate([item.voxels.share() for item in instances] + [np.zeros(0, np.float32)])
            views = np.concatenate([item.voxels.views for item in instances] + [np.zeros(0, np.float32)])
            owner = np.repeat(np.arange(len(instances), dtype=np.int64), [len(item.voxels.keys) for item in instances])
            order = np.lexsort((-share, flat))
            self._rivals = (flat[order], share[order], views[order], owner[order])
        held, share, views, owner = self._rivals
        result_share = np.zeros(len(keys), dtype=np.float32)
        result_views = np.zeros(len(keys), dtype=np.float32)
        if len(held) == 0 or len(keys) == 0:
            return result_share, result_views
        at = np.searchsorted(held, keys)
        # The best holder comes first; when that is the instance itself, the next one is its rival.
        for step in range(2):
            place = np.minimum(at + step, len(held) - 1)
            other = (held[place] == keys) & (owner[place] != m) & (at + step < len(held)) & (result_share == 0)
            result_share[other] = share[place[other]]
            result_views[other] = views[place[other]]
        return result_share, result_views

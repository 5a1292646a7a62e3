"""A fragment with what its keyframes show: for each voxel where it is seen, its features, and the masks lifted into it.

The published networks are given image features of SAM. Without those, the features here are what depth and colour tell
of a voxel: ten numbers, all 0 where no keyframe shows it, as LIRA's are (section 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lira_ros.fusion.tiff.fragment_volume import FragmentVolume, View, fragment_volume
from lira_ros.fusion.tiff.nearest_lifting import NOT_SEEN, GridView, grid_sample, nearest_pixels
from lira_ros.mapping.lira_volume import FRUSTUM_DEPTH_M, SIZE_VOXELS, VOXEL_SIZE_M

# Colour (3), normal (3), height, distance to the surface, share of the keyframes that show it, distance from which.
SURFACE_FEATURES = 10
# LIRA, section 3: a candidate of fewer voxels is no candidate.
LEAST_CANDIDATE_VOXELS = 200
# Heights are given in parts of LIRA's volume, 3.84 m, and viewing distances in parts of its farthest depth.
_HEIGHT_M = SIZE_VOXELS * VOXEL_SIZE_M


@dataclass(frozen=True)
class LiftedFragment:
    """The voxels of a fragment, and how its K keyframes see them.

    pixels: (K, N) int16, the pixel of LIRA's grid that a voxel takes its value from, or NOT_SEEN. colors: (N, 3)
    float32 in [0, 255], mean over the keyframes that show a voxel, 0 where none does.
    """

    volume: FragmentVolume
    pixels: NDArray[np.int16]
    colors: NDArray[np.float32]
    distances_m: NDArray[np.float32]

    @property
    def seen(self) -> NDArray[np.bool_]:
        """Return which keyframe shows which voxel, (K, N)."""
        return np.asarray(self.pixels != NOT_SEEN)

    def lift(self, mask: NDArray[np.bool_], view: int) -> NDArray[np.bool_]:
        """Return which of the N voxels a mask (H, W) of a keyframe covers."""
        pixels = self.pixels[view]
        return np.asarray(grid_sample(mask).ravel()[pixels] & (pixels != NOT_SEEN), dtype=np.bool_)

    def surface_features(self) -> NDArray[np.float32]:
        """Return (N, 10): colour, normal, height, distance, share of keyframes, viewing distance, each of about 1."""
        shown = self.seen.any(axis=0)
        height_m = self.volume.points_m[:, 2]
        features = np.concatenate(
            (
                self.colors / np.float32(127.5) - np.float32(1.0),
                self.volume.normals,
                (height_m / _HEIGHT_M).astype(np.float32)[:, None],
                self.volume.tsdf[:, None],
                self.seen.mean(axis=0, dtype=np.float32)[:, None],
                self.distances_m[:, None] / np.float32(FRUSTUM_DEPTH_M),
            ),
            axis=1,
        )
        features[~shown] = 0.0
        return features


def lift_fragment(views: Sequence[View]) -> LiftedFragment:
    """Return the fragment of K keyframes. Raises ValueError without any."""
    volume = fragment_volume(views)
    points_m = volume.points_m
    pixels = np.empty((len(views), len(points_m)), dtype=np.int16)
    colors = np.zeros((len(points_m), 3), dtype=np.float32)
    distances = np.zeros(len(points_m), dtype=np.float32)
    for row, view in enumerate(views):
        grid = GridView.of(view)
        pixels[row] = nearest_pixels(points_m, grid)
        here = np.flatnonzero(pixels[row] != NOT_SEEN)
        colors[here] += grid_sample(view.color).reshape(-1, 3)[pixels[row, here]]
        distances[here] += grid.depth_m.ravel()[pixels[row, here]]
    views_of = np.maximum(np.count_nonzero(pixels != NOT_SEEN, axis=0), 1).astype(np.float32)
    return LiftedFragment(volume, pixels, colors / views_of[:, None], distances / views_of)


def mean_features(pixels: NDArray[np.int16], features: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return (N, F), the mean of image features over the keyframes where they are not all zero.

    pixels: (K, N), of a LiftedFragment. features: of each keyframe (120, 160, F), on LIRA's grid.
    """
    total = np.zeros((pixels.shape[1], features[0].shape[2]), dtype=np.float32)
    count = np.zeros(pixels.shape[1], dtype=np.float32)
    for row, image in zip(pixels, features, strict=True):
        here = np.flatnonzero(row != NOT_SEEN)
        lifted = image.reshape(-1, image.shape[2])[row[here]]
        total[here] += lifted
        count[here] += lifted.any(axis=1)
    return total / np.maximum(count, np.float32(1.0))[:, None]

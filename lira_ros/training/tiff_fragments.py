"""Generated homes as LIRA's network of fusion meets them: fragments of nine keyframes with candidates and targets.

What costs most, the candidates and their errors, is made once for each home. The voxels are made anew each time, since
LIRA turns and shifts each scan anew in every epoch.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lira_ros.fusion.tiff.candidates import FRAGMENT_KEYFRAMES, text_of
from lira_ros.fusion.tiff.fragment_volume import View
from lira_ros.fusion.tiff.lifted_fragment import LEAST_CANDIDATE_VOXELS, lift_fragment
from lira_ros.fusion.tiff.nearest_lifting import GRID_HEIGHT_PX, GRID_WIDTH_PX, NOT_SEEN, grid_sample
from lira_ros.geometry.camera import Camera
from lira_ros.reasoning.candidate_errors import LEVELS, CandidateCorruption, CandidateErrors
from lira_ros.reasoning.oracle import annotated_candidates
from lira_ros.training.homes import HomeRecording
from lira_ros.training.tiff_losses import targets

# The errors that candidates are given, by turns: the same number of homes of each.
ERROR_LEVELS = ("none", *LEVELS)
# LIRA puts each scan anywhere within its volume; homes are shifted by up to this, and in height as LIRA does it.
SHIFT_M, SHIFT_UP_M = 2.0, 0.025


@dataclass(frozen=True)
class GridCandidate:
    """A candidate on LIRA's grid: bits of its mask (120 x 160), and colour and class."""

    bits: NDArray[np.uint8]
    text: str

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Return the (120, 160) mask."""
        size = (GRID_HEIGHT_PX, GRID_WIDTH_PX)
        return np.unpackbits(self.bits, count=size[0] * size[1]).view(np.bool_).reshape(size)


@dataclass(frozen=True)
class HomeViews:
    """The K keyframes of a home with candidates.

    depth_mm: (K, H, W) uint16. colors (K, 120, 160, 3) and true_ids (K, 120, 160): on LIRA's grid. poses: (K, 4, 4).
    """

    seed: int
    camera: Camera
    depth_mm: NDArray[np.uint16]
    colors: NDArray[np.uint8]
    true_ids: NDArray[np.uint16]
    poses: NDArray[np.float64]
    candidates: tuple[tuple[GridCandidate, ...], ...]

    @property
    def fragments(self) -> int:
        """Return how many fragments of nine keyframes there are; what is left over is not learned from."""
        return len(self.poses) // FRAGMENT_KEYFRAMES


@dataclass(frozen=True)
class TiffSample:
    """A fragment of N voxels with n candidates.

    origin_voxels, coordinates, tsdf, features (N, 10): as the fusion makes them. true_ids: (N,) the object that most
    keyframes show there, 0 = none or not seen. masks: (n, N). texts, ious, target_ids: of each candidate.
    """

    origin_voxels: NDArray[np.int64]
    coordinates: NDArray[np.int64]
    tsdf: NDArray[np.float32]
    features: NDArray[np.float32]
    true_ids: NDArray[np.int64]
    masks: NDArray[np.bool_]
    texts: tuple[str, ...]
    ious: NDArray[np.float32]
    target_ids: NDArray[np.int64]


def level_of(seed: int) -> str:
    """Return which errors the candidates of a home have: by turns, two seeds each, as pose errors alternate."""
    return ERROR_LEVELS[seed // 2 % len(ERROR_LEVELS)]


def views_of(recording: HomeRecording) -> HomeViews:
    """Return the keyframes of a home with candidates that have the errors of ``level_of`` its seed."""
    objects = {item.id: item for item in recording.objects}
    errors = CandidateErrors(level_of(recording.seed), recording.seed)
    corruption = CandidateCorruption(errors, [item.label for item in recording.objects])
    candidates = []
    for keyframe, image in zip(recording.keyframes, recording.instance_images, strict=True):
        # Colours of candidates with errors are those of the wrong masks, so the true ones need none.
        true = annotated_candidates(keyframe, image, objects, measured=errors.level == "none")
        answer = corruption.corrupt(true, keyframe)
        candidates.append(
            tuple(GridCandidate(np.packbits(grid_sample(item.mask)), text_of(item)) for item in answer.candidates)
        )
    frames = [keyframe.frame for keyframe in recording.keyframes]
    return HomeViews(
        recording.seed,
        frames[0].camera,
        np.stack([np.rint(frame.depth_m * np.float32(1000.0)).astype(np.uint16) for frame in frames]),
        np.stack([grid_sample(frame.color) for frame in frames]),
        np.stack([grid_sample(image) for image in recording.instance_images]),
        np.stack([frame.T_map_camera for frame in frames]),
        tuple(candidates),
    )


def random_placement(generator: np.random.Generator) -> NDArray[np.float64]:
    """Return a (4, 4) turn about the vertical and a shift, as each scan gets one in every epoch."""
    yaw = generator.uniform(0.0, 2.0 * np.pi)
    T = np.eye(4)
    T[:2, :2] = [[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]]
    T[:3, 3] = generator.uniform(-1.0, 1.0, 3) * (SHIFT_M, SHIFT_M, SHIFT_UP_M)
    return T


def sample(
    home: HomeViews,
    fragment: int,
    T_placed_map: NDArray[np.float64],
    answered: Collection[int] = range(FRAGMENT_KEYFRAMES),
) -> TiffSample:
    """Return a fragment of a home, from 0 on, with the home put somewhere by (4, 4) ``T_placed_map``.

    answered: which of its keyframes have candidates; all of them show voxels.
    """
    rows = range(fragment * FRAGMENT_KEYFRAMES, (fragment + 1) * FRAGMENT_KEYFRAMES)
    lifted = lift_fragment(
        [
            View(
                home.depth_mm[row].astype(np.float32) * np.float32(0.001),
                home.colors[row],
                home.camera,
                T_placed_map @ home.poses[row],
            )
            for row in rows
        ]
    )
    masks, visible, texts = [], [], []
    for view, row in enumerate(rows):
        for candidate in home.candidates[row] if view in answered else ():
            mask = lifted.lift(candidate.mask, view)
            if np.count_nonzero(mask) >= LEAST_CANDIDATE_VOXELS:
                masks.append(mask)
                visible.append(lifted.seen[view])
                texts.append(candidate.text)
    true_ids = _most_shown(lifted.pixels, home.true_ids[rows.start : rows.stop])
    shape = (len(masks), len(true_ids))
    stacked = np.array(masks, dtype=np.bool_).reshape(shape)
    ious, target_ids = targets(stacked, np.array(visible, dtype=np.bool_).reshape(shape), true_ids)
    volume = lifted.volume
    return TiffSample(
        volume.origin_voxels,
        volume.coordinates,
        volume.tsdf,
        lifted.surface_features(),
        true_ids,
        stacked,
        tuple(texts),
        ious,
        target_ids,
    )


def _most_shown(pixels: NDArray[np.int16], true_ids: NDArray[np.uint16]) -> NDArray[np.int64]:
    """Return (N,) the id that most keyframes show of each voxel, the smallest of equals, 0 where none shows any."""
    shown = np.full(pixels.shape, -1, dtype=np.int64)
    for row, image in enumerate(true_ids):
        here = pixels[row] != NOT_SEEN
        shown[row, here] = image.ravel()[pixels[row, here]]
    best, most = np.zeros(pixels.shape[1], dtype=np.int64), np.zeros(pixels.shape[1], dtype=np.int64)
    for identifier in np.unique(shown[shown >= 0]):
        count = np.count_nonzero(shown == identifier, axis=0)
        best[count > most] = identifier
        most = np.maximum(most, count)
    return best

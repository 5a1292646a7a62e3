"""Masks and what is known of voxels, lifted into a fragment."""

import numpy as np
import pytest
from box_scene import CAMERA, Box, look_at, render

pytest.importorskip("torch", reason="PyTorch is not installed here")

from lira_ros.fusion.tiff.fragment_volume import View
from lira_ros.fusion.tiff.lifted_fragment import SURFACE_FEATURES, lift_fragment

CRATE = Box(1, (-0.4, -0.2, 0.0), (0.0, 0.2, 0.4))


def shown(position):
    T = look_at(position, (0.0, 0.0, 0.2))
    depth, ids = render((CRATE,), T)
    color = np.where((ids == 1)[..., None], np.array([200, 30, 30], np.uint8), np.array([120, 120, 120], np.uint8))
    return View(depth, color, CAMERA, T), ids


def test_a_mask_covers_the_voxels_at_its_surface_that_its_keyframe_shows():
    (front, ids), (back, other_ids) = shown((1.5, 0.3, 1.2)), shown((-1.5, -0.3, 1.2))
    fragment = lift_fragment([front, back])
    mask = fragment.lift(ids == 1, 0)
    points = fragment.volume.points_m[mask]
    assert mask.sum() >= 200
    assert not (mask & ~fragment.seen[0]).any()
    low, high = np.array(CRATE.low) - 0.041, np.array(CRATE.high) + 0.041
    assert ((points >= low) & (points <= high)).all()
    # The side away from the first camera is in the other keyframe's mask alone.
    away = fragment.lift(other_ids == 1, 1)
    x, y, z = fragment.volume.points_m.T
    face = (np.abs(x + 0.4) < 0.01) & (np.abs(y) < 0.1) & (z < 0.3)
    assert (away & face).any()
    assert not (mask & face).any()
    assert not fragment.lift(np.zeros_like(ids, dtype=bool), 0).any()


def test_features_say_colour_normal_and_height_and_nothing_of_what_is_not_seen():
    (view, ids), (other, _) = shown((1.5, 0.3, 1.2)), shown((1.3, 0.6, 1.2))
    fragment = lift_fragment([view, other])
    features = fragment.surface_features()
    assert features.shape == (len(fragment.volume.tsdf), SURFACE_FEATURES)
    assert np.isfinite(features).all()
    seen = fragment.seen.any(axis=0)
    assert not features[~seen].any()
    assert features[seen].any(axis=1).all()
    top = fragment.lift(ids == 1, 0) & (np.abs(fragment.volume.points_m[:, 2] - 0.4) < 0.01)
    reds = features[top, 0] * 127.5 + 127.5
    assert np.median(reds) == 200.0
    np.testing.assert_allclose(np.median(features[top, 3:6], axis=0), (0.0, 0.0, 1.0), atol=0.1)
    np.testing.assert_allclose(features[top, 6], 0.4 / 3.84, atol=1e-5)
    both = fragment.seen.all(axis=0)
    assert (features[both, 8] == 1.0).all()
    assert set(features[seen, 8].tolist()) == {0.5, 1.0}
    assert features[:, 9].max() <= 1.0

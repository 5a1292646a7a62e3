import numpy as np
import pytest

from lira_ros.geometry.camera import Camera
from lira_ros.geometry.frame import Frame, Keyframe
from lira_ros.reasoning.coverage import MAX_DEPTH_M, Coverage, SurfaceIndex


def view(depth_m, x_m=0.0, fx=100.0):
    """Return a keyframe that looks along z from a place on the x axis; a pixel is 1 cm wide at 1 m."""
    depth = np.asarray(depth_m, dtype=np.float32)
    height, width = depth.shape
    T = np.eye(4)
    T[0, 3] = x_m
    # Half a pixel off the grid of voxels, so that no pixel lies on a border.
    camera = Camera(width, height, fx, fx, -0.5, -0.5)
    frame = Frame(1, np.zeros((height, width, 3), np.uint8), depth, camera, T)
    return Keyframe(1, frame, np.array([0.0, 0.0, 1.0]), 0.0)


def wall(columns=40, rows=20):
    return np.full((rows, columns), 1.05)


def test_the_share_of_pixels_on_voxels_that_nothing_covers():
    index, coverage = SurfaceIndex(), Coverage()
    first = index.add(view(wall()))
    assert (len(index), len(first.voxels), first.pixels.sum()) == (5 * 3, 5 * 3, 800)
    assert coverage.new_share(first) == 1.0
    coverage.cover(first)
    assert coverage.new_share(first) == 0.0
    moved = index.add(view(wall(), x_m=0.2))
    # 40 columns of 1.05 cm from 20 cm on: those beyond 50 cm lie on voxels of their own.
    new_columns = sum(0.2 + (column + 0.5) * 0.0105 > 0.5 for column in range(40))
    assert coverage.new_share(moved) == pytest.approx(new_columns / 40)
    coverage.cover(moved)
    coverage.uncover(first)
    assert 0.0 < coverage.new_share(first) < 1.0
    assert coverage.new_share(moved) == 0.0


def test_only_pixels_with_depth_count():
    index, coverage = SurfaceIndex(), Coverage()
    left = wall()
    left[:, 20:] = 0.0
    coverage.cover(index.add(view(left)))
    assert coverage.new_share(index.add(view(left))) == 0.0
    assert len(index.add(view(np.full((20, 40), MAX_DEPTH_M + 0.1))).voxels) == 0
    nothing = index.add(view(np.zeros((20, 40))))
    assert len(nothing.voxels) == 0
    coverage.cover(nothing)
    assert coverage.new_share(nothing) == 0.0


def test_numbers_belong_to_places_whatever_the_order():
    index = SurfaceIndex()
    far, near = index.add(view(wall(), x_m=3.0)), index.add(view(wall(), x_m=-3.0))
    assert not set(far.voxels) & set(near.voxels)
    assert sorted({*far.voxels, *near.voxels}) == list(range(len(index)))
    np.testing.assert_array_equal(index.add(view(wall(), x_m=3.0)).voxels, far.voxels)
    np.testing.assert_array_equal(index.add(view(wall(), x_m=-3.0)).voxels, near.voxels)


def test_forgetting_keeps_what_is_asked_for_and_its_coverage():
    index, coverage = SurfaceIndex(), Coverage()
    gone, kept, open_ = (index.add(view(wall(), x_m=x_m)) for x_m in (0.0, 2.0, 4.0))
    for surface in (gone, kept):
        coverage.cover(surface)
    renumbered = index.keep([kept, open_])
    coverage.renumber(renumbered)
    assert len(index) == len(kept.voxels) + len(open_.voxels)
    assert (renumbered[gone.voxels] == -1).all()
    np.testing.assert_array_equal(index.add(view(wall(), x_m=2.0)).voxels, renumbered[kept.voxels])
    assert coverage.new_share(index.add(view(wall(), x_m=2.0))) == 0.0
    assert coverage.new_share(index.add(view(wall(), x_m=4.0))) == 1.0
    assert coverage.new_share(index.add(view(wall(), x_m=0.0))) == 1.0


def test_a_large_picture_is_sampled_and_means_the_same():
    small, large = wall(), np.full((960, 1920), 1.05)
    for depth, fx in ((small, 100.0), (large, 4800.0)):
        index = SurfaceIndex()
        surface = index.add(view(depth, fx=fx))
        assert len(surface.voxels) == 15
        assert surface.pixels.sum() < 40_000


def test_places_beyond_all_bounds_are_no_error():
    index = SurfaceIndex()
    assert len(index.add(view(wall(), x_m=1e12)).voxels) > 0

"""What must not matter to the map: order, repetition, where the map's origin lies, the size of the images."""

from dataclasses import replace

import numpy as np
import pytest
from analytic_scene import CAMERA, frame_of, scene_depth, scene_distance, walk
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from lira_ros.evaluation.surfaces import distance_to_mesh, sample_mesh
from lira_ros.geometry.camera import Camera
from lira_ros.geometry.pose import transform_points
from lira_ros.mapping.configuration import MappingConfiguration
from lira_ros.mapping.mapper import Mapper

VOXEL_M = 0.04
BLOCK_M = 8 * VOXEL_M
FRAMES = walk(8)
angle = st.floats(-180.0, 180.0)
position = st.tuples(*[st.floats(-20.0, 20.0)] * 3)


def property_test(examples):
    """Try that many examples; a failing one is shown as it is, as making it smaller would take minutes."""
    return settings(deadline=None, max_examples=examples, phases=(Phase.explicit, Phase.reuse, Phase.generate))


def mapped(frames, **values):
    """Map frames as one fragment, with stamps in their order."""
    values = {"voxel_size_m": VOXEL_M, "fragment_keyframes": 1000, "mesh_weight": 0.2, "up": "+z", **values}
    mapper = Mapper(MappingConfiguration(**values))
    for i, frame in enumerate(frames):
        update = mapper.add_frame(replace(frame, stamp_ns=i))
        assert update.rejected is None
        assert update.warning is None
    return mapper


def voxels(mapper):
    """Return blocks, tsdf, weight and colour of the only fragment, in an order that does not depend on the frames."""
    mapper.flush()
    (fragment,) = mapper.fragments()
    order = np.lexsort(fragment.block_coordinates.T)
    color = np.where((fragment.weight > 0)[:, :, None], fragment.color, 0)
    return fragment.block_coordinates[order], fragment.tsdf[order], fragment.weight[order], color[order].astype(int)


def moved(frames, T_new_old):
    return [replace(frame, T_map_camera=T_new_old @ frame.T_map_camera) for frame in frames]


@property_test(8)
@given(st.permutations(range(1, len(FRAMES))))
def test_the_order_of_frames_in_a_fragment_does_not_matter_beyond_rounding(order):
    # The first frame places the fragment's origin, so it stays where it is.
    blocks, tsdf, weight, color = voxels(mapped(FRAMES))
    blocks_too, tsdf_too, weight_too, color_too = voxels(mapped([FRAMES[0]] + [FRAMES[i] for i in order]))
    np.testing.assert_array_equal(blocks_too, blocks)
    np.testing.assert_allclose(weight_too, weight, rtol=1e-5)
    np.testing.assert_allclose(tsdf_too, tsdf, atol=1e-5)
    # Colour has no weight of its own: the first one counts for all that was seen of the voxel until then.
    surface = (weight > 0) & (np.abs(tsdf) < 0.25)
    difference = np.abs(color_too - color).max(axis=2)[surface]
    assert (difference <= 1).mean() > 0.99
    assert difference.max() <= 12


@property_test(4)
@given(st.permutations(range(len(FRAMES))))
def test_the_first_frame_may_be_any(order):
    # Now the origin of the fragment's coordinates moves too. A voxel whose centre falls onto the border of two pixels
    # may take either of them after rounding.
    mesh, other = mapped(FRAMES).mesh(), mapped([FRAMES[i] for i in order]).mesh()
    distance = distance_to_mesh(other.vertices, mesh.vertices, mesh.triangles)
    assert distance.mean() < 0.001 * VOXEL_M
    assert (distance < 1e-5).mean() > 0.98


@property_test(6)
@given(st.integers(2, 4), st.integers(1, len(FRAMES)))
def test_the_same_frames_again_do_not_move_the_surface(times, count):
    once = mapped(FRAMES[:count])
    again = mapped([frame for frame in FRAMES[:count] for _ in range(times)])
    mesh, mesh_again = once.mesh(), again.mesh()
    # What was too uncertain to be drawn may be drawn now; what was drawn stays where it is.
    assert len(mesh_again.triangles) >= len(mesh.triangles)
    assert distance_to_mesh(mesh.vertices, mesh_again.vertices, mesh_again.triangles).max() < 1e-5
    _, tsdf, weight, color = voxels(once)
    _, tsdf_again, weight_again, color_again = voxels(again)
    np.testing.assert_allclose(weight_again, np.minimum(times * weight, 128.0), rtol=1e-4)
    np.testing.assert_allclose(tsdf_again, tsdf, atol=1e-5)
    assert np.abs(color_again - color).max() <= 1


@property_test(6)
@given(st.tuples(*[st.integers(-2000, 2000)] * 3))
def test_a_shift_by_whole_blocks_moves_the_mesh_and_changes_nothing(blocks):
    shift = BLOCK_M * np.array(blocks, float)
    T = np.eye(4)
    T[:3, 3] = shift
    mesh, there = mapped(FRAMES[:4]).mesh(), mapped(moved(FRAMES[:4], T)).mesh()
    assert len(there.triangles) == pytest.approx(len(mesh.triangles), abs=20)
    # Vertices are float32: at 640 m from the origin a step is 0.06 mm.
    back = there.vertices.astype(float) - shift
    far = distance_to_mesh(back, mesh.vertices, mesh.triangles)
    assert np.percentile(far, 99) < 2e-4
    assert far.mean() < 1e-4


@property_test(8)
@given(angle, angle, angle, position)
def test_a_rigid_motion_of_all_poses_moves_the_mesh_by_it(yaw, pitch, roll, shift):
    T = np.eye(4)
    T[:3, :3] = Rotation.from_euler("zyx", [yaw, pitch, roll], degrees=True).as_matrix()
    T[:3, 3] = shift
    mesh, there = mapped(FRAMES).mesh(), mapped(moved(FRAMES, T)).mesh()
    # The grid lies otherwise in the scene, so the triangles differ. Each mesh lies within 0.06 voxels (median) and 0.08
    # (mean) of the truth, which is what pixels of 17 mm let the nearest one say; so they are at most the sum of both
    # errors apart, and a voxel at rims, where a mesh ends with a whole cell.
    points = transform_points(np.linalg.inv(T), sample_mesh(there.vertices, there.triangles, 6000))
    there_to_here = distance_to_mesh(points, mesh.vertices, mesh.triangles)
    points = transform_points(T, sample_mesh(mesh.vertices, mesh.triangles, 6000))
    here_to_there = distance_to_mesh(points, there.vertices, there.triangles)
    for distance in (there_to_here, here_to_there):
        assert np.median(distance) < 0.08 * VOXEL_M
        assert distance.mean() < 0.12 * VOXEL_M
        assert (distance < VOXEL_M).mean() > 0.99
    error = scene_distance(transform_points(np.linalg.inv(T), there.vertices.astype(float)))
    assert np.median(error) < 0.08 * VOXEL_M


@property_test(8)
@given(st.integers(72, 400), st.integers(54, 300))
def test_images_of_any_size_give_the_same_surface(width, height):
    # The same view in other pixels: with centres at integers the left border of the image lies at -0.5.
    scale_x, scale_y = width / CAMERA.width_px, height / CAMERA.height_px
    camera = Camera(
        width,
        height,
        CAMERA.fx * scale_x,
        CAMERA.fy * scale_y,
        (CAMERA.cx + 0.5) * scale_x - 0.5,
        (CAMERA.cy + 0.5) * scale_y - 0.5,
    )
    frames = [frame_of(scene_depth(camera, f.T_map_camera), f.T_map_camera, camera=camera) for f in FRAMES]
    mesh, other = mapped(FRAMES).mesh(), mapped(frames).mesh()
    error = scene_distance(other.vertices.astype(float))
    assert np.median(error) < 0.08 * VOXEL_M
    assert error.mean() < 0.12 * VOXEL_M
    points = sample_mesh(mesh.vertices, mesh.triangles, 6000)
    covered = distance_to_mesh(points, other.vertices, other.triangles)
    assert np.median(covered) < 0.1 * VOXEL_M
    assert (covered < VOXEL_M).mean() > 0.99

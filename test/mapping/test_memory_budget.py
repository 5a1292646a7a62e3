from dataclasses import replace

import numpy as np
import pytest
from analytic_scene import scene_distance, walk

from lira_ros.geometry.pose import inverse, transform_points
from lira_ros.mapping.configuration import MappingConfiguration
from lira_ros.mapping.mapper import _UNCOUNTED_SHARE, Mapper

OPTIONS = {"voxel_size_m": 0.05, "mesh_weight": 0.1, "max_depth_m": 5.0, "up": "+z", "fragment_keyframes": 3}


def shifted(x):
    T = np.eye(4)
    T[0, 3] = x
    return T


def corridor(rooms):
    """The room with the sphere, several times in a row, 12 m apart, as one walk."""
    frames = []
    for room in range(rooms):
        for frame in walk(6):
            pose = shifted(12.0 * room) @ frame.T_map_camera
            frames.append(replace(frame, T_map_camera=pose, stamp_ns=len(frames) * 100_000_000))
    return frames


def mapped(frames, **options):
    mapper = Mapper(MappingConfiguration(**{**OPTIONS, **options}))
    for frame in frames:
        assert mapper.add_frame(frame).rejected is None
    return mapper


def settled(mapper, position=(48.0, 0.0, 0.0)):
    # Writing goes on in a thread of the store: wait for it, and take its results in as a frame does.
    for _ in range(4):
        wait_for(mapper)
        assert mapper._settle(np.array(position)) is None
    return mapper


def wait_for(mapper):
    for _, _, future in list(mapper._store._writes.values()):
        future.exception(timeout=30)
    for _, future in list(mapper._store._reads.values()):
        future.exception(timeout=30)


@pytest.fixture(scope="module")
def budget_mib():
    """A budget for five rooms: most is for the open fragment whatever the map, so a little less is half of the map."""
    whole = mapped(corridor(5))
    whole.flush()
    whole.mesh()
    return int(0.86 * whole.statistics()["bytes"] / (1.0 - _UNCOUNTED_SHARE)) >> 20


@pytest.fixture(scope="module")
def pair(budget_mib):
    """The same walk with all of the map in memory, and with a budget that is far too small for it."""
    frames = corridor(5)
    whole, bounded = mapped(frames), mapped(frames, memory_budget_mib=budget_mib)
    whole.flush()
    bounded.flush()
    return whole, settled(bounded)


def vertices_of(mapper):
    vertices = mapper.mesh().vertices
    return vertices[np.lexsort(vertices.T)]


def test_far_fragments_go_to_disk_and_the_map_stays_whole(pair):
    whole, bounded = pair
    statistics = bounded.statistics()
    assert statistics["fragments_on_disk"] > 0
    assert statistics["fragments"] == whole.statistics()["fragments"] == 10
    assert statistics["bytes_on_disk"] > 0
    assert whole.statistics()["fragments_on_disk"] == 0
    assert bounded._composition.volume.block_count < 0.8 * whole._composition.volume.block_count
    np.testing.assert_array_equal(vertices_of(bounded), vertices_of(whole))
    a, b = bounded.point_cloud(), whole.point_cloud()
    assert len(a.points) == len(b.points)
    # Looking at all of it did not bring it back into memory.
    assert bounded._composition.volume.block_count < 0.8 * whole._composition.volume.block_count
    points = np.array([[1.5, 0.0, 0.0], [49.5, 0.0, 0.0]])
    np.testing.assert_array_equal(bounded.labels(points)[0], whole.labels(points)[0])


def test_files_hold_all_of_a_bounded_map(pair, tmp_path):
    whole, bounded = pair
    assert bounded.save(tmp_path / "map") == 10
    loaded = Mapper(bounded.configuration)
    assert len(loaded.load(tmp_path / "map")) == 10
    np.testing.assert_array_equal(vertices_of(loaded), vertices_of(whole))


def test_what_is_near_comes_back_and_is_shown_again(pair):
    _, bounded = pair
    revision, changed = bounded.mesh_blocks()
    while changed:
        revision, changed = bounded.mesh_blocks(revision)
    first = bounded.fragments()[0]
    assert not bounded._store.is_resident(1)
    settled(bounded, (0.0, 0.0, 0.0))
    assert bounded._store.is_resident(1)
    _, changed = bounded.mesh_blocks(revision)
    blocks = {part.block for part in changed if len(part.triangles)}
    assert blocks
    assert max(block[0] for block in blocks) * 0.4 < 20.0
    assert bounded.fragments()[0].revision == first.revision
    settled(bounded)


def test_a_correction_of_what_is_on_disk_reaches_who_follows_the_mesh(budget_mib):
    frames = corridor(5)
    whole, bounded = mapped(frames), mapped(frames, memory_budget_mib=budget_mib)
    shown = []
    for mapper in (whole, bounded):
        mapper.flush()
        settled(mapper)
        revision, held = 0, {}
        while changed := mapper.mesh_blocks(revision)[1]:
            held.update({part.block: part.vertices for part in changed})
            revision = mapper._surface.revision
        lift = np.eye(4)
        lift[2, 3] = 0.2
        moved = mapper.correct({i: lift @ mapper.keyframe_poses[i] for i in (1, 2, 3)})
        assert [fragment.id for fragment in moved] == [1]
        told = {}
        while True:
            revision, changed = mapper.mesh_blocks(revision)
            if not changed:
                break
            told.update({part.block: part.vertices for part in changed})
        shown.append((held, told))
    assert not bounded._store.is_resident(1)
    (held, told), (_, bounded_told) = shown
    changed = {block for block, vertices in told.items() if not np.array_equal(vertices, held.get(block, ()))}
    assert len(changed) > 50
    assert any(len(told[block]) == 0 for block in changed)  # what has gone is told as well
    for block in changed:
        np.testing.assert_array_equal(bounded_told[block], told[block])


def test_the_number_of_blocks_is_a_budget_too():
    frames = corridor(4)
    free = mapped(frames)
    blocks = free.statistics()["blocks"]
    mapper = Mapper(MappingConfiguration(**OPTIONS, max_blocks=blocks * 8 // 10))
    refused = 0
    for frame in frames:
        refused += mapper.add_frame(frame).warning is not None
        wait_for(mapper)
        assert mapper._settle(frame.T_map_camera[:3, 3]) is None
    assert refused == 0
    assert mapper.statistics()["fragments_on_disk"] > 0
    assert mapper._composition.volume.block_count <= blocks * 8 // 10


def test_a_bounded_map_moves_as_a_whole(budget_mib):
    mapper = settled(mapped(corridor(5), memory_budget_mib=budget_mib))
    mapper.flush()
    jump = np.eye(4)
    jump[:3, :3] = [[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    jump[:3, 3] = (3.0, 0.1, 0.02)
    assert len(mapper.apply_jump(jump)) == 10
    vertices = transform_points(inverse(jump), mapper.mesh().vertices)
    vertices[:, 0] -= 12.0 * np.rint(vertices[:, 0] / 12.0)
    assert np.percentile(scene_distance(vertices), 95) < 0.025

import numpy as np
import pytest
from analytic_scene import walk

from lira_ros.mapping.configuration import MappingConfiguration
from lira_ros.mapping.mapper import Mapper
from lira_ros.mapping.storage import MapFileError

CONFIGURATION = MappingConfiguration(voxel_size_m=0.08, mesh_weight=0.1, max_depth_m=5.0, fragment_keyframes=3)


@pytest.fixture(scope="module")
def mapped():
    mapper = Mapper(CONFIGURATION)
    for frame in walk(5):
        mapper.add_frame(frame)
    return mapper


@pytest.fixture
def path(mapped, tmp_path):
    file = tmp_path / "room.lira"
    assert mapped.save(file) == 2
    return file


def test_a_loaded_map_is_the_saved_one_and_goes_on(mapped, path):
    assert len(mapped.fragments()) == 1  # saving does not close the open fragment
    loaded = Mapper(CONFIGURATION)
    fragments = loaded.load(path)
    assert [f.keyframe_ids for f in fragments] == [(1, 2, 3), (4, 5)]
    a, b = mapped.mesh(), loaded.mesh()
    assert a.triangles.shape == b.triangles.shape
    np.testing.assert_allclose(np.sort(a.vertices, axis=0), np.sort(b.vertices, axis=0), atol=1e-4)
    np.testing.assert_array_equal(loaded.up, mapped.up)
    np.testing.assert_equal(loaded.floor_height_m, mapped.floor_height_m)
    original = mapped.fragments()[0]
    for name in ("tsdf", "weight", "color", "block_coordinates", "T_map_fragment"):
        np.testing.assert_array_equal(getattr(fragments[0], name), getattr(original, name))
    # A robot that loads a map later may have a clock that starts anew.
    update = loaded.add_frame(walk(5)[1])
    assert update.keyframe.id == 6
    assert loaded.flush().id == 3


def test_the_trailing_fragment_without_keyframes_is_saved_with_the_last(tmp_path):
    mapper = Mapper(MappingConfiguration(voxel_size_m=0.08, max_depth_m=5.0, fragment_keyframes=1))
    frame = walk(5)[0]
    mapper.add_frame(frame)
    mapper.add_frame(frame)
    assert mapper.save(tmp_path / "map") == 1
    loaded = Mapper(mapper.configuration)
    assert loaded.load(tmp_path / "map")[0].revision == 2


def test_an_empty_map_can_be_saved_and_loaded(tmp_path):
    mapper = Mapper(CONFIGURATION)
    assert mapper.save(tmp_path / "nothing") == 0
    assert mapper.load(tmp_path / "nothing") == ()


def damaged(path, kind):
    data = bytearray(path.read_bytes())
    if kind == "truncated":
        data = data[: len(data) // 2]
    elif kind == "altered":
        data[len(data) // 2] ^= 0xFF
    elif kind == "empty":
        data = bytearray()
    elif kind == "text":
        data = bytearray(b"this is not a map\n" * 10)
    path.write_bytes(data)


@pytest.mark.parametrize("kind", ["truncated", "altered", "empty", "text"])
def test_a_broken_file_is_refused_and_the_map_stays(mapped, path, kind):
    damaged(path, kind)
    before = mapped.mesh().vertices
    with pytest.raises(MapFileError, match=r"room\.lira"):
        mapped.load(path)
    np.testing.assert_array_equal(mapped.mesh().vertices, before)


def test_missing_files_folders_and_pickles_are_refused(mapped, tmp_path):
    with pytest.raises(MapFileError, match="no such map file"):
        mapped.load(tmp_path / "nowhere")
    with pytest.raises(MapFileError):
        mapped.load(tmp_path)
    with pytest.raises(MapFileError, match="cannot write"):
        mapped.save(tmp_path / "no" / "folder")
    np.save(tmp_path / "array.npy", np.zeros(3))
    with pytest.raises(MapFileError, match="not a map file"):
        mapped.load(tmp_path / "array.npy")
    np.savez(tmp_path / "pickle.npz", format=np.array([{}], dtype=object))
    with pytest.raises(MapFileError):
        mapped.load(tmp_path / "pickle.npz")


def test_other_versions_and_other_voxels_are_refused(mapped, path, tmp_path):
    with np.load(path) as file:
        arrays = dict(file)
    np.savez(tmp_path / "new.npz", **{**arrays, "version": np.array(99)})
    with pytest.raises(MapFileError, match="version 99"):
        mapped.load(tmp_path / "new.npz")
    nan = arrays["fragment_0/tsdf"].copy()
    nan[0, 0] = np.nan
    np.savez(tmp_path / "nan.npz", **{**arrays, "fragment_0/tsdf": nan})
    with pytest.raises(MapFileError, match="finite"):
        mapped.load(tmp_path / "nan.npz")
    with pytest.raises(MapFileError, match="voxel_size_m"):
        Mapper(MappingConfiguration(voxel_size_m=0.05)).load(path)

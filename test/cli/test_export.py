import sys

import numpy as np
import pytest
import trimesh

from lira_ros.cli.main import main
from lira_ros.datasets.rooms import RoomSequence
from lira_ros.mapping.configuration import MappingConfiguration
from lira_ros.mapping.mapper import Mapper


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Return a mapper and the file that its map was saved to; its voxels are not of the default size."""
    mapper = Mapper(MappingConfiguration(voxel_size_m=0.05, truncation_voxels=3.0, up="+z", fragment_keyframes=3))
    sequence = RoomSequence(seed=0, rate_hz=2.0, width_px=80, duration_s=4.0)
    for index in range(len(sequence)):
        mapper.add_frame(sequence.frame(index))
    path = tmp_path_factory.mktemp("map") / "room.lira_map"
    mapper.save(path)
    return mapper, path


def export(saved, *names):
    return main(["export", str(saved[1]), *(word for name in names for word in ("--to", str(name)))])


def test_a_map_is_written_as_ply_and_glb(saved, tmp_path, capsys):
    assert export(saved, tmp_path / "map.ply", tmp_path / "map.GLB") == 0
    printed = capsys.readouterr().out
    assert f"wrote {tmp_path / 'map.ply'}" in printed
    assert f"wrote {tmp_path / 'map.GLB'}" in printed
    mesh = saved[0].mesh()
    ply = trimesh.load(tmp_path / "map.ply", process=False)
    assert len(ply.faces) == len(mesh.triangles) > 1000
    np.testing.assert_allclose(ply.bounds, [mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)], atol=1e-5)
    with (tmp_path / "map.GLB").open("rb") as file:
        glb = trimesh.load_scene(file, file_type="glb")
    low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
    np.testing.assert_allclose(glb.bounds[:, 1], (low[2], high[2]), atol=1e-5)


def test_a_map_is_written_for_open3d(saved, tmp_path):
    open3d = pytest.importorskip("open3d", reason="Open3D is not installed here")
    assert export(saved, tmp_path / "map.npz") == 0
    grid = open3d.t.geometry.VoxelBlockGrid.load(str(tmp_path / "map.npz"))
    # Open3D wants more than its threshold, we at least ours.
    weight = 0.999 * saved[0].configuration.mesh_weight
    extracted = grid.extract_triangle_mesh(weight_threshold=weight).triangle.indices.shape[0]
    assert extracted == pytest.approx(len(saved[0].mesh().triangles), rel=0.02)


def test_mistakes_are_answered_with_one_sentence(saved, tmp_path, capsys):
    (tmp_path / "folder.ply").mkdir()
    truncated = tmp_path / "truncated.lira_map"
    truncated.write_bytes(saved[1].read_bytes()[:5000])
    for arguments, said in (
        ([saved[1], "--to", tmp_path / "map.obj"], "map.obj: expected a file that ends with .ply, .glb, .json, .yaml, .npz"),
        ([saved[1], "--to", tmp_path / "map"], "map: expected a file that ends with"),
        ([saved[1], "--to", tmp_path / "nowhere" / "map.ply"], "nowhere"),
        ([saved[1], "--to", tmp_path / "folder.ply"], "this is a folder"),
        ([tmp_path / "none.lira_map", "--to", tmp_path / "map.ply"], "none.lira_map: there is no such map file"),
        ([truncated, "--to", tmp_path / "map.ply"], "truncated.lira_map"),
        ([saved[1], "--to", tmp_path / "map.ply", "--weight", "-1"], "--weight: expected 0 or more, got -1"),
        ([saved[1], "--to", tmp_path / "map.ply", "--weight", "1e9"], "the map has no surface"),
    ):
        assert main(["export", *map(str, arguments)]) == 1
        error = capsys.readouterr().err
        assert error.startswith("lira: ")
        assert said in error
        assert "Traceback" not in error
    assert not (tmp_path / "map.ply").exists()


def test_the_map_itself_is_not_written_over(saved, tmp_path, capsys):
    copy = tmp_path / "map.npz"
    copy.write_bytes(saved[1].read_bytes())
    assert main(["export", str(copy), "--to", str(copy)]) == 1
    assert "this is the map itself" in capsys.readouterr().err
    assert copy.read_bytes() == saved[1].read_bytes()


def test_without_open3d_only_its_own_file_cannot_be_written(saved, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "open3d", None)
    assert export(saved, tmp_path / "map.npz") == 1
    assert "pip install open3d-cpu" in capsys.readouterr().err
    assert export(saved, tmp_path / "map.ply") == 0


def test_a_map_larger_than_the_memory_is_not_cut_short_for_open3d(saved, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(Mapper, "statistics", lambda self: {"fragments_on_disk": 1})
    assert export(saved, tmp_path / "map.npz") == 1
    assert "Open3D holds grids in memory" in capsys.readouterr().err
    assert not (tmp_path / "map.npz").exists()

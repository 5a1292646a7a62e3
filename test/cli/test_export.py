import json
import sys

import numpy as np
import pytest
import trimesh
import yaml
from PIL import Image

from lira_ros.cli.main import main
from lira_ros.configuration import build
from lira_ros.datasets.rooms import RoomSequence
from lira_ros.evaluation.runner import ground_truth
from lira_ros.mapping.configuration import MappingConfiguration
from lira_ros.mapping.mapper import Mapper
from lira_ros.pipeline.pipeline import Pipeline, PipelineConfiguration
from lira_ros.reasoning.backends import ReasonerConfiguration, create_reasoner
from lira_ros.reasoning.relevance import Relevance


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
        (
            [saved[1], "--to", tmp_path / "map.obj"],
            "map.obj: expected a file that ends with .ply, .glb,",
        ),
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


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return a pipeline that found things, and the file that it was saved to."""
    values = {"mapping.voxel_size_m": 0.05, "fusion.voxel_size_m": 0.05, "mapping.up": "+z"}
    room = RoomSequence(seed=0, rate_hz=1.0, width_px=160, duration_s=5.0)
    relevance = Relevance(None)
    reasoner = create_reasoner(ReasonerConfiguration("oracle"), relevance, ground_truth(room))
    pipeline = Pipeline(build(PipelineConfiguration, values), reasoner, relevance)
    pipeline.submit("find the sofa")
    for frame in room:
        pipeline.add_frame(frame)
    pipeline.finish()
    path = tmp_path_factory.mktemp("whole") / "room.liramap"
    pipeline.save(path)
    return pipeline, path


def test_instances_are_nodes_of_the_glb_and_entries_of_the_json(whole, tmp_path):
    pipeline, _ = whole
    assert export(whole, tmp_path / "map.glb", tmp_path / "map.json") == 0
    document = json.loads((tmp_path / "map.json").read_text())
    assert (document["format"], document["version"], document["frame_id"]) == ("lira map", 1, "map")
    instances = pipeline.map.fusion.instances()
    assert [(item["id"], item["label"]) for item in document["instances"]] == [(i.id, i.label) for i in instances]
    (entry,) = document["instructions"]
    conforming = [item["instance"] for item in entry["verdicts"] if item["conformity"] == "CONFORMS"]
    assert conforming == [item.id for item in pipeline.conforming("find-1")] != []
    assert all({"subject", "relation", "object", "gap"} == item.keys() for item in document["relations"])
    with (tmp_path / "map.glb").open("rb") as file:
        scene = trimesh.load_scene(file, file_type="glb")
    sofa = pipeline.conforming("find-1")[0]
    part = scene.geometry[f"sofa {sofa.id}"]
    # +y is up in a GLB file: (x, y, z) of the map is (x, z, -y) there.
    low, high = sofa.points.min(axis=0), sofa.points.max(axis=0)
    np.testing.assert_allclose(part.bounds, [(low[0], low[2], -high[1]), (high[0], high[2], -low[1])], atol=0.15)
    assert "map" in scene.geometry


def as_map_server_reads(yaml_path):
    """Return (rows, columns) of 0, 100 and -1 with row 0 at the origin, and the YAML, as nav2_map_server does."""
    values = yaml.safe_load(yaml_path.read_text())
    image = np.asarray(Image.open(yaml_path.parent / values["image"]))
    occupied = 1.0 - image / 255.0 if not values["negate"] else image / 255.0
    cells = np.full(image.shape, -1)
    cells[occupied > values["occupied_thresh"]] = 100
    cells[occupied < values["free_thresh"]] = 0
    return cells[::-1], values


def test_free_space_is_what_map_server_of_nav2_reads(whole, tmp_path, capsys):
    pipeline, _ = whole
    assert export(whole, tmp_path / "map.yaml") == 0
    assert f"wrote {tmp_path / 'map.pgm'}" in capsys.readouterr().out
    cells, values = as_map_server_reads(tmp_path / "map.yaml")
    wanted = pipeline.mapper.distance_slice(0.1, 1.5, 0.05)
    np.testing.assert_array_equal(cells, wanted.occupancy())
    assert {-1, 0, 100} == set(np.unique(cells))
    assert (values["mode"], values["negate"], values["resolution"]) == ("trinary", 0, 0.05)
    np.testing.assert_allclose(values["origin"], [*wanted.T_map_slice[:2, 3], 0.0], atol=1e-6)
    # The sofa is in the way, and row and column are those of its place in the map.
    points = pipeline.conforming("find-1")[0].points
    heights = points[:, 2] - pipeline.mapper.floor_height_m
    columns, rows = ((points[:, axis] - values["origin"][axis]) // 0.05 for axis in (0, 1))
    within = (heights > 0.2) & (heights < 1.4)
    assert (cells[rows[within].astype(int), columns[within].astype(int)] == 100).mean() > 0.95


def test_a_map_without_instances_or_floor_says_so(saved, tmp_path, capsys):
    assert export(saved, tmp_path / "map.json") == 1
    assert "was saved without instances" in capsys.readouterr().err

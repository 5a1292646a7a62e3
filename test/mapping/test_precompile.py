import os
from pathlib import Path

import numpy as np
from analytic_scene import walk

from lira_ros.mapping import (
    composition_kernels,
    distance_kernels,
    instance_layer,
    kernels,
    marching_cubes,
    open3d_kernels,
    precompile,
    surface_kernels,
    view_arithmetic,
    view_kernels,
    voxel,
)
from lira_ros.mapping.configuration import MappingConfiguration
from lira_ros.mapping.instance_layer import InstanceLayer
from lira_ros.mapping.mapper import Mapper
from lira_ros.mapping.precompile import warm_up


def signatures():
    modules = (
        kernels,
        open3d_kernels,
        composition_kernels,
        surface_kernels,
        distance_kernels,
        view_kernels,
        instance_layer,
    )
    compiled = {name: value for module in modules for name, value in vars(module).items()}
    loops = [value for name, value in compiled.items() if hasattr(value, "signatures") and name[0] != "_"]
    return {f"{loop.py_func.__module__}.{loop.__name__}": len(loop.signatures) for loop in loops}


def test_nothing_is_compiled_after_warm_up(tmp_path):
    assert warm_up() > 0
    before = signatures()
    mapper = Mapper(MappingConfiguration(voxel_size_m=0.1, max_depth_m=5.0, fragment_keyframes=2))
    for frame in walk(5):
        mapper.add_frame(frame)
    mapper.flush()
    mapper.mesh()
    instances = InstanceLayer(0.1)
    instances.set(5, np.ones((3, 3), np.int64))
    mapper.points()
    mapper.point_cloud(0.3, instances)
    mapper.mesh_blocks()
    frame = walk(1)[0]
    mapper.depth_labels(frame.depth_m, frame.camera, frame.T_map_camera)
    mapper.labels(np.zeros((4, 3), np.float32))
    for exact in (False, True):
        mapper.view(frame.camera, frame.T_map_camera, exact=exact, instances=instances)
    mapper.distance_slice(0.2, 1.0, 0.1)
    mapper.save(tmp_path / "map")
    mapper.load(tmp_path / "map")
    mapper.add_frame(frame)
    turned = np.eye(4)
    turned[:2, :2] = [[0.8, -0.6], [0.6, 0.8]]
    mapper.apply_jump(turned)
    mapper.mesh()
    mapper.save(tmp_path / "map")
    mapper.load(tmp_path / "map")
    mapper.mesh()
    rules = {"weighting": "depth_noise_incidence", "free_space": "carve", "decay_half_life_s": 10.0, "max_depth_m": 5.0}
    for changes in (rules, {"integration": "open3d"}):
        other = Mapper(MappingConfiguration(voxel_size_m=0.1, **changes))
        confidence = np.full(frame.depth_m.shape, 0.5, np.float32)
        assert other.add_frame(frame, np.ones(frame.depth_m.shape, np.uint16), confidence).rejected is None
    assert signatures() == before
    known = {name.rpartition(".")[2] for name, count in before.items() if count > 0}
    assert known >= {"integrate", "touch", "merge", "mesh_blocks", "insert_all", "find_all", "mark_cells"}
    assert known >= {"smooth_depth", "weigh_incidence", "touch_seen_through", "decay", "discard_all", "blocks_in_band"}
    assert known >= {"reached_blocks", "unpack", "resample", "export"}
    assert known >= {"keep", "compact", "join", "average_by_cell", "look_up_depth", "splat", "cast", "look_up_ids"}


def test_loops_older_than_what_they_contain_are_compiled_again(tmp_path, monkeypatch):
    package = tmp_path / "mapping"
    (package / "__pycache__").mkdir(parents=True)
    monkeypatch.setattr(precompile, "__file__", str(package / "precompile.py"))
    newest_s = max(Path(module.__file__).stat().st_mtime for module in (voxel, view_arithmetic, marching_cubes))
    for name, age_s in (("old", 10.0), ("new", -10.0)):
        index = package / "__pycache__" / f"{name}.py311.nbi"
        index.touch()
        os.utime(index, (newest_s - age_s, newest_s - age_s))
    assert precompile.forget_outdated_loops() == 1
    assert [item.name for item in (package / "__pycache__").iterdir()] == ["new.py311.nbi"]

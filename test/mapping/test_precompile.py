from analytic_scene import walk

from lira_ros.mapping import distance_kernels, kernels, surface_kernels
from lira_ros.mapping.configuration import MappingConfiguration
from lira_ros.mapping.mapper import Mapper
from lira_ros.mapping.precompile import warm_up


def signatures():
    compiled = {**vars(kernels), **vars(surface_kernels), **vars(distance_kernels)}
    loops = [value for name, value in compiled.items() if hasattr(value, "signatures") and name[0] != "_"]
    return {loop.__name__: len(loop.signatures) for loop in loops}


def test_nothing_is_compiled_after_warm_up(tmp_path):
    assert warm_up() > 0
    before = signatures()
    mapper = Mapper(MappingConfiguration(voxel_size_m=0.1, max_depth_m=5.0, fragment_keyframes=2))
    for frame in walk(5):
        mapper.add_frame(frame)
    mapper.flush()
    mapper.mesh()
    mapper.points()
    mapper.distance_slice(0.2, 1.0, 0.1)
    mapper.save(tmp_path / "map")
    mapper.load(tmp_path / "map")
    assert signatures() == before
    for name in ("integrate", "touch", "merge", "mesh_blocks", "insert_all", "find_all", "mark_cells"):
        assert before[name] > 0, name

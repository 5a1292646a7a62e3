"""The map on a CUDA device: in numba's simulator everywhere, on a real GPU where there is one."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from analytic_scene import CAMERA, scene_depth, walk
from scipy.spatial import cKDTree

from lira_ros.configuration import ConfigurationError
from lira_ros.mapping import devices, voxel
from lira_ros.mapping.configuration import MappingConfiguration
from lira_ros.mapping.devices import CudaState, DeviceError, choose_device, cuda_state, is_device_failure
from lira_ros.mapping.mapper import Mapper
from lira_ros.mapping.tsdf import Volume

SIMULATED = Path(__file__).with_name("simulated_cuda.py")
REPOSITORY = Path(__file__).resolve().parents[2]
needs_numba_cuda = pytest.mark.skipif(
    importlib.util.find_spec("numba_cuda") is None, reason="numba-cuda is not installed"
)


@pytest.fixture(scope="module")
def gpu():
    state = cuda_state()
    if state.problem is not None:
        pytest.skip(f"no GPU to test on: {state.problem}")
    return state.name


@needs_numba_cuda
def test_kernels_equal_the_processor_in_the_simulator():
    # The variable is read when numba is imported, so the simulator gets a process of its own.
    environment = {**os.environ, "NUMBA_ENABLE_CUDASIM": "1", "PYTEST_ADDOPTS": ""}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", str(SIMULATED)]
    result = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=280)
    assert result.returncode == 0, result.stdout + result.stderr
    assert " passed" in result.stdout
    assert "skipped" not in result.stdout


# --- choosing a device ---


def test_the_processor_needs_no_look_at_the_gpu(monkeypatch):
    monkeypatch.setattr(devices, "cuda_state", lambda: pytest.fail("looked for a GPU"))
    assert choose_device("cpu") == "cpu"
    with pytest.raises(ValueError, match="'gpu' is not one of cpu, cuda, auto"):
        choose_device("gpu")


def test_what_is_missing_is_said(monkeypatch):
    monkeypatch.setattr(devices, "cuda_state", lambda: CudaState("", "no NVIDIA driver"))
    assert choose_device("auto") == "cpu"
    with pytest.raises(DeviceError, match=r"device cuda cannot be used: no NVIDIA driver"):
        choose_device("cuda")
    with pytest.raises(ConfigurationError, match="no NVIDIA driver"):
        Mapper(MappingConfiguration(device="cuda"))
    assert Mapper(MappingConfiguration(device="auto")).statistics()["device"] == "cpu"
    monkeypatch.setattr(devices, "cuda_state", lambda: CudaState("GPU 9000", None))
    assert choose_device("auto") == choose_device("cuda") == "cuda"


@pytest.mark.parametrize(
    ("prepare", "expected"),
    [
        ("import importlib.util as u; find = u.find_spec; "
         "u.find_spec = lambda name, *a: None if name == 'numba_cuda' else find(name, *a)",
         "numba-cuda is not installed: pip install"),
        ("import os; os.environ['CUDA_VISIBLE_DEVICES'] = ''", "GPU|driver"),
    ],
)  # fmt: skip
@needs_numba_cuda
def test_looking_for_a_gpu_ends_in_a_sentence(prepare, expected):
    program = f"{prepare}\nfrom lira_ros.mapping.devices import cuda_state\nprint(cuda_state().problem)"
    result = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    assert re.search(expected, result.stdout), result.stdout


def test_failures_of_the_device_are_told_from_mistakes():
    class CUDAError(Exception):
        pass

    class OutOfMemory(CUDAError):
        pass

    assert is_device_failure(CUDAError("CUDA_ERROR_ILLEGAL_ADDRESS"))
    assert is_device_failure(OutOfMemory())
    assert not is_device_failure(ValueError("shape"))


# --- on a real GPU ---


def test_larger_frames_equal_the_processor_on_a_gpu(gpu):
    from lira_ros.mapping.cuda_volume import CudaVolume

    host, device = Volume(0.02, 0.08), CudaVolume(0.02, 0.08)
    frames = walk(12)
    for i, frame in enumerate(frames):
        labels = np.full(frame.depth_m.shape, i % 3, np.uint16)
        for volume in (host, device):
            volume.select(frame.depth_m, 0.1, 5.0)
            volume.integrate(frame.color, frame.camera, frame.T_map_camera, 5.0, labels=labels)
    # The GPU fuses multiplication and addition: rays that end within rounding of a border may take the other side.
    at = device.find(host.block_coordinates)
    assert (at >= 0).mean() > 0.999
    assert abs(device.block_count - host.block_count) <= 0.001 * host.block_count
    ours, theirs = device.records[at[at >= 0]], host.records[: host.block_count][at >= 0]
    close = np.abs(ours - theirs) <= 1e-4 * (1 + np.abs(theirs))
    assert close[:, voxel.TSDF].mean() > 0.999
    assert close.mean() > 0.999


def test_a_gpu_gives_the_same_map_each_time(gpu):
    from lira_ros.mapping.cuda_volume import CudaVolume

    maps = []
    for _ in range(2):
        volume = CudaVolume(0.02, 0.08)
        for frame in walk(4):
            volume.select(frame.depth_m, 0.1, 5.0)
            volume.integrate(frame.color, frame.camera, frame.T_map_camera, 5.0)
        maps.append((volume.block_coordinates.copy(), volume.records[: volume.block_count].copy()))
    np.testing.assert_array_equal(maps[0][0], maps[1][0])
    np.testing.assert_array_equal(maps[0][1], maps[1][1])


def test_a_mesh_of_a_gpu_equals_that_of_the_processor(gpu):
    from lira_ros.mapping.cuda_surface import draw_blocks
    from lira_ros.mapping.cuda_volume import CudaVolume
    from lira_ros.mapping.surface import SurfaceMesh

    base, part = Volume(0.04, 0.16), CudaVolume(0.04, 0.16)
    frame = walk(3)[0]
    part.select(scene_depth(CAMERA, frame.T_map_camera), 0.1, 5.0)
    part.integrate(frame.color, CAMERA, frame.T_map_camera, 5.0)
    offset = np.zeros(3, np.int64)
    meshes = []
    for draw in ({}, {"draw": draw_blocks}):
        surface = SurfaceMesh(0.5, **draw)
        surface.update(base, part, offset, part.block_coordinates)
        meshes.append(surface.mesh())
    assert len(meshes[0].triangles) == len(meshes[1].triangles) > 1000
    assert cKDTree(meshes[0].vertices).query(meshes[1].vertices)[0].max() < 1e-5


def test_views_of_a_gpu_equal_those_of_the_processor(gpu):
    from lira_ros.mapping import cuda_casting, cuda_views, views
    from lira_ros.mapping.cuda_volume import CudaVolume

    base, part = Volume(0.02, 0.08), CudaVolume(0.02, 0.08)
    frames = walk(6)
    for volume, half in ((base, frames[:3]), (part, frames[3:])):
        for frame in half:
            volume.select(frame.depth_m, 0.1, 5.0)
            volume.integrate(frame.color, CAMERA, frame.T_map_camera, 5.0)
    offset = np.zeros(3, np.int64)
    for ours, theirs in ((cuda_views.splat_view, views.splat_view), (cuda_casting.cast_view, views.cast_view)):
        found = ours(base, part, offset, CAMERA, frames[1].T_map_camera)
        expected = theirs(base, part, offset, CAMERA, frames[1].T_map_camera)
        seen = (found.depth_m > 0) & (expected.depth_m > 0)
        assert (seen == (expected.depth_m > 0)).mean() > 0.995
        assert seen.mean() > 0.5
        assert (np.abs(found.depth_m - expected.depth_m)[seen] < 1e-4).mean() > 0.99

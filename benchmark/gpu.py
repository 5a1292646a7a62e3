"""Compare the map on an NVIDIA GPU with the processor, and with the bandwidth of the GPU's memory.

Usage: python benchmark/gpu.py [--voxels 0.04 0.01] [--frames 100] [--scene kitchen|generated]

parity: the same frames on both; how many blocks are in both, and how many of their values agree within 1e-5 (of the
truncation distance, of the weight). frame: CudaVolume.integrate() with all copies, wall time until the GPU is done.
kernel: the integration kernel alone, by events on the GPU, against a native copy (of torch where it is installed) of
as many bytes as the kernel reads and writes: tsdf, weight and colour of all touched blocks, and the images. mesh:
drawing all of them. Without a usable GPU it says so and ends well.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from typing import Any

import numpy as np

from lira_ros.mapping.devices import cuda_state, simulated
from lira_ros.mapping.tsdf import Volume

FARTHEST_M, NEAREST_M, TRUNCATION_VOXELS = 4.0, 0.3, 4.0
# Of the 7 channels, labels and their confidence are only touched when a frame has labels.
CHANNELS_TOUCHED = 5
WARM_UP_FRAMES = 3


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--voxels", type=float, nargs="+", default=[0.04, 0.01], help="voxel sizes [m]")
    parser.add_argument("--frames", type=int, default=100, help="frames of the scene that are used")
    parser.add_argument("--scene", choices=("kitchen", "generated"), help="default: kitchen where it is found")
    return parser.parse_args()


class TimedKernel:
    """A kernel that notes events around each of its launches."""

    def __init__(self, kernel: Any) -> None:
        self._kernel = kernel
        self.events: list[tuple[Any, Any]] = []

    def __getitem__(self, configuration: tuple[int, int]) -> Any:
        from numba import cuda

        launch = self._kernel[configuration]

        def timed(*arguments: Any) -> None:
            start, end = cuda.event(), cuda.event()
            start.record()
            launch(*arguments)
            end.record()
            self.events.append((start, end))

        return timed

    def milliseconds(self) -> list[float]:
        """Return the time of each launch [ms]."""
        for _, end in self.events:
            end.synchronize()
        return [start.elapsed_time(end) for start, end in self.events]


def copy_ms(bytes_moved: int) -> tuple[str, float]:
    """Return who copies, and the time in which so many bytes are read and written altogether [ms]."""
    from numba import cuda

    values = max(bytes_moved // 8, 1)  # half is read and half is written, 4 bytes each
    start, end = cuda.event(), cuda.event()
    name = "numba"
    if importlib.util.find_spec("torch") is not None:
        import torch

        if torch.cuda.is_available():
            name = "torch"
    times = []
    if name == "torch":
        source, target = (torch.empty(values, dtype=torch.float32, device="cuda") for _ in range(2))
        for _ in range(20):
            torch_start, torch_end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            torch_start.record()
            target.copy_(source)
            torch_end.record()
            torch_end.synchronize()
            times.append(torch_start.elapsed_time(torch_end))
    else:
        there, here = cuda.device_array(values, np.float32), cuda.device_array(values, np.float32)
        for _ in range(20):
            start.record()
            here.copy_to_device(there)
            end.record()
            end.synchronize()
            times.append(start.elapsed_time(end))
    return name, float(np.median(times[5:]))


def print_parity(host: Volume, device: Volume) -> None:
    at = device.find(host.block_coordinates)
    both = at >= 0
    ours, theirs = device.records[at[both]][:, :2], host.records[: host.block_count][both][:, :2]
    close = np.abs(ours - theirs) <= 1e-5 * np.maximum(1.0, np.abs(theirs))
    largest = np.abs(ours - theirs)[:, 0].max()
    print(
        f"  parity: {both.mean():.4%} of {host.block_count} blocks in both, "
        f"{close.mean():.4%} of tsdf and weights within 1e-5, largest tsdf difference {largest:.2g}"
    )


def measure(frames: list, voxel_m: float) -> None:
    from numba import cuda

    from lira_ros.mapping import cuda_kernels, cuda_surface, surface
    from lira_ros.mapping.cuda_volume import CudaVolume

    untimed = cuda_kernels.integrate
    cuda_kernels.integrate = timed = TimedKernel(untimed)
    truncation_m = TRUNCATION_VOXELS * voxel_m
    host, device = Volume(voxel_m, truncation_m), CudaVolume(voxel_m, truncation_m)
    wall_ms: dict[str, list[float]] = {"processor": [], "GPU": []}
    touched = []
    try:
        for frame in frames:
            for name, volume in (("processor", host), ("GPU", device)):
                volume.select(frame.depth_m, NEAREST_M, FARTHEST_M)
                cuda.synchronize()
                started = time.perf_counter()
                blocks, _ = volume.integrate(frame.color, frame.camera, frame.T_map_camera, FARTHEST_M)
                cuda.synchronize()
                wall_ms[name].append(1e3 * (time.perf_counter() - started))
            touched.append(blocks)
    finally:
        cuda_kernels.integrate = untimed
    pixels = frames[0].depth_m.size
    print(f"{voxel_m} m voxels, {len(frames)} frames of {frames[0].camera.width_px} x {frames[0].camera.height_px}")
    print_parity(host, device)
    for name, times in wall_ms.items():
        late = np.array(times[WARM_UP_FRAMES:])
        print(f"  frame, {name}: {np.median(late):.3f} ms, p99 {np.percentile(late, 99):.3f}, max {late.max():.3f}")
    kernel_ms = float(np.median(timed.milliseconds()[WARM_UP_FRAMES:]))
    bytes_moved = int(np.median(touched[WARM_UP_FRAMES:])) * 512 * 4 * CHANNELS_TOUCHED * 2 + 8 * pixels
    copier, copied_ms = copy_ms(bytes_moved)
    print(
        f"  kernel: {kernel_ms:.3f} ms for {bytes_moved / 1e6:.1f} MB; {copier} copies them in {copied_ms:.3f} ms: "
        f"{kernel_ms / copied_ms:.2f} times the bandwidth limit"
    )
    nothing, offset = Volume(voxel_m, truncation_m, 1), np.zeros(3, np.int64)
    for name, draw, part in (
        ("processor", surface.draw_blocks, host),
        ("GPU", cuda_surface.draw_blocks, device),
    ):
        times = []
        for _ in range(3):
            mesh = surface.SurfaceMesh(1.5, draw)
            started = time.perf_counter()
            mesh.update(nothing, part, offset, part.block_coordinates)
            cuda.synchronize()
            times.append(1e3 * (time.perf_counter() - started))
        print(
            f"  mesh of {part.block_count} blocks, {name}: {min(times):.1f} ms, {len(mesh.mesh().triangles)} triangles"
        )


def main() -> None:
    options = arguments()
    state = cuda_state()
    if state.problem is not None:
        print(f"No GPU to measure: {state.problem}.")
        return
    if simulated():
        print("No GPU to measure: NUMBA_ENABLE_CUDASIM is set, and the simulator's times mean nothing.")
        return
    from mapping import KITCHEN, generated_frames, kitchen_frames

    scene = options.scene or ("kitchen" if KITCHEN.is_dir() else "generated")
    frames = (kitchen_frames if scene == "kitchen" else generated_frames)(options.frames)
    print(f"{state.name}, {scene}")
    for voxel_m in options.voxels:
        measure(frames, voxel_m)


if __name__ == "__main__":
    main()

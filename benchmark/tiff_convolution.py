"""Compare TIFF's twelve sparse layers over one neighbour table with finding the neighbours anew in each layer.

Usage: python benchmark/tiff_convolution.py [--voxels 1000 5000 20000] [--repeats 5]

The voxels are a floor and a wall, each three voxels thick; 64 channels, float32, one thread of the processor. What each
layer does to find the neighbours: `same search` makes the table as it is made once otherwise, `dictionary` looks each
of the 26 neighbours of a voxel up in a dict of Python, and `spconv` (only where it is installed) is spconv's own layer
without a key that layers share, the whole of it. All answers are compared first; ratios are medians over runs that
alternate, and above 1 where the shared table is faster.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import math
import os
import statistics
import time
from collections.abc import Callable

# Before PyTorch is imported: it reads it when it is. spconv's processor kernels are wrong with more than one thread.
os.environ["OMP_NUM_THREADS"] = "1"

import torch
from torch import Tensor

from lira_ros.fusion.tiff.network import SPARSE_LAYERS, VOXEL_LENGTH
from lira_ros.fusion.tiff.sparse_convolution import GatherConvolution, SpconvConvolution

# float32 over twelve layers, relative to the largest value; a wrong neighbour changes answers by as much as they are.
TOLERANCE = 1e-4
THICKNESS_VOXELS = 3

Layer = Callable[[Tensor, Tensor, Tensor], Tensor]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--voxels", type=int, nargs="+", default=[1000, 5000, 20000], help="voxels of a fragment")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each way")
    return parser.parse_args()


def floor_and_wall(count: int) -> Tensor:
    """Return about ``count`` voxels, (N, 3)."""
    side = max(THICKNESS_VOXELS + 1, round(math.sqrt(count / (2 * THICKNESS_VOXELS))))
    places = torch.cartesian_prod(*[torch.arange(side)] * 3)
    return places[(places[:, 0] < THICKNESS_VOXELS) | (places[:, 2] < THICKNESS_VOXELS)]


def looked_up(coordinates: Tensor) -> Layer:
    """Return a layer that looks each neighbour up in a dict."""
    voxels = [tuple(voxel) for voxel in coordinates.tolist()]
    rows = {voxel: row for row, voxel in enumerate(voxels)}

    def layer(features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        result = bias.repeat(len(voxels), 1)
        for x, y, z in itertools.product((-1, 0, 1), repeat=3):
            pairs = [
                (row, rows[place])
                for row, voxel in enumerate(voxels)
                if (place := (voxel[0] + x, voxel[1] + y, voxel[2] + z)) in rows
            ]
            if pairs:
                targets, sources = torch.tensor(pairs).T
                result.index_add_(0, targets, features[sources] @ weight[:, x + 1, y + 1, z + 1].T)
        return result

    return layer


def main() -> None:
    options = arguments()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    bound = 1.0 / math.sqrt(27 * VOXEL_LENGTH)
    weights = [
        (
            torch.empty(VOXEL_LENGTH, 3, 3, 3, VOXEL_LENGTH).uniform_(-bound, bound),
            torch.empty(VOXEL_LENGTH).uniform_(-bound, bound),
        )
        for _ in range(SPARSE_LAYERS)
    ]

    for count in options.voxels:
        coordinates = floor_and_wall(count)
        features = torch.randn(len(coordinates), VOXEL_LENGTH)
        # What makes the layer of a fragment or, below, of each layer.
        ways: dict[str, Callable[[], Layer]] = {
            "shared table": lambda places=coordinates: GatherConvolution(places),
            "same search": lambda places=coordinates: GatherConvolution(places),
            "dictionary": lambda places=coordinates: looked_up(places),
        }
        if importlib.util.find_spec("spconv") is not None:
            ways["spconv"] = lambda places=coordinates: SpconvConvolution(places)

        def run(way: str, ways: dict[str, Callable[[], Layer]] = ways, x: Tensor = features) -> tuple[Tensor, float]:
            begin = time.perf_counter()
            shared = ways[way]() if way == "shared table" else None
            for weight, bias in weights:
                x = x + torch.relu((shared or ways[way]())(x, weight, bias))
            return x, time.perf_counter() - begin

        with torch.inference_mode():
            expected = run("shared table")[0]
            for way in ways:
                difference = float((run(way)[0] - expected).abs().max() / expected.abs().max())
                if difference > TOLERANCE:
                    raise SystemExit(f"{way}: the answers differ by {difference:.1e} of the largest value")
            times: dict[str, list[float]] = {way: [] for way in ways}
            for _ in range(options.repeats):
                for way in ways:
                    times[way].append(run(way)[1])
        shared_s = statistics.median(times["shared table"])
        print(f"{len(coordinates)} voxels: shared table {1e3 * shared_s:.1f} ms for {SPARSE_LAYERS} layers")
        for way in list(ways)[1:]:
            ratio = statistics.median(
                other / shared for other, shared in zip(times[way], times["shared table"], strict=True)
            )
            print(f"  against {way} in each layer: {ratio:.2f} times as fast")


if __name__ == "__main__":
    main()

"""How long the table of relations takes: built at once, after one change, and against computing all pairs anew.

Boxes of furniture size are spread over a floor, two square metres each, as in a furnished home, half of the small ones
on the large ones. "All anew" is a new table of the same instances: what a change cost if nothing were kept. "Named"
asks for what is in, on, above and near for every pair within reach (what a language model is told), which is measured
when first asked for; "again" after one change. Times are of the processor. The same arguments give the same instances.

Run: python benchmark/relations.py [--counts 100 300 1000] [--repeats 20]
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import statistics
import time

import numpy as np
from numpy.typing import NDArray

from lira_ros.fusion.contracts import Instance, OrientedBox
from lira_ros.fusion.relation_table import RelationTable
from lira_ros.reasoning.measurement import measure

VOXEL_M = 0.02
UP = np.array([0.0, 0.0, 1.0])
VIEWER = np.array([0.0, 0.0, 1.5])
AREA_M2 = 2.0


def main() -> None:
    """Print one line a number of instances."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--counts", type=int, nargs="+", default=(100, 300, 1000))
    arguments.add_argument("--repeats", type=int, default=20, help="changes of one instance")
    options = arguments.parse_args()
    RelationTable().update(furnished(4, 0))  # compile
    print(
        f"{'instances':>9}{'all anew ms':>13}{'one changed ms':>16}{'ratio':>8}{'named ms':>10}{'named again ms':>16}"
    )
    for count in options.counts:
        print(line(count, options.repeats), flush=True)


def line(count: int, repeats: int) -> str:
    """Measure one number of instances."""
    instances = furnished(count, 1)
    table = RelationTable()
    table.look_from(UP, VIEWER)
    full_ms = timed_ms(lambda: table.update(instances))
    changes = []
    for repeat in range(repeats):
        place = repeat * 7 % count
        instances[place] = dataclasses.replace(instances[place], voxels=instances[place].voxels + np.int32([1, 0, 0]))
        changes.append(timed_ms(lambda: table.update(instances)))
    change_ms = statistics.median(changes)
    named_ms = timed_ms(lambda: table.relations_of(instances, count))
    instances[0] = dataclasses.replace(instances[0], voxels=instances[0].voxels + np.int32([0, 1, 0]))
    table.update(instances)
    again_ms = timed_ms(lambda: table.relations_of(instances, count))
    ratio = full_ms / change_ms
    return f"{count:16d}{full_ms:16.1f}{change_ms:16.2f}{ratio:16.0f}{named_ms:16.0f}{again_ms:16.1f}"


def timed_ms(function: object) -> float:
    """Return how long a call takes [ms]."""
    assert callable(function)
    began_s = time.process_time()
    function()
    return 1e3 * (time.process_time() - began_s)


def furnished(count: int, seed: int) -> list[Instance]:
    """Return boxes on a floor and on one another."""
    random = np.random.default_rng(seed)
    side_m = math.sqrt(AREA_M2 * count)
    instances: list[Instance] = []
    for number in range(1, count + 1):
        small = number % 2 == 0
        size = random.uniform(0.08, 0.4, 3) if small else random.uniform(0.4, 1.6, 3)
        center, bottom = random.uniform(0.0, side_m, 2), 0.0
        if small and number % 4 == 0:
            below = instances[-1].box
            center, bottom = below.T_map_box[:2, 3], float(below.T_map_box[2, 3] + 0.5 * below.size_m[2])
        instances.append(box(number, np.append(center, bottom + 0.5 * size[2]), size, bottom))
    return instances


def box(number: int, center: NDArray[np.float64], size: NDArray[np.float64], bottom: float) -> Instance:
    """Return the surface of a box as an instance."""
    low = center - 0.5 * size
    grid = np.stack(np.meshgrid(*(np.arange(0.0, s, VOXEL_M) for s in size), indexing="ij"), axis=-1).reshape(-1, 3)
    shell = ((grid < VOXEL_M) | (grid > size - 2 * VOXEL_M)).any(axis=1)
    voxels = np.unique(np.rint((low + grid[shell]) / VOXEL_M).astype(np.int32), axis=0)
    colors = np.full((len(voxels), 3), 128, dtype=np.uint8)
    pose = np.eye(4)
    pose[:3, 3] = center
    support = "surface" if bottom > 0.0 else "floor"
    attributes = measure((voxels * VOXEL_M).astype(np.float32), colors, UP, 0.0, support)
    return Instance(
        id=number,
        label="box",
        label_confidence=1.0,
        existence=1.0,
        attributes=attributes,
        box=OrientedBox(pose, size),
        voxel_size_m=VOXEL_M,
        voxels=voxels,
        voxel_colors=colors,
        first_seen_ns=0,
        last_seen_ns=0,
        observations=10,
    )


if __name__ == "__main__":
    main()

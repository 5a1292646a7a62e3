"""Time the fusion of one keyframe: 640 x 480, about 30 candidates in view, 100 instances in the map, one core.

Processor time is counted, so that other work on the machine does not matter.

Run: NUMBA_NUM_THREADS=1 OMP_NUM_THREADS=1 python benchmark/fusion.py
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "test" / "fusion"))
from box_scene import Box, answer, keyframe, true_masks

from lira_ros.fusion.configuration import FusionConfiguration
from lira_ros.fusion.instance_fusion import InstanceFusion
from lira_ros.geometry.camera import Camera

CAMERA = Camera(640, 480, 525.0, 525.0, 319.5, 239.5)
TARGET_MS = 60.0
GRID = 10
PITCH_M = 0.45


def boxes() -> list[Box]:
    rng = np.random.default_rng(0)
    found = []
    for i in range(GRID * GRID):
        x, y = (i // GRID - GRID / 2) * PITCH_M, (i % GRID - GRID / 2) * PITCH_M
        width, depth, height = rng.uniform(0.15, 0.32, 3)
        found.append(Box(i + 1, (x, y, 0.0), (x + width, y + depth, height)))
    return found


def main() -> None:
    scene, fusion = boxes(), InstanceFusion(FusionConfiguration())
    milliseconds, candidates = [], []
    rng = np.random.default_rng(1)
    for i in range(40):
        angle = 0.35 * i
        position = (1.6 * np.cos(angle), 1.6 * np.sin(angle), 1.7)
        target = (0.5 * np.cos(angle + 1.5 * rng.random()), 0.5 * np.sin(angle), 0.0)
        key, ids = keyframe(i + 1, scene, position, target, camera=CAMERA)
        made = answer(key, true_masks(ids, smallest_px=900))
        start = time.process_time()
        fusion.add_keyframe(key)
        fusion.add_candidates(made)
        fusion.instances()  # publication happens when somebody asks
        milliseconds.append(1e3 * (time.process_time() - start))
        candidates.append(len(made.candidates))
    warm = np.array(milliseconds[20:])
    statistics = fusion.statistics()
    print(f"instances {statistics.published}, voxels {statistics.voxels}, candidates {np.mean(candidates[20:]):.0f}")
    print(
        f"fused and published: p50 {np.median(warm):.1f} ms, p95 {np.percentile(warm, 95):.1f} ms",
        end=" ",
    )
    print(f"(target {TARGET_MS:.0f} ms: {'met' if np.median(warm) <= TARGET_MS else 'missed'})")


if __name__ == "__main__":
    main()

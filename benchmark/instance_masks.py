"""Measure the masks between keyframes: instances of generated homes drawn into the frames that no model saw.

The oracle answers the keyframes, so that what is measured is the drawing; frames that became keyframes are left out.
Looking the measured depth up is compared with drawing the surface of the map (Mapper.view), in quality and in time.
Run it from the repository root: python benchmark/instance_masks.py [--rooms 3 5] [--seconds 25] [--pose-errors drift]
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

from lira_ros.datasets.rooms.sequence import RoomSequence
from lira_ros.evaluation.runner import ground_truth
from lira_ros.mapping.instance_layer import InstanceLayer
from lira_ros.mapping.precompile import warm_up
from lira_ros.pipeline.pipeline import Pipeline, PipelineConfiguration
from lira_ros.reasoning.oracle import OracleReasoner
from lira_ros.reasoning.relevance import Relevance

# Frames at the beginning, when hardly anything is mapped.
FIRST_FRAMES = 20
# A sliver at the border of the image says nothing of the drawing.
MIN_PIXELS = 200


def overlaps(ids: NDArray[np.integer], truth: NDArray[np.integer]) -> list[tuple[float, float, float]]:
    """Return IoU, precision and recall of every instance drawn, against the object that it shows most."""
    found = []
    for number in np.unique(ids[ids > 0]):
        mask = ids == number
        if np.count_nonzero(mask) < MIN_PIXELS:
            continue
        thing = np.bincount(truth[mask]).argmax()
        true = truth == thing if thing else np.zeros_like(mask)
        both = np.count_nonzero(mask & true)
        whole = np.count_nonzero(mask | true)
        found.append((both / whole, both / np.count_nonzero(mask), both / max(1, np.count_nonzero(true))))
    return found


def measure(seed: int, seconds: float, pose_errors: str) -> None:
    """Walk through one home and print how well and how fast the instances are drawn."""
    sequence = RoomSequence(seed, rate_hz=4.0, duration_s=seconds, pose_errors=pose_errors)
    truth, relevance = ground_truth(sequence), Relevance(None)
    reasoner = OracleReasoner(truth.instance_image, truth.objects, relevance)
    pipeline = Pipeline(PipelineConfiguration(), reasoner, relevance)
    pipeline.submit("all things")
    layer = InstanceLayer(pipeline.mapper.configuration.voxel_size_m)
    quality: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    times_s: dict[str, list[float]] = defaultdict(list)
    for index in range(len(sequence)):
        frame, image = sequence.frame(index), sequence.instance_image(index)
        instances = {item.id: item.voxels for item in pipeline.map.fusion.instances()}
        update, _ = pipeline.add_frame(frame)
        if index < FIRST_FRAMES or update.keyframe is not None:
            continue
        for number in set(layer.ids()) - set(instances):
            layer.remove(number)
        for number, voxels in instances.items():
            layer.set(number, voxels)
        began_s = time.thread_time()
        looked_up = layer.look_up_depth(frame.depth_m, frame.camera, frame.T_map_camera)
        between_s = time.thread_time()
        drawn = pipeline.mapper.view(frame.camera, frame.T_map_camera, instances=layer).instance_ids
        times_s["depth looked up"].append(between_s - began_s)
        times_s["surface drawn"].append(time.thread_time() - between_s)
        for name, ids in (("depth looked up", looked_up), ("surface drawn", drawn)):
            quality[name] += overlaps(ids, image)
    print(f"room:{seed}, {seconds:g} s, pose errors {pose_errors}")
    for name, values in quality.items():
        iou, precision, recall = np.mean(values, axis=0)
        print(
            f"  {name}: {len(values)} masks, IoU {iou:.3f} (median {np.median(values, axis=0)[0]:.3f}), precision "
            f"{precision:.3f}, recall {recall:.3f}, {1e3 * np.median(times_s[name]):.1f} ms of 640x480"
        )
    ratio = np.median(times_s["depth looked up"]) / np.median(times_s["surface drawn"])
    print(f"  time of looking up / drawing: {ratio:.2f}")


def main() -> None:
    """Measure the homes of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rooms", type=int, nargs="+", default=[3, 5])
    parser.add_argument("--seconds", type=float, default=25.0)
    parser.add_argument("--pose-errors", default="none", choices=["none", "noise", "drift"])
    arguments = parser.parse_args()
    warm_up("cpu")
    for seed in arguments.rooms:
        measure(seed, arguments.seconds, arguments.pose_errors)


if __name__ == "__main__":
    main()

"""Measure the masks that DepthSegmenter makes of true and of jittered boxes, against the box itself and plain GrabCut.

Rendered homes (split "train" with --tune, else "validation"), real table scenes and a real office kitchen (of both,
one half with --tune, the other half without). Prints the mean intersection over union, and as ratios to the box and to
GrabCut on colours, the processor time of a mask as a ratio to GrabCut. Masks of real pictures are compared where they
have depth, for only there is truth. Run it from the repository root: python benchmark/depth_segmentation.py [--tune]
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Callable, Iterator

import cv2
import numpy as np
from numpy.typing import NDArray
from proposals import DATA, kitchen, mosd

from lira_ros.datasets.rooms import RoomSequence
from lira_ros.geometry.frame import Keyframe
from lira_ros.reasoning.segmentation.contracts import RegionPrompt
from lira_ros.reasoning.segmentation.depth import DepthSegmenter

SEEDS = {True: range(3, 7), False: range(1003, 1007)}
FRAMES = 5
MIN_PIXELS = 500
JITTER = 0.1  # of the box's width and height, uniform for each side
Box = tuple[float, float, float, float]
Mask = NDArray[np.bool_]
# Keyframe, true mask, where truth is known.
Case = tuple[Keyframe, Mask, Mask]


def rooms(tune: bool) -> Iterator[Case]:
    for seed in SEEDS[tune]:
        sequence = RoomSequence(seed, rate_hz=2.0)
        for index in np.linspace(2, len(sequence) - 2, FRAMES).astype(int):
            keyframe = Keyframe(1, sequence.frame(int(index)), np.array([0.0, 0.0, 1.0]), 0.0)
            ids = sequence.instance_image(int(index))
            assert ids is not None
            for number in np.unique(ids[ids > 0]):
                yield keyframe, ids == number, np.ones(ids.shape, dtype=np.bool_)


def real(samples: Iterator[tuple[str, Keyframe, dict[str, Mask]]], step: int, first: int) -> Iterator[Case]:
    for number, (_, keyframe, truth) in enumerate(samples):
        if number % step == first:
            depth_m = keyframe.frame.depth_m
            for mask in truth.values():
                yield keyframe, mask, (depth_m > 0) & (depth_m < 4.0)


def box_of(mask: Mask) -> Box:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def jittered(box: Box, shape: tuple[int, ...], random: np.random.Generator) -> Box:
    size = np.array([box[2] - box[0], box[3] - box[1]])
    moved = np.array(box) + random.uniform(-JITTER, JITTER, 4) * np.tile(size, 2)
    left, top, right, bottom = np.clip(moved, 0, [shape[1], shape[0]] * 2)
    return float(left), float(top), float(right), float(bottom)


def box_mask(keyframe: Keyframe, box: Box) -> Mask:
    mask = np.zeros(keyframe.frame.depth_m.shape, dtype=np.bool_)
    left, top, right, bottom = np.round(box).astype(int)
    mask[top:bottom, left:right] = True
    return mask


def grabcut_mask(keyframe: Keyframe, box: Box) -> Mask:
    """Cut the colours of the whole picture by OpenCV's own box mode."""
    labels = np.zeros(keyframe.frame.depth_m.shape, dtype=np.uint8)
    left, top, right, bottom = np.round(box).astype(int)
    cv2.setRNGSeed(0)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    image = np.ascontiguousarray(keyframe.frame.color)
    cv2.grabCut(image, labels, (left, top, right - left, bottom - top), *models, 3, cv2.GC_INIT_WITH_RECT)
    return (labels & 1) > 0


def main() -> None:
    """Measure all sets that are there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tune", action="store_true", help="the homes and pictures on which constants are chosen")
    tune = parser.parse_args().tune
    cv2.setNumThreads(1)
    sets = {"homes": rooms(tune)}
    if DATA.is_dir():
        sets["tables"] = real(mosd(), 2, 0 if tune else 1)
        sets["kitchen"] = real(kitchen(), 8, 0 if tune else 4)
    segmenter = DepthSegmenter()

    def ours(keyframe: Keyframe, box: Box) -> Mask:
        return segmenter.segment([(keyframe, [RegionPrompt(box)])])[0][0].mask

    def without_depth(keyframe: Keyframe, box: Box) -> Mask:
        frame = dataclasses.replace(keyframe.frame, depth_m=np.zeros_like(keyframe.frame.depth_m))
        return ours(dataclasses.replace(keyframe, frame=frame), box)

    makers: dict[str, Callable[[Keyframe, Box], Mask]] = {
        "box": box_mask,
        "GrabCut": grabcut_mask,
        "without depth": without_depth,
        "DepthSegmenter": ours,
    }
    for name, cases in sets.items():
        random = np.random.default_rng(0)
        overlaps: dict[str, list[tuple[float, float]]] = {maker: [] for maker in makers}
        times_s = dict.fromkeys(makers, 0.0)
        for keyframe, truth, known in cases:
            if np.count_nonzero(truth) < MIN_PIXELS:
                continue
            boxes = (box_of(truth), jittered(box_of(truth), truth.shape, random))
            for maker, make in makers.items():
                start = time.process_time()
                masks = [make(keyframe, box) & known for box in boxes]
                times_s[maker] += time.process_time() - start
                exact, moved = (float((mask & truth).sum() / (mask | truth).sum()) for mask in masks)
                overlaps[maker].append((exact, moved))
        means = {maker: np.mean(values, axis=0) for maker, values in overlaps.items()}
        print(f"{name}: {len(overlaps['box'])} things, boxes exact / moved by up to {100 * JITTER:.0f} %")
        for maker, (exact, moved) in means.items():
            ratios = "; ".join(
                f"to {peer} {exact / means[peer][0]:.2f} / {moved / means[peer][1]:.2f}" for peer in ("box", "GrabCut")
            )
            share = times_s[maker] / times_s["GrabCut"]
            print(f"  {maker:16s} IoU {exact:.3f} / {moved:.3f}; {ratios}; time to GrabCut {share:.2f}")


if __name__ == "__main__":
    main()

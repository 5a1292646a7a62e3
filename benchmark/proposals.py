"""Measure the instance proposals of the compact back end on labelled real images.

Prints the recall of annotated objects at several IoU, the number of proposals and the time of a keyframe.
Run it from the repository root: python benchmark/proposals.py [--overlays FOLDER]
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lira_ros.geometry.camera import Camera
from lira_ros.geometry.depth import meters_from_millimeters, normals_camera
from lira_ros.geometry.frame import Frame, Keyframe
from lira_ros.reasoning.compact.proposals import Proposal, propose_instances

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
THRESHOLDS = (0.25, 0.5, 0.75)
KITCHEN_MIN_PIXELS = 1500
KITCHEN_FLOOR_M = -1.55


def _image(path: Path) -> NDArray[np.uint8]:
    return np.ascontiguousarray(cv2.imread(str(path))[..., ::-1])


def _depth(path: Path) -> NDArray[np.float32]:
    return meters_from_millimeters(cv2.imread(str(path), cv2.IMREAD_UNCHANGED))


def up_of_table(depth_m: NDArray[np.float32], camera: Camera) -> NDArray[np.float64]:
    """Estimate up in the camera frame from the table that fills most of the image."""
    normals = normals_camera(depth_m, camera).reshape(-1, 3)
    normals = normals[normals[:, 1] < -0.2].astype(np.float64)
    up = np.median(normals, axis=0)
    for degrees in (25.0, 15.0, 8.0):
        up /= np.linalg.norm(up)
        up = normals[normals @ up > np.cos(np.radians(degrees))].mean(axis=0)
    return up / np.linalg.norm(up)


def tabletop_keyframes(folder: Path, camera: Camera) -> Iterator[tuple[str, Keyframe]]:
    for path in sorted(folder.glob("*.color.png")):
        name = path.name.split(".")[0]
        depth_m = _depth(folder / f"{name}.depth.png")
        frame = Frame(0, _image(path), depth_m, camera, np.eye(4))
        yield name, Keyframe(1, frame, up_of_table(depth_m, camera), float("nan"))


def mosd() -> Iterator[tuple[str, Keyframe, dict[str, NDArray[np.bool_]]]]:
    folder = DATA / "mosd_tabletop_instances"
    for name, keyframe in tabletop_keyframes(folder, Camera(640, 480, 525.0, 525.0, 319.5, 239.5)):
        label = cv2.imread(str(folder / f"{name}.label.png"), cv2.IMREAD_UNCHANGED).astype(int)
        truth = {f"object {i}": label // 10 == i for i in np.unique(label[label >= 20] // 10)}
        yield name, keyframe, truth


def kitchen() -> Iterator[tuple[str, Keyframe, dict[str, NDArray[np.bool_]]]]:
    folder = DATA / "hololens_kitchen"
    matrix = np.loadtxt(folder / "K.txt")
    camera = Camera(540, 360, matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2])
    poses = np.loadtxt(folder / "poses.txt").reshape(-1, 4, 4)
    labels = {item["id"]: item["label"] for item in json.loads((folder / "objects_weak.json").read_text())["objects"]}
    for index, name in enumerate((folder / "frames.txt").read_text().split()):
        depth_m = _depth(folder / "depth" / f"{name}.png")
        frame = Frame(index, _image(folder / "images" / f"{name}.png"), depth_m, camera, poses[index])
        image = cv2.imread(str(folder / "instances_weak" / f"{name}.png"), cv2.IMREAD_UNCHANGED)
        truth = {}
        for identifier, label in labels.items():
            mask = image == identifier
            inner = mask[4:-4, 4:-4].sum()
            if inner >= KITCHEN_MIN_PIXELS and mask.sum() - inner < 0.01 * inner:
                truth[label] = mask
        yield name, Keyframe(index + 1, frame, np.array([0.0, 1.0, 0.0]), KITCHEN_FLOOR_M), truth


def overlay(keyframe: Keyframe, proposals: list[Proposal]) -> NDArray[np.uint8]:
    """Draw the proposals over the image, the best on top."""
    image = keyframe.frame.color.copy()
    palette = np.random.default_rng(3).integers(40, 255, (len(proposals) + 1, 3)).astype(np.uint8)
    for proposal, color in reversed(list(zip(proposals, palette, strict=False))):
        mask = proposal.mask
        image[mask] = (0.55 * image[mask] + 0.45 * color).astype(np.uint8)
        contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        cv2.drawContours(image, contours, -1, [int(c) for c in color], 2 if proposal.kind == "plane" else 1)
    return image


def measure(title: str, samples: Iterator[tuple[str, Keyframe, dict[str, NDArray[np.bool_]]]], folder: Path | None):
    """Print recall, proposals and time for one set of labelled keyframes."""
    best: dict[str, list[float]] = defaultdict(list)
    counts, times = [], []
    for name, keyframe, truth in samples:
        start = time.process_time()
        proposals = propose_instances(keyframe)
        times.append(1000 * (time.process_time() - start))
        counts.append(len(proposals))
        # Labels exist only where there is depth within 4 m.
        depth_m = keyframe.frame.depth_m
        known = (depth_m > 0) & (depth_m < 4.0)
        for label, mask in truth.items():
            overlaps = [
                float((p.mask & mask).sum() / ((p.mask & known) | mask).sum())
                for p in proposals
                if (p.mask & mask).any()
            ]
            best[label if title == "kitchen" else name].append(max(overlaps, default=0.0))
        if folder is not None:
            cv2.imwrite(str(folder / f"{title}-{name}.png"), overlay(keyframe, proposals)[..., ::-1])
    print(
        f"{title}: {len(times)} images, {np.mean(counts):.1f} proposals, "
        f"processor time {np.median(times):.0f} ms (median), {np.percentile(times, 95):.0f} ms (95 %)"
    )
    print(f"  {'':38s} {'n':>4s} " + " ".join(f"@{t:.2f}" for t in THRESHOLDS))
    rows = [*best.items(), ("all", [value for values in best.values() for value in values])]
    for label, values in rows:
        recall = " ".join(f"{np.mean(np.array(values) >= t):5.2f}" for t in THRESHOLDS)
        print(f"  {label:38s} {len(values):4d} {recall}")


def main() -> None:
    """Measure all sets that are there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--overlays", type=Path, help="write one picture per keyframe into this folder")
    options = parser.parse_args()
    if not DATA.is_dir():
        raise SystemExit(f"{DATA} is not there: nothing to measure")
    if options.overlays is not None:
        options.overlays.mkdir(parents=True, exist_ok=True)
    measure("mosd", mosd(), options.overlays)
    measure("kitchen", kitchen(), options.overlays)


if __name__ == "__main__":
    main()

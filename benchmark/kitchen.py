"""Compare the mesh of a real kitchen with that of Open3D's VoxelBlockGrid, and draw both.

Usage: python benchmark/kitchen.py [--frames 125] [--picture docs/images/kitchen_surface.jpg]

Needs the recording that the tests use, beside the repository. There is no truth here: what is measured is how far the
two surfaces are apart (mean of the two mean distances), once with the same camera matrix for both, once with each in
its own convention of pixel centres (at integers in ROS and OpenCV, at +0.5 in Open3D).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import accuracy
import cv2
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lira_ros.datasets import open_sequence
from lira_ros.evaluation.surfaces import compare_meshes, distance_to_mesh
from lira_ros.geometry.camera import Camera
from lira_ros.geometry.rasterizer import rasterize

KITCHEN = Path(__file__).resolve().parents[2] / "shared" / "data" / "hololens_kitchen"
VOXEL_M = 0.02
PANEL = Camera(620, 560, 560.0, 560.0, 309.5, 279.5)
# Three quarters from above, so that no wall hides the room.
EYE_FROM_MIDDLE_M = np.array([-1.6, 4.3, 3.6])
FARTHEST_COLOR_M = 0.005
BACKGROUND = 250


def view_of(vertices: np.ndarray) -> np.ndarray:
    """Return T_map_camera (4, 4) of a camera that sees the middle of the kitchen from above; +y is up there."""
    middle = np.median(vertices, axis=0)
    T = np.eye(4)
    z = -EYE_FROM_MIDDLE_M / np.linalg.norm(EYE_FROM_MIDDLE_M)
    x = np.cross(z, (0.0, 1.0, 0.0))
    x /= np.linalg.norm(x)
    T[:3, :3] = np.stack([x, np.cross(z, x), z], axis=1)
    T[:3, 3] = middle + EYE_FROM_MIDDLE_M
    return T


def draw(mesh: tuple[np.ndarray, np.ndarray], T: np.ndarray, colors: np.ndarray | None = None) -> np.ndarray:
    """Return a picture of a mesh, lit from the camera; colors: (V, 3) in 0 to 1, grey where not given."""
    vertices, triangles = mesh
    raster = rasterize(vertices, triangles, PANEL, T)
    hit = raster.triangle >= 0
    corners = triangles[raster.triangle[hit]]
    a, b, c = (vertices[corners[:, k]].astype(float) for k in range(3))
    normals = np.cross(b - a, c - a)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    light = 0.35 + 0.65 * np.abs(normals @ (T[:3, :3] @ np.array([0.3, -0.5, -0.8])))
    base = np.full((len(corners), 3), 0.86)
    if colors is not None:
        base = (colors[corners] * raster.barycentric[hit][:, :, None]).sum(axis=1)
    picture = np.full((*hit.shape, 3), BACKGROUND, np.uint8)
    picture[hit] = np.clip(255 * base * light[:, None], 0, 255).astype(np.uint8)
    return picture


def compose(path: Path, panels: list[tuple[str, np.ndarray]], legend: str) -> None:
    font = ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), 17)
    height, width = panels[0][1].shape[:2]
    sheet = Image.new("RGB", (width * len(panels), height + 64), (BACKGROUND,) * 3)
    pen = ImageDraw.Draw(sheet)
    for i, (title, picture) in enumerate(panels):
        sheet.paste(Image.fromarray(picture), (i * width, 34))
        pen.text((i * width + 12, 8), title, fill=(28, 30, 34), font=font)
    ramp = matplotlib.colormaps["viridis"](np.linspace(0, 1, 240))[None, :, :3]
    left = width * (len(panels) - 1) + 12
    sheet.paste(Image.fromarray(np.repeat((255 * ramp).astype(np.uint8), 14, axis=0)), (left, height + 40))
    pen.text((left + 250, height + 36), legend, fill=(28, 30, 34), font=font)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.asarray(sheet)[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])
    print(f"wrote {path}: {sheet.width} x {sheet.height}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--frames", type=int, default=125, help="frames of the recording that are used")
    parser.add_argument("--picture", type=Path, help="also draw both surfaces into this file")
    options = parser.parse_args()
    if not KITCHEN.is_dir():
        raise SystemExit("The recording hololens_kitchen is not beside the repository: nothing to compare")
    sequence = open_sequence(KITCHEN)
    frames = [sequence.frame(i) for i in range(min(options.frames, len(sequence)))]
    own = accuracy.own_mesh(frames, VOXEL_M, {})
    rules = accuracy.own_mesh(frames, VOXEL_M, {"integration": "open3d"})
    same, shifted = (accuracy.open3d_mesh(frames, VOXEL_M, 0.5, shift) for shift in (0.0, 0.5))
    print(f"{len(frames)} frames, voxels of {100 * VOXEL_M:g} cm; everything that was seen once is drawn")
    print(f"{'surfaces':<58}{'ours to it':>12}{'it to ours':>12}{'chamfer mm':>12}{'median':>9}")
    for name, mesh, other in (
        ("defaults, Open3D with pixel centres in its convention", own, shifted),
        ("defaults, Open3D with the matrix of ROS as it is", own, same),
        ("integration open3d, the same matrix", rules, same),
        ("Open3D with one matrix and the other", same, shifted),
    ):
        score = compare_meshes(*mesh, *other)
        median = np.median(np.concatenate([score.error_m, score.missing_m]))
        print(
            f"{name:<58}{1e3 * score.error_m.mean():>12.2f}{1e3 * score.missing_m.mean():>12.2f}"
            f"{1e3 * score.chamfer_m:>12.2f}{1e3 * median:>9.2f}"
        )
    if options.picture is not None:
        T = view_of(own[0])
        apart = distance_to_mesh(own[0], *shifted, reach_m=0.05)
        colors = matplotlib.colormaps["viridis"](apart / FARTHEST_COLOR_M)[:, :3]
        panels = [
            ("Open3D VoxelBlockGrid", draw(shifted, T)),
            ("lira_ros", draw(own, T)),
            ("lira_ros, by distance from Open3D's surface", draw(own, T, colors)),
        ]
        compose(options.picture, panels, f"0 to {1e3 * FARTHEST_COLOR_M:g} mm and more")


if __name__ == "__main__":
    main()

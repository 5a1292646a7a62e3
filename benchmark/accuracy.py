"""Measure how close the mesh comes to a scene that is known exactly, beside Open3D's VoxelBlockGrid.

Usage: python benchmark/accuracy.py [--scenes 0 1] [--voxels 0.04 0.02 0.01] [--images noisy exact]
       [--set weighting=constant mesh_weight=1.0] [--set ...] [--frames 160]

Each --set adds a row with the mapper's defaults changed by its values. Scene 0 is a room of 5 x 4 x 2.6 m with a table,
boxes, spheres and cylinders; every other number draws another room, so that nothing is tuned on one scene only.
160 frames of 640 x 480 are traced analytically on a walk with exact poses. Pixel centres are at integers (OpenCV, ROS),
depth is in whole millimetres. "noisy" adds axial noise of 1.2 mm + 1.9 mm (z - 0.4)^2 (Nguyen et al. 2012), a
jitter of the rays of half a pixel (Handa et al., ICRA 2014) and drop-out at grazing angles.

error: distance of points spread over the mesh from the analytic surface. missing: distance of the points of the scene
that were seen in 5 frames from the mesh. F-score: harmonic mean of what is nearer than 5 or 1 cm both ways. Everything
is drawn from fixed seeds; the same frames go to all.
"""

from __future__ import annotations

import argparse
import math
import os
from dataclasses import dataclass

# Before numba and Open3D start their threads: what is measured here is not time.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numba
import numpy as np

from lira_ros.configuration import build, parameters_of
from lira_ros.evaluation.surfaces import SurfaceScore, distance_to_mesh, sample_mesh
from lira_ros.geometry.camera import Camera
from lira_ros.geometry.depth import noise_m
from lira_ros.geometry.frame import Frame
from lira_ros.mapping.configuration import MappingConfiguration
from lira_ros.mapping.mapper import Mapper

CAMERA = Camera(640, 480, 525.0, 525.0, 319.5, 239.5)  # the nominal calibration of a Kinect (OpenNI)
NEAREST_M, FARTHEST_M, TRUNCATION_VOXELS = 0.3, 4.0, 4.0
# Open3D draws no surface below three observations, unless told otherwise.
OPEN3D_WEIGHT = 3.0
JITTER_PX = 0.5
# Nothing is lost when a surface faces the camera within 70 degrees, everything beyond 82 (Nguyen et al. 2012 could
# measure up to about 80).
GRAZING_COS, LOST_COS = math.cos(math.radians(70.0)), math.cos(math.radians(82.0))
SAMPLES = 200_000
SEEN_SAMPLES = 60_000
SEEN_FRAMES = 5


@dataclass(frozen=True)
class Scene:
    """A room with the origin in the middle of its floor, z up, and solids in it.

    half: (3,) half size of the room [m]. boxes: (B, 8) centre, half size, cosine and sine of the turn about z.
    spheres: (S, 4) centre, radius. cylinders: (C, 5) centre, radius, half height; upright.
    """

    half: np.ndarray
    boxes: np.ndarray
    spheres: np.ndarray
    cylinders: np.ndarray

    def arrays(self) -> tuple[np.ndarray, ...]:
        """Return the arrays in the order in which the tracer takes them."""
        return self.half, self.boxes, self.spheres, self.cylinders


def make_scene(number: int) -> Scene:
    """Draw a room: the size of number 0 is given, that of others is drawn too."""
    rng = np.random.default_rng(1000 + number)
    size = np.array([5.0, 4.0, 2.6]) if number == 0 else rng.uniform((3.5, 3.0, 2.3), (6.0, 4.5, 3.0))
    half = 0.5 * size
    boxes: list[list[float]] = []

    def box(centre, halves, turn_rad):
        boxes.append([*centre, *halves, math.cos(turn_rad), math.sin(turn_rad)])

    # A table with a thin top and four legs, and things on it.
    turn = rng.uniform(0, math.pi)
    place = rng.uniform(-0.15, 0.15, 2) * size[:2]
    across = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    box((*place, 0.72), (0.6, 0.4, 0.018), turn)
    for x, y in ((-0.54, -0.34), (-0.54, 0.34), (0.54, -0.34), (0.54, 0.34)):
        box((*(place + across @ (x, y)), 0.351), (0.025, 0.025, 0.351), turn)
    spheres = [[*(place + across @ rng.uniform((-0.45, -0.3), (-0.1, 0.3))), 0.738 + 0.09, 0.09]]
    cylinders = [[*(place + across @ rng.uniform((0.0, -0.3), (0.2, 0.3))), 0.738 + 0.06, 0.04, 0.06]]
    things = rng.uniform((0.3, -0.3), (0.5, 0.3))
    box((*(place + across @ things), 0.738 + 0.05), (0.07, 0.04, 0.05), rng.uniform(0, math.pi))
    # Along the walls: boxes, cylinders and spheres on the floor, spheres and a board on the walls.
    for _ in range(5):
        halves = rng.uniform((0.12, 0.12, 0.1), (0.4, 0.3, 0.6))
        wall = rng.uniform((-1, -1), (1, 1))
        wall /= np.abs(wall).max()
        box((*(wall * (half[:2] - 0.55)), halves[2]), halves, rng.uniform(0, math.pi))
    for _ in range(3):
        radius, height = rng.uniform(0.06, 0.25), rng.uniform(0.15, 0.6)
        cylinders.append([*rng.uniform(-0.8, 0.8, 2) * half[:2], height, radius, height])
    for _ in range(3):
        radius = rng.uniform(0.1, 0.3)
        spheres.append([*rng.uniform(-0.8, 0.8, 2) * half[:2], radius, radius])
    box((rng.uniform(-0.5, 0.5) * half[0], half[1] - 0.12, 1.5), (0.5, 0.12, 0.012), 0.0)
    return Scene(half, np.array(boxes), np.array(spheres), np.array(cylinders))


@numba.njit(cache=True, error_model="numpy")
def trace(o, d, half, boxes, spheres, cylinders):
    """Return the first t > 0 with o + t d on a surface, and the cosine between the ray and its normal."""
    best = np.inf
    cosine = 0.0
    length = math.sqrt(d[0] * d[0] + d[1] * d[1] + d[2] * d[2])
    for axis in range(3):
        if d[axis] == 0.0:
            continue
        middle = half[2] if axis == 2 else 0.0
        end = middle + half[axis] if d[axis] > 0.0 else middle - half[axis]
        t = (end - o[axis]) / d[axis]
        if t < best:
            best, cosine = t, abs(d[axis]) / length
    for k in range(len(boxes)):
        c, s = boxes[k, 6], boxes[k, 7]
        x, y, z = o[0] - boxes[k, 0], o[1] - boxes[k, 1], o[2] - boxes[k, 2]
        position = (c * x + s * y, c * y - s * x, z)
        direction = (c * d[0] + s * d[1], c * d[1] - s * d[0], d[2])
        near, far, side = -np.inf, np.inf, 0.0
        for axis in range(3):
            h = boxes[k, 3 + axis]
            if direction[axis] == 0.0:
                if abs(position[axis]) > h:
                    near = np.inf
                continue
            a = (-h - position[axis]) / direction[axis]
            b = (h - position[axis]) / direction[axis]
            if min(a, b) > near:
                near, side = min(a, b), abs(direction[axis]) / length
            far = min(far, max(a, b))
        if 0.0 < near < far and near < best:
            best, cosine = near, side
    for k in range(len(spheres)):
        x, y, z, r = o[0] - spheres[k, 0], o[1] - spheres[k, 1], o[2] - spheres[k, 2], spheres[k, 3]
        a = length * length
        b = x * d[0] + y * d[1] + z * d[2]
        root = b * b - a * (x * x + y * y + z * z - r * r)
        if root > 0.0:
            t = (-b - math.sqrt(root)) / a
            if 0.0 < t < best:
                best, cosine = t, math.sqrt(root) / (r * length)
    for k in range(len(cylinders)):
        x, y, z = o[0] - cylinders[k, 0], o[1] - cylinders[k, 1], o[2] - cylinders[k, 2]
        r, h = cylinders[k, 3], cylinders[k, 4]
        a = d[0] * d[0] + d[1] * d[1]
        b = x * d[0] + y * d[1]
        root = b * b - a * (x * x + y * y - r * r)
        if a > 0.0 and root > 0.0:
            t = (-b - math.sqrt(root)) / a
            if 0.0 < t < best and abs(z + t * d[2]) <= h:
                best, cosine = t, math.sqrt(root) / (r * length)
        if d[2] != 0.0:
            t = ((h if d[2] < 0.0 else -h) - z) / d[2]
            if 0.0 < t < best and (x + t * d[0]) ** 2 + (y + t * d[1]) ** 2 <= r * r:
                best, cosine = t, abs(d[2]) / length
    return best, cosine


@numba.njit(cache=True, error_model="numpy")
def _outside_box(x, y, z, hx, hy, hz):
    qx, qy, qz = abs(x) - hx, abs(y) - hy, abs(z) - hz
    outside = math.sqrt(max(qx, 0.0) ** 2 + max(qy, 0.0) ** 2 + max(qz, 0.0) ** 2)
    return outside + min(max(qx, qy, qz), 0.0)


@numba.njit(cache=True, error_model="numpy")
def signed_distances(points, half, boxes, spheres, cylinders, result):
    """Write the distance [m] of (N, 3) points from the nearest surface, negative within solids and walls."""
    for i in range(len(points)):
        p = points[i]
        best = -_outside_box(p[0], p[1], p[2] - half[2], half[0], half[1], half[2])
        for k in range(len(boxes)):
            c, s = boxes[k, 6], boxes[k, 7]
            x, y, z = p[0] - boxes[k, 0], p[1] - boxes[k, 1], p[2] - boxes[k, 2]
            best = min(best, _outside_box(c * x + s * y, c * y - s * x, z, boxes[k, 3], boxes[k, 4], boxes[k, 5]))
        for k in range(len(spheres)):
            x, y, z = p[0] - spheres[k, 0], p[1] - spheres[k, 1], p[2] - spheres[k, 2]
            best = min(best, math.sqrt(x * x + y * y + z * z) - spheres[k, 3])
        for k in range(len(cylinders)):
            x, y, z = p[0] - cylinders[k, 0], p[1] - cylinders[k, 1], p[2] - cylinders[k, 2]
            across, along = math.sqrt(x * x + y * y) - cylinders[k, 3], abs(z) - cylinders[k, 4]
            outside = math.sqrt(max(across, 0.0) ** 2 + max(along, 0.0) ** 2)
            best = min(best, outside + min(max(across, along), 0.0))
        result[i] = best


@numba.njit(cache=True, error_model="numpy")
def draw(T, fx, fy, cx, cy, noisy, rng, half, boxes, spheres, cylinders, depth_m, color):
    """Trace one image of depth in whole millimetres, with colours of the place."""
    rows, columns = depth_m.shape
    o, d = T[:3, 3].copy(), np.empty(3)
    for v in range(rows):
        for u in range(columns):
            x, y = (u - cx) / fx, (v - cy) / fy
            if noisy:
                x += JITTER_PX * rng.standard_normal() / fx
                y += JITTER_PX * rng.standard_normal() / fy
            for axis in range(3):
                d[axis] = T[axis, 0] * x + T[axis, 1] * y + T[axis, 2]
            z, cosine = trace(o, d, half, boxes, spheres, cylinders)
            for axis in range(3):
                color[v, u, axis] = 127.5 + 110.0 * math.sin(6.0 * (o[axis] + z * d[axis]))
            if noisy:
                z += noise_m(z) * rng.standard_normal()
                lost = (GRAZING_COS - cosine) / (GRAZING_COS - LOST_COS)
                if rng.random() < lost:
                    z = 0.0
            depth_m[v, u] = round(1e3 * z) * np.float32(1e-3)


@numba.njit(cache=True, error_model="numpy")
def count_views(
    points, T, R_inverse, fx, fy, cx, cy, width, height, nearest, farthest, half, boxes, spheres, cylinders
):
    """Return in how many of the (F, 4, 4) poses each of (N, 3) points is the first thing on its ray, up to 5."""
    views = np.zeros(len(points), np.int64)
    d = np.empty(3)
    for i in range(len(points)):
        for f in range(len(T)):
            for axis in range(3):
                d[axis] = points[i, axis] - T[f, axis, 3]
            z = R_inverse[f, 2, 0] * d[0] + R_inverse[f, 2, 1] * d[1] + R_inverse[f, 2, 2] * d[2]
            if not nearest <= z <= farthest:
                continue
            x = R_inverse[f, 0, 0] * d[0] + R_inverse[f, 0, 1] * d[1] + R_inverse[f, 0, 2] * d[2]
            y = R_inverse[f, 1, 0] * d[0] + R_inverse[f, 1, 1] * d[1] + R_inverse[f, 1, 2] * d[2]
            u, v = fx * x / z + cx, fy * y / z + cy
            if not (0 <= u <= width - 1 and 0 <= v <= height - 1):
                continue
            t, _ = trace(T[f, :3, 3], d, half, boxes, spheres, cylinders)
            if t > 0.9999:
                views[i] += 1
                if views[i] == SEEN_FRAMES:
                    break
    return views


def surface_points(scene: Scene, count: int, seed: int) -> np.ndarray:
    """Return points spread evenly over all surfaces, less those that lie within another solid."""
    rng = np.random.default_rng(seed)
    parts: list[tuple[float, object]] = []

    def faces(centre, halves, c, s):
        for axis in range(3):
            for side in (-1.0, 1.0):
                area = 4.0 * float(np.prod(np.delete(halves, axis)))

                def on_face(n, axis=axis, side=side):
                    local = rng.uniform(-1, 1, (n, 3)) * halves
                    local[:, axis] = side * halves[axis]
                    turned = local @ np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]])
                    return turned + centre

                parts.append((area, on_face))

    faces(np.array([0.0, 0.0, scene.half[2]]), scene.half, 1.0, 0.0)
    for row in scene.boxes:
        faces(row[:3], row[3:6], row[6], row[7])
    for x, y, z, r in scene.spheres:

        def on_sphere(n, centre=(x, y, z), r=r):
            direction = rng.normal(size=(n, 3))
            return centre + r * direction / np.linalg.norm(direction, axis=1, keepdims=True)

        parts.append((4 * math.pi * r * r, on_sphere))
    for x, y, z, r, h in scene.cylinders:

        def on_side(n, centre=(x, y, z), r=r, h=h):
            turn = rng.uniform(0, 2 * math.pi, n)
            return centre + np.stack([r * np.cos(turn), r * np.sin(turn), rng.uniform(-h, h, n)], axis=1)

        def on_cap(n, centre=(x, y, z + h), r=r):
            turn, out = rng.uniform(0, 2 * math.pi, n), r * np.sqrt(rng.random(n))
            return centre + np.stack([out * np.cos(turn), out * np.sin(turn), np.zeros(n)], axis=1)

        parts += [(4 * math.pi * r * h, on_side), (math.pi * r * r, on_cap)]
    areas = np.array([area for area, _ in parts])
    counts = rng.multinomial(count, areas / areas.sum())
    points = np.concatenate([draw_points(n) for n, (_, draw_points) in zip(counts, parts, strict=True)])
    return points[np.abs(distance_to_scene(points, scene)) < 1e-9]


def distance_to_scene(points: np.ndarray, scene: Scene) -> np.ndarray:
    result = np.empty(len(points))
    signed_distances(np.ascontiguousarray(points, dtype=np.float64), *scene.arrays(), result)
    return result


def walk_poses(scene: Scene, count: int, number: int) -> np.ndarray:
    """Return (count, 4, 4) poses of a camera held at 1.4 m that is carried around and looks about."""
    rng = np.random.default_rng(2000 + number)
    phase = rng.uniform(0, 2 * math.pi, 4)
    poses = []
    for i in range(count):
        s = 2 * math.pi * i / count
        eye = np.array(
            [
                0.42 * scene.half[0] * math.cos(s + phase[0]),
                0.42 * scene.half[1] * math.sin(s + phase[0]),
                1.4 + 0.25 * math.sin(2 * s + phase[1]),
            ]
        )
        # Two turns of looking about for each round, down to the floor and up to the walls.
        heading, pitch = 2 * s + phase[2], -0.35 + 0.45 * math.sin(3 * s + phase[3])
        z = np.array([math.cos(heading) * math.cos(pitch), math.sin(heading) * math.cos(pitch), math.sin(pitch)])
        x = np.cross(z, (0.0, 0.0, 1.0))
        x /= np.linalg.norm(x)
        T = np.eye(4)
        T[:3, :3] = np.stack([x, np.cross(z, x), z], axis=1)
        T[:3, 3] = eye
        if distance_to_scene(eye[None], scene)[0] < 0.2:
            T[2, 3] = scene.half[2] * 2 - 0.4  # above whatever stands in the way
        poses.append(T)
    return np.array(poses)


def make_frames(scene: Scene, poses: np.ndarray, noisy: bool, number: int) -> list[Frame]:
    frames = []
    for i, T in enumerate(poses):
        depth_m = np.zeros((CAMERA.height_px, CAMERA.width_px), np.float32)
        color = np.zeros((*depth_m.shape, 3), np.uint8)
        rng = np.random.default_rng(10_000 * number + i)
        draw(T, CAMERA.fx, CAMERA.fy, CAMERA.cx, CAMERA.cy, noisy, rng, *scene.arrays(), depth_m, color)
        frames.append(Frame(i * 100_000_000, color, depth_m, CAMERA, T))
    return frames


def seen_points(scene: Scene, poses: np.ndarray) -> np.ndarray:
    points = surface_points(scene, SEEN_SAMPLES, 0)
    inverses = np.ascontiguousarray(poses[:, :3, :3].transpose(0, 2, 1))
    camera = (CAMERA.fx, CAMERA.fy, CAMERA.cx, CAMERA.cy, CAMERA.width_px, CAMERA.height_px)
    views = count_views(points, poses, inverses, *camera, NEAREST_M, FARTHEST_M, *scene.arrays())
    return points[views >= SEEN_FRAMES]


def open3d_mesh(
    frames: list[Frame], voxel_m: float, weight: float = OPEN3D_WEIGHT, shift_px: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Return the mesh of Open3D's map of the frames, drawn above a weight, with the principal point shifted."""
    import open3d

    core, image = open3d.core, open3d.t.geometry.Image
    grid = open3d.t.geometry.VoxelBlockGrid(
        ("tsdf", "weight", "color"),
        (core.float32, core.float32, core.float32),
        ((1), (1), (3)),
        voxel_m,
        8,
        40_000,
        core.Device("CPU:0"),
    )
    for frame in frames:
        matrix = frame.camera.matrix
        matrix[:2, 2] += shift_px
        depth = image(core.Tensor.from_numpy(np.rint(frame.depth_m * 1000).astype(np.uint16)))
        color = image(core.Tensor.from_numpy(np.ascontiguousarray(frame.color)))
        intrinsic, extrinsic = core.Tensor(matrix), core.Tensor(np.linalg.inv(frame.T_map_camera))
        reach = 1000.0, FARTHEST_M, TRUNCATION_VOXELS
        blocks = grid.compute_unique_block_coordinates(depth, intrinsic, extrinsic, *reach)
        grid.integrate(blocks, depth, color, intrinsic, extrinsic, *reach)
    mesh = grid.extract_triangle_mesh(weight)
    return mesh.vertex.positions.numpy(), mesh.triangle.indices.numpy()


def own_mesh(frames: list[Frame], voxel_m: float, changes: dict) -> tuple[np.ndarray, np.ndarray]:
    values = {
        "min_depth_m": NEAREST_M,
        "max_depth_m": FARTHEST_M,
        "truncation_voxels": TRUNCATION_VOXELS,
        **changes,
        "voxel_size_m": voxel_m,
    }
    mapper = Mapper(build(MappingConfiguration, values))
    for frame in frames:
        update = mapper.add_frame(frame)
        if update.rejected or update.warning:
            raise SystemExit(f"frame {frame.stamp_ns}: {update.rejected or update.warning}")
    mesh = mapper.mesh()
    return mesh.vertices, mesh.triangles


def score(scene: Scene, seen: np.ndarray, vertices: np.ndarray, triangles: np.ndarray) -> SurfaceScore:
    on_mesh = sample_mesh(vertices, triangles, SAMPLES)
    return SurfaceScore(np.abs(distance_to_scene(on_mesh, scene)), distance_to_mesh(seen, vertices, triangles))


def overrides(items: list[str]) -> dict:
    """Return name=value items as values of the types of the parameters."""
    types = {item.name: item.type for item in parameters_of(MappingConfiguration)}
    values: dict = {}
    for item in items:
        name, separator, text = item.partition("=")
        if not separator or name not in types:
            raise SystemExit(f"--set {item}: expected NAME=VALUE with one of {', '.join(types)}")
        values[name] = text.lower() in ("true", "1", "yes") if types[name] is bool else types[name](text)
    return values


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scenes", type=int, nargs="+", default=[0, 1], help="numbers of the rooms (default 0 1)")
    parser.add_argument("--voxels", type=float, nargs="+", default=[0.04, 0.02, 0.01], help="voxel sizes [m]")
    parser.add_argument("--images", choices=("noisy", "exact"), nargs="+", default=["noisy", "exact"])
    parser.add_argument("--frames", type=int, default=160, help="frames of the walk (default 160)")
    parser.add_argument("--set", nargs="+", action="append", default=[], metavar="NAME=VALUE", help="one more row")
    parser.add_argument("--no-open3d", action="store_true", help="leave the peer out")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    rows = [("lira_ros", {})] + [(" ".join(items), overrides(items)) for items in options.set]
    with_open3d = not options.no_open3d
    if with_open3d:
        try:
            import open3d  # noqa: F401
        except (ImportError, OSError) as error:
            print(f"Open3D cannot be loaded ({error}): only this project's figures are shown")
            with_open3d = False
    width = max(22, *(len(name) for name, _ in rows))
    for number in options.scenes:
        scene = make_scene(number)
        poses = walk_poses(scene, options.frames, number)
        seen = seen_points(scene, poses)
        size = " x ".join(f"{2 * value:.1f}" for value in scene.half)
        print(
            f"\nscene {number}: room of {size} m, {len(poses)} frames, {len(seen)} points seen in {SEEN_FRAMES} frames"
        )
        for images in options.images:
            frames = make_frames(scene, poses, images == "noisy", number)
            print(
                f"{images + ' images':<{width}}{'voxel':>7}{'error mm':>10}{'median':>8}{'missing mm':>12}"
                f"{'F 5 cm':>9}{'F 1 cm':>9}"
            )
            for voxel_m in options.voxels:
                methods = [("Open3D VoxelBlockGrid", None)] if with_open3d else []
                for name, changes in methods + rows:
                    mesh = open3d_mesh(frames, voxel_m) if changes is None else own_mesh(frames, voxel_m, changes)
                    result = score(scene, seen, *mesh)
                    print(
                        f"{name:<{width}}{100 * voxel_m:>4g} cm{1e3 * result.error_m.mean():>10.2f}"
                        f"{1e3 * np.median(result.error_m):>8.2f}{1e3 * result.missing_m.mean():>12.2f}"
                        f"{result.f_score(0.05):>9.4f}{result.f_score(0.01):>9.4f}",
                        flush=True,
                    )


if __name__ == "__main__":
    main()

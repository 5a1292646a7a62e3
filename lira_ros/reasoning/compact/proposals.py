"""Class-agnostic instance proposals from one RGB-D keyframe.

The image is explained from the outside in: floor, walls and ceiling are background; level surfaces at other heights
are table tops, seats and shelves; what is left stands on, hangs from or carries them. It is grown into smooth
regions (depth, normals, colour) and the regions are merged in the order in which their contacts look like the inside
of one object: convex, alike in colour, without a gap. Unions that stay alone for long in that order are proposed, so
that a stack and its parts, or a sofa and its seat, both have a chance.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lira_ros.configuration import parameter
from lira_ros.geometry.depth import NOISE_FLOOR_M, NOISE_NEAREST_M, NOISE_SLOPE_PER_M, normals_camera
from lira_ros.geometry.frame import Keyframe
from lira_ros.geometry.pose import transform_points
from lira_ros.reasoning.compact.segmentation import contacts, fill_holes, grow_regions, horizontal_patches


@dataclass(frozen=True)
class ProposalConfiguration:
    """How finely a keyframe is taken apart."""

    max_depth_m: float = parameter(6.0, "Depth beyond which nothing is proposed [m]", minimum=0.5, maximum=50.0)
    max_proposals: int = parameter(30, "Most proposals of one keyframe, best first", minimum=1, maximum=200)
    min_pixels: int = parameter(
        80, "Smallest proposal [pixels at 640 x 480; scaled to the size of the image]", minimum=10, maximum=10000
    )


@dataclass(frozen=True)
class Proposal:
    """One thing that may be an instance.

    mask: (H, W) bool in the pixels of the keyframe. points_map: (N, 3) float32 [m], its measured points in the map.
    colors: (N, 3) uint8 RGB of those points. quality: [0, 1], how much it looks like one whole thing.
    supported_by: "floor", "surface", "wall" or "" where that was not seen. kind: "plane" for a bare level surface,
    else "object". truncated: it reaches the border of the image or the range limit, so that its size is a lower bound.
    """

    mask: NDArray[np.bool_]
    points_map: NDArray[np.float32]
    colors: NDArray[np.uint8]
    quality: float
    supported_by: str
    kind: str
    truncated: bool


# Where no source is named, the value was chosen on real table scenes and a real office kitchen with
# benchmark/proposals.py.

WORKING_PIXELS = 640 * 480  # larger images are thinned out to about this, which bounds the time

# Surfaces.
LEVEL_COSINE = math.cos(math.radians(20.0))  # wide, for normals are noisy and borders round
UPRIGHT_COSINE = math.sin(math.radians(20.0))
MIN_SURFACE_M2 = 0.06  # a sheet of A4: the smallest thing that carries others
TILT_PRIOR_M2 = 0.01  # a patch of 0.1 m half-width has as much to say of its tilt as gravity
FLOOR_SLACK_M = 0.12  # drift of inside-out tracking between the floor of a view and that of the map
OBJECT_TOP_M = 0.35  # a level patch less than this above a larger one is the top of a thing that stands there
SLAB_M = 0.05  # thickness of table tops
PLANE_LIMIT = 12

# Walls reach above furniture and end the view; what has rooms behind it is a cupboard or a screen.
WALL_MIN_M2 = 0.5
WALL_TOP_M = 1.5
WALL_BEHIND_SHARE = 0.15
WALL_LIMIT = 6
CEILING_M = 2.0

# Growing regions and merging them.
REGION_SCALE_DEG = 1500.0  # k of Felzenszwalb and Huttenlocher: 10 degrees at 150 pixels
VALLEY_DEG = 18.0  # a valley of this angle counts as much as a colour edge of LAB_STEP; PCL's LCCP uses 10 degrees
LAB_STEP = 40.0
CONTACT_REACH_PX = 4  # normals at a border are taken this far inside, about the half width of their window
MIN_CONTACT_PX = 5
MIN_CONTACT_SHARE = 0.2
LAST_MERGE = 3.0  # dissimilarity beyond which contact alone does not make one thing

# Choosing unions.
MIN_PERSISTENCE = 0.2  # a union lives this long before it is swallowed
MIN_SEPARATION = 0.6  # a part is this different from what swallows it
SAME_SHARE = 0.8  # of two proposals with this intersection over union one is left
GROUP_LEVEL = 0.8  # the dissimilarity at which furniture is put together from groups
SAME_LAB = 12.0  # colour difference within one upholstery, shade included
FLOOR_REACH_M = 2.0  # what is higher above the floor hangs from the ceiling
SURFACE_REACH_M = 0.6  # what is higher above a table does not stand on it
UNSUPPORTED = 0.7  # factor of the quality of things of which it was not seen what holds them
MIN_QUALITY = 0.25
EXAMINED = 2  # proposals looked at for each one returned
WINDOW_MARGIN_PX = 4


@dataclass
class _View:
    """One keyframe at working resolution, in gravity-aligned axes."""

    stride: int
    points: NDArray[np.float32]  # (H, W, 4) camera x, y, z and height along gravity
    ground: NDArray[np.float32]  # (H, W, 2) horizontal coordinates
    normals: NDArray[np.float32]  # (H, W, 3) camera
    normals_gravity: NDArray[np.float32]  # (H, W, 3), z = up
    lab: NDArray[np.float32]
    valid: NDArray[np.bool_]
    measured: NDArray[np.bool_]  # depth of the sensor, not filled in
    noise: NDArray[np.float32]
    area: NDArray[np.float32]  # m2 of surface behind each pixel
    floor_m: float
    camera_height_m: float

    @property
    def height(self) -> NDArray[np.float32]:
        return self.points[..., 3]


@dataclass
class _Surface:
    """A level surface: height = slope . ground + offset."""

    mask: NDArray[np.bool_]
    slope: NDArray[np.float64]
    offset: float
    area_m2: float
    height_m: float
    hull: NDArray[np.float32]  # (M, 1, 2) outline on the ground
    is_floor: bool = False


def _prepare(keyframe: Keyframe, configuration: ProposalConfiguration) -> _View:
    frame = keyframe.frame
    camera = frame.camera
    stride = max(1, math.ceil(math.sqrt(camera.width_px * camera.height_px / (1.2 * WORKING_PIXELS))))
    depth = np.ascontiguousarray(frame.depth_m[::stride, ::stride])
    color = np.ascontiguousarray(frame.color[::stride, ::stride])
    rows, columns = depth.shape
    camera = camera.scaled(columns, rows) if stride > 1 else camera
    radius = max(1, round(3 * rows / 480))
    depth = np.where(depth > configuration.max_depth_m, np.float32(0), depth)
    measured = depth > 0
    depth = fill_holes(depth, radius)
    smooth = cv2.medianBlur(depth, 5)
    depth = np.where((depth > 0) & (smooth > 0), smooth, depth)
    # Every other pixel has a normal of its own: the window of a normal is wider, and this is the slowest step.
    half = np.ascontiguousarray(depth[::2, ::2])
    normals = normals_camera(half, camera.scaled(half.shape[1], half.shape[0]))
    normals = np.ascontiguousarray(normals.repeat(2, axis=0).repeat(2, axis=1)[:rows, :columns])
    normals[depth == 0] = 0.0
    points_camera = camera.unproject(depth)
    up = keyframe.up
    first = np.cross(up, np.eye(3)[int(np.argmin(np.abs(up)))])
    first /= np.linalg.norm(first)
    R_gravity_map = np.stack([first, np.cross(up, first), up])
    T_gravity_camera = np.eye(4)
    T_gravity_camera[:3, :3] = R_gravity_map @ frame.T_map_camera[:3, :3]
    T_gravity_camera[:3, 3] = R_gravity_map @ frame.T_map_camera[:3, 3]
    points_gravity = transform_points(T_gravity_camera, points_camera)
    normals_gravity = normals @ T_gravity_camera[:3, :3].T.astype(np.float32)
    valid = normals[..., 2] < 0  # a normal without length has no direction
    smooth_color = cv2.GaussianBlur(color, (5, 5), 0).astype(np.float32) / np.float32(255)
    lab = cv2.cvtColor(smooth_color, cv2.COLOR_RGB2LAB)
    facing = np.abs(np.einsum("ijk,ijk->ij", normals, points_camera))
    facing /= np.maximum(np.sqrt(np.einsum("ijk,ijk->ij", points_camera, points_camera)), 1e-6)
    noise = NOISE_FLOOR_M + NOISE_SLOPE_PER_M * (depth - NOISE_NEAREST_M) ** 2
    return _View(
        stride=stride,
        points=np.concatenate([points_camera, points_gravity[..., 2:]], axis=-1),
        ground=np.ascontiguousarray(points_gravity[..., :2]),
        normals=normals,
        normals_gravity=normals_gravity,
        lab=lab,
        valid=valid,
        measured=measured,
        noise=noise.astype(np.float32),
        area=depth * depth / np.float32(camera.fx * camera.fy) / np.maximum(facing, 0.15),
        floor_m=keyframe.floor_height_m,
        camera_height_m=float(T_gravity_camera[2, 3]),
    )


def _fit_level(view: _View, mask: NDArray[np.bool_]) -> tuple[NDArray[np.float64], float]:
    """Fit height = slope . ground + offset to the pixels of a patch, robustly."""
    index = np.flatnonzero(mask)
    if len(index) > 4000:
        index = index[:: len(index) // 4000 + 1]
    xy = view.ground.reshape(-1, 2)[index].astype(np.float64)
    z = view.height.reshape(-1)[index].astype(np.float64)
    sigma = view.noise.reshape(-1)[index].astype(np.float64)
    # Centred, with gravity as a prior on the tilt: a small patch says little of it.
    center = xy.mean(axis=0)
    design = np.column_stack([xy - center, np.ones(len(xy))])
    prior = np.diag([TILT_PRIOR_M2, TILT_PRIOR_M2, 0.0])
    solution = np.array([0.0, 0.0, float(np.median(z))])
    for _ in range(3):
        residual = z - design @ solution
        weight = 1.0 / (1.0 + (residual / (2.0 * sigma + 0.003)) ** 2) / sigma
        weight /= weight.sum()
        weighted = design * weight[:, None]
        solution = np.linalg.solve(weighted.T @ design + prior, weighted.T @ z)
    return solution[:2], float(solution[2] - solution[:2] @ center)


def _level_surfaces(view: _View, minimum_px: int) -> list[_Surface]:
    level = view.valid & (view.normals_gravity[..., 2] > LEVEL_COSINE)
    patches = horizontal_patches(np.ascontiguousarray(view.height), level, np.ascontiguousarray(view.points[..., 2]))
    count = int(patches.max())
    if count == 0:
        return []
    areas = np.bincount(patches.ravel(), weights=view.area.ravel(), minlength=count + 1)
    pixels = np.bincount(patches.ravel(), minlength=count + 1)
    areas[0] = 0.0
    surfaces: list[_Surface] = []
    taken = np.zeros(level.shape, dtype=np.bool_)
    tolerance = np.maximum(0.008, 2.5 * view.noise)
    faces_up = view.normals_gravity[..., 2] > 0.7
    for label in np.argsort(-areas)[: 3 * PLANE_LIMIT]:
        if areas[label] < MIN_SURFACE_M2 or pixels[label] < 3 * minimum_px or len(surfaces) >= PLANE_LIMIT:
            break
        patch = (patches == label) & ~taken
        if patch.sum() < 0.5 * pixels[label]:
            continue
        slope, offset = _fit_level(view, patch)
        if np.hypot(*slope) > math.tan(math.radians(12.0)):
            continue
        above = view.height - (view.ground @ slope.astype(np.float32) + np.float32(offset))
        # Bottoms of things that stand on the surface lie within the tolerance but do not face up.
        near = view.valid & ~taken & (np.abs(above) < tolerance)
        near &= faces_up | (np.abs(above) < 0.4 * tolerance)
        _, pieces = cv2.connectedComponents(near.astype(np.uint8), connectivity=4)
        share = np.bincount(pieces.ravel(), weights=patch.ravel())
        share[0] = 0
        mask = (share > 20)[pieces] | patch
        area = float(view.area[mask].sum())
        surfaces.append(_Surface(mask, slope, offset, area, float(np.median(view.height[patch])), _hull(view, mask)))
        taken |= mask
    return surfaces


def _hull(view: _View, mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    ground = view.ground[mask]
    return np.asarray(cv2.convexHull(np.ascontiguousarray(ground[:: max(1, len(ground) // 2000)])), dtype=np.float32)


def _is_object_top(surface: _Surface, others: list[_Surface], view: _View) -> bool:
    inside = view.ground[surface.mask]
    center = np.median(inside, axis=0)
    for other in others:
        if other is surface or other.area_m2 < 1.5 * surface.area_m2:
            continue
        rise = surface.height_m - float(other.slope @ center + other.offset)
        if not 0.0 < rise < OBJECT_TOP_M:
            continue
        sample = inside[:: max(1, len(inside) // 30)]
        within = [cv2.pointPolygonTest(other.hull, (float(x), float(y)), True) > -0.05 for x, y in sample]
        if np.mean(within) > 0.6:
            return True
    return False


def _walls(view: _View, free: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Mark large upright planes with hardly anything behind them: walls, doors, built-in fronts."""
    upright = free & (np.abs(view.normals_gravity[..., 2]) < UPRIGHT_COSINE)
    wall = np.zeros(free.shape, dtype=np.bool_)
    index = np.flatnonzero(upright)
    index = index[:: max(1, len(index) // 10000)]
    if len(index) < 300:
        return wall
    scale = float(upright.sum()) / len(index)
    normal = view.normals_gravity.reshape(-1, 3)[index, :2].astype(np.float64)
    ground = view.ground.reshape(-1, 2)[index].astype(np.float64)
    area = view.area.reshape(-1)[index].astype(np.float64) * scale
    azimuth = np.arctan2(normal[:, 1], normal[:, 0])
    bins, width = 72, 0.08
    alive = np.ones(len(index), dtype=np.bool_)
    all_ground = view.ground[view.valid][::50].astype(np.float64)
    image_top = np.zeros(free.shape, dtype=np.bool_)
    image_top[: max(2, free.shape[0] // 60)] = True
    for _ in range(WALL_LIMIT):
        sector = np.floor((azimuth + np.pi) / (2 * np.pi) * bins).astype(int) % bins
        best = (0.0, 0.0, 0.0)
        votes = np.bincount(sector[alive], weights=area[alive], minlength=bins)
        votes = votes + np.roll(votes, 1) + np.roll(votes, -1)
        for candidate in np.argsort(-votes)[:4]:
            angle = (candidate + 0.5) / bins * 2 * np.pi - np.pi
            near = alive & (np.cos(azimuth - angle) > math.cos(math.radians(12.0)))
            if not near.any():
                continue
            angle = float(
                np.arctan2(
                    np.average(np.sin(azimuth[near]), weights=area[near]),
                    np.average(np.cos(azimuth[near]), weights=area[near]),
                )
            )
            distance = ground[near] @ np.array([np.cos(angle), np.sin(angle)])
            low = distance.min()
            slices = np.bincount(((distance - low) / width).astype(int), weights=area[near])
            histogram = np.convolve(slices, np.ones(2), mode="full")[: len(slices)]
            peak = int(np.argmax(histogram))
            if histogram[peak] > best[0]:
                best = (float(histogram[peak]), angle, low + peak * width)
        if best[0] < WALL_MIN_M2:
            break
        direction = np.array([np.cos(best[1]), np.sin(best[1])])
        near = alive & (np.abs(ground @ direction - best[2]) < 0.12) & (np.cos(azimuth - best[1]) > 0.9)
        # Refine the plane on its pixels: total least squares of their ground points.
        center = np.average(ground[near], axis=0, weights=area[near])
        spread = (ground[near] - center).T @ ((ground[near] - center) * area[near][:, None])
        refined = np.linalg.eigh(spread)[1][:, 0]
        refined *= np.sign(refined @ direction) or 1.0
        if refined @ direction > 0.95:
            direction = refined
        offset = float(center @ direction)
        alive &= ~near
        behind = float((all_ground @ direction < offset - 0.25).mean())
        signed = view.ground @ direction.astype(np.float32) - np.float32(offset)
        slab = free & (np.abs(signed) < 0.05 + 2.5 * view.noise)
        seed = slab & upright
        if not seed.any():
            continue
        top = float(np.percentile(view.height[seed][::7], 98))
        floor = view.floor_m if math.isfinite(view.floor_m) else view.camera_height_m - 1.5
        tall = top - floor > WALL_TOP_M or (bool((seed & image_top).any()) and top - floor > 1.25)
        if tall and behind < WALL_BEHIND_SHARE:
            wall |= slab & (
                (np.abs(view.normals_gravity @ np.array([*direction, 0.0], np.float32)) > 0.8)
                | (np.abs(signed) < 0.03 + view.noise)
            )
    return wall


@dataclass
class _Node:
    """A union of regions: how it came to be (birth) and when it was swallowed (death), as dissimilarities."""

    regions: list[int]
    pixels: int
    birth: float
    death: float


def _dissimilarity(total: NDArray[np.float64], smaller: int, minimum_px: int) -> float:
    count, touching, bend, difference = total
    if touching < MIN_CONTACT_PX or touching < MIN_CONTACT_SHARE * count:
        return math.inf
    valley = max(0.0, bend / touching) / VALLEY_DEG
    gap = 1.0 - touching / count
    value = valley + difference / touching / LAB_STEP + 1.5 * gap
    return value * min(1.0, 0.4 + 0.6 * smaller / (6.0 * minimum_px))


def _merge_tree(
    sizes: NDArray[np.int64], pairs: NDArray[np.int32], values: NDArray[np.float32], minimum_px: int
) -> list[_Node]:
    """Merge regions in the order of dissimilarity and return every union that ever existed."""
    count = len(sizes)
    nodes = [_Node([i], int(sizes[i]), 0.0, LAST_MERGE) for i in range(count)]
    links: list[dict[int, NDArray[np.float64]]] = [{} for _ in range(count)]
    if len(pairs):
        key = pairs[:, 0].astype(np.int64) * count + pairs[:, 1]
        unique, inverse = np.unique(key, return_inverse=True)
        touching = values[:, 0].astype(np.float64)
        sums = np.stack(
            [
                np.bincount(inverse),
                np.bincount(inverse, weights=touching),
                np.bincount(inverse, weights=touching * values[:, 1]),
                np.bincount(inverse, weights=touching * values[:, 2]),
            ],
            axis=-1,
        )
        for k, total in zip(unique, sums, strict=True):
            a, b = int(k // count), int(k % count)
            links[a][b] = total
            links[b][a] = total
    queue: list[tuple[float, int, int]] = []

    def push(a: int, b: int) -> None:
        value = _dissimilarity(links[a][b], min(nodes[a].pixels, nodes[b].pixels), minimum_px)
        if value < LAST_MERGE:
            heapq.heappush(queue, (value, a, b))

    for a in range(count):
        for b in links[a]:
            if a < b:
                push(a, b)
    gone = [False] * count
    level = 0.0
    while queue:
        value, a, b = heapq.heappop(queue)
        if gone[a] or gone[b]:
            continue
        level = max(level, value)
        new = len(nodes)
        nodes.append(_Node(nodes[a].regions + nodes[b].regions, nodes[a].pixels + nodes[b].pixels, level, LAST_MERGE))
        nodes[a].death = nodes[b].death = level
        gone[a] = gone[b] = True
        gone.append(False)
        joined: dict[int, NDArray[np.float64]] = {}
        for old in (a, b):
            for other, total in links[old].items():
                if gone[other]:
                    continue
                joined[other] = joined[other] + total if other in joined else total
        links.append(joined)
        for other, total in joined.items():
            links[other][new] = total
            push(other, new)
    for node, swallowed in zip(nodes, gone, strict=True):
        if not swallowed:
            node.death = max(LAST_MERGE, node.birth + 1.0)
    return nodes


def _stable_unions(nodes: list[_Node], minimum_px: int) -> list[tuple[_Node, float]]:
    """Choose the unions worth proposing, with their quality."""
    chosen: list[tuple[_Node, float]] = []
    for node in nodes:
        persistence = node.death - node.birth
        if node.pixels < minimum_px or persistence < MIN_PERSISTENCE or node.death < MIN_SEPARATION:
            continue
        clean = persistence / (persistence + 0.3)
        large = min(1.0, math.sqrt(node.pixels / (50.0 * minimum_px)))
        alone = 1.0 if node.death >= LAST_MERGE else 0.75
        if alone < 1.0 and node.pixels < 2 * minimum_px:
            continue
        chosen.append((node, clean * alone * (0.4 + 0.6 * large) / (1.0 + 0.1 * node.birth)))
    return chosen


@dataclass
class _Atoms:
    """The regions, then the level surfaces: what every proposal is a union of."""

    image: NDArray[np.int32]  # (H, W), 0 = background
    size: NDArray[np.int64]  # pixels of each atom
    boxes: NDArray[np.int64]  # (A, 4) first row, first column, last row + 1, last column + 1

    def pixels(self, chosen: NDArray[np.bool_]) -> int:
        return int(self.size[chosen].sum())

    def window(self, chosen: NDArray[np.bool_]) -> tuple[slice, slice]:
        """Return the part of the image around the chosen atoms, with a margin for what borders on them."""
        boxes = self.boxes[chosen]
        rows, columns = self.image.shape
        top, left = np.maximum(boxes[:, :2].min(axis=0) - WINDOW_MARGIN_PX, 0)
        bottom, right = boxes[:, 2:].max(axis=0) + WINDOW_MARGIN_PX
        return slice(int(top), min(rows, int(bottom))), slice(int(left), min(columns, int(right)))


def _take_atoms(image: NDArray[np.int32], count: int) -> _Atoms:
    size = np.bincount(image.ravel(), minlength=count + 1)
    size[0] = 0
    boxes = np.zeros((count + 1, 4), dtype=np.int64)
    for label, place in enumerate(ndimage.find_objects(image, count), 1):
        if place is not None:
            boxes[label] = (place[0].start, place[1].start, place[0].stop, place[1].stop)
    return _Atoms(image, size, boxes)


def _give_edges(view: _View, labels: NDArray[np.int32], surfaces: list[_Surface], regions: int) -> None:
    """Give the side faces of a slab, which lie just below the border of its top, to the slab."""
    image = labels.ravel()
    total = np.bincount(image, minlength=regions + 1)[: regions + 1]
    index = np.flatnonzero((image > 0) & (image <= regions))
    for number, surface in enumerate(surfaces):
        if surface.is_floor or not len(index):
            continue
        ground = view.ground.reshape(-1, 2)[index]
        above = view.height.reshape(-1)[index] - (
            ground @ surface.slope.astype(np.float32) + np.float32(surface.offset)
        )
        slack = view.noise.reshape(-1)[index]
        low, high = surface.hull.reshape(-1, 2).min(axis=0) - SLAB_M, surface.hull.reshape(-1, 2).max(axis=0) + SLAB_M
        beside = (above < 0.005 + slack) & (above > -SLAB_M - slack) & ((ground > low) & (ground < high)).all(axis=1)
        inside = np.bincount(image[index[beside]], minlength=regions + 1)[: regions + 1]
        for region in np.flatnonzero((inside > 0.8 * total) & (total > 0)):
            mask = labels == region
            sample = view.ground[mask]
            sample = sample[:: max(1, len(sample) // 20)]
            away = [abs(cv2.pointPolygonTest(surface.hull, (float(x), float(y)), True)) for x, y in sample]
            if np.mean(np.array(away) < SLAB_M) > 0.7:
                labels[mask] = regions + 1 + number


def _furniture(
    view: _View, atoms: _Atoms, nodes: list[_Node], surfaces: list[_Surface], minimum_px: int
) -> list[tuple[NDArray[np.bool_], int, bool]]:
    """Join each level surface with what hangs below and rises around it in the same colour.

    Returns (atoms, index of the surface, has a back) for every surface that is more than itself.
    """
    count = len(atoms.size) - 1 - len(surfaces)
    labels = np.where(atoms.image > count, 0, atoms.image)
    group = np.zeros(count + 1, dtype=np.int32)
    groups = 0
    for node in nodes:
        if node.birth <= GROUP_LEVEL < node.death and node.pixels >= minimum_px // 2:
            groups += 1
            group[np.asarray(node.regions) + 1] = groups
    together = group[labels]
    first_surface = groups + 1
    for index, surface in enumerate(surfaces):
        if not surface.is_floor:
            together[surface.mask] = first_surface + index
    pairs, values = contacts(view.points, view.normals, view.lab, together, CONTACT_REACH_PX)
    if not len(pairs):
        return []
    size = np.bincount(together.ravel(), minlength=first_surface + len(surfaces))
    mean_height = np.bincount(together.ravel(), weights=view.height.ravel(), minlength=len(size)) / np.maximum(size, 1)
    neighbors: dict[int, dict[int, tuple[float, float]]] = {}
    key = pairs[:, 0].astype(np.int64) * len(size) + pairs[:, 1]
    unique, inverse = np.unique(key, return_inverse=True)
    touching = values[:, 0].astype(np.float64)
    total = np.bincount(inverse)
    touch = np.bincount(inverse, weights=touching)
    bend = np.bincount(inverse, weights=touching * values[:, 1]) / np.maximum(touch, 1)
    difference = np.bincount(inverse, weights=touching * values[:, 2]) / np.maximum(touch, 1)
    for k, number, touched, angle, contrast in zip(unique, total, touch, bend, difference, strict=True):
        if touched < 10 or touched < 0.4 * number:
            continue
        a, b = int(k // len(size)), int(k % len(size))
        neighbors.setdefault(a, {})[b] = (float(angle), float(contrast))
        neighbors.setdefault(b, {})[a] = (float(angle), float(contrast))
    found: list[tuple[NDArray[np.bool_], int, bool]] = []
    for index, surface in enumerate(surfaces):
        seed = first_surface + index
        if surface.is_floor or seed not in neighbors:
            continue
        members = {seed}
        waiting = [seed]
        back = False
        while waiting:
            here = waiting.pop()
            for there, (angle, contrast) in neighbors.get(here, {}).items():
                if there in members:
                    continue
                hangs = angle < 10.0 and contrast < 3.0 * SAME_LAB and mean_height[there] < mean_height[here]
                alike = contrast < SAME_LAB and (size[there] > 0.2 * size[here] or angle < 10.0)
                if not (hangs or alike):
                    continue
                members.add(there)
                waiting.append(there)
                back |= bool(mean_height[there] > surface.height_m + 0.1)
        if sum(int(size[m]) for m in members) > 1.15 * size[seed]:
            chosen = np.zeros(len(atoms.size), dtype=np.bool_)
            chosen[1 : count + 1] = np.isin(group[1:], list(members)) & (group[1:] > 0)
            chosen[[count + 1 + m - first_surface for m in members if m >= first_surface]] = True
            found.append((chosen, index, back))
    return found


def _standing(view: _View, atoms: _Atoms, surfaces: list[_Surface], minimum_px: int) -> list[NDArray[np.bool_]]:
    """Join the regions that stand on one surface and touch each other seen from above.

    Bumpy and transparent things (fruit, plants, bags) fall apart in the image but not on the ground.
    """
    regions = len(atoms.size) - 1 - len(surfaces)
    image = atoms.image.ravel()
    ground = view.ground.reshape(-1, 2)
    clusters: list[NDArray[np.bool_]] = []
    standing = np.zeros(regions + 1, dtype=np.bool_)
    index = np.flatnonzero((image > 0) & (image <= regions))
    order = sorted(range(len(surfaces)), key=lambda i: surfaces[i].is_floor)
    for number in order:
        surface = surfaces[number]
        above = view.height.reshape(-1)[index] - (
            ground[index] @ surface.slope.astype(np.float32) + np.float32(surface.offset)
        )
        low, high, cell = (0.04, FLOOR_REACH_M, 0.04) if surface.is_floor else (0.004, SURFACE_REACH_M, 0.02)
        chosen = index[(above > low) & (above < high) & ~standing[image[index]]]
        if len(chosen) < minimum_px:
            continue
        origin = ground[surface.mask.ravel()].min(axis=0) - 0.5
        extent = ground[surface.mask.ravel()].max(axis=0) + 0.5 - origin
        if surface.is_floor:
            origin = ground[chosen].min(axis=0) - cell
            extent = ground[chosen].max(axis=0) + cell - origin
        cells = ((ground[chosen] - origin) / cell).astype(np.int32)
        shape = (int(extent[0] / cell) + 2, int(extent[1] / cell) + 2)
        inside = ((cells >= 0) & (cells < np.array(shape))).all(axis=1)
        if not surface.is_floor:
            outline = np.zeros(shape, dtype=np.uint8)
            hull = ((surface.hull.reshape(-1, 2) - origin) / cell).astype(np.int32)
            cv2.fillConvexPoly(outline, np.ascontiguousarray(hull[:, ::-1]), 1)
            inside[inside] = outline[cells[inside, 0], cells[inside, 1]] > 0
        chosen, cells = chosen[inside], cells[inside]
        if len(chosen) < minimum_px:
            continue
        count = np.zeros(shape, dtype=np.int32)
        np.add.at(count, (cells[:, 0], cells[:, 1]), 1)
        amount, pieces = cv2.connectedComponents((count > 1).astype(np.uint8), connectivity=8)
        piece = pieces[cells[:, 0], cells[:, 1]]
        votes = np.bincount(image[chosen].astype(np.int64) * amount + piece, minlength=(regions + 1) * amount)
        table = votes.reshape(regions + 1, amount)
        table[:, 0] = 0
        owner = table.argmax(axis=1)
        most = table.max(axis=1)
        owner[most < 0.5 * atoms.size[: regions + 1]] = 0
        if not surface.is_floor:
            standing |= owner > 0
        for k in range(1, amount):
            members = np.zeros(len(atoms.size), dtype=np.bool_)
            members[: regions + 1] = owner == k
            members[0] = False
            if atoms.pixels(members) >= minimum_px:
                clusters.append(members)
    return clusters


def _support(
    view: _View,
    mask: NDArray[np.bool_],
    window: tuple[slice, slice],
    surfaces: list[_Surface],
    wall: NDArray[np.bool_],
    own: int,
) -> str:
    """Say what the masked pixels of a window stand on or hang from: "floor", "surface", "wall" or "" where unseen."""
    height = view.height[window][mask]
    thin = slice(None, None, max(1, len(height) // 500))
    height = height[thin]
    ordered = np.sort(height)
    bottom, low = float(ordered[len(ordered) // 25]), float(ordered[len(ordered) // 7])
    lowest = height <= low
    x, y = (float(value) for value in np.median(view.ground[window][mask][thin][lowest], axis=0))
    slack = 0.05 + 2.0 * float(np.median(view.noise[window][mask][thin][lowest]))
    for number, surface in enumerate(surfaces):
        if surface.is_floor or number == own:
            continue
        rise = bottom - float(surface.slope @ np.array([x, y]) + surface.offset)
        if -slack < rise < OBJECT_TOP_M and cv2.pointPolygonTest(surface.hull, (x, y), True) > -slack:
            return "surface"
    floor_known = math.isfinite(view.floor_m)
    if floor_known and bottom - view.floor_m < FLOOR_SLACK_M + slack:
        return "floor"
    if not wall[window].any():
        return "floor" if own >= 0 and floor_known else ""
    grown = cv2.dilate(mask.astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
    ring = grown & ~mask & view.valid[window]
    depth = view.points[window][..., 2]
    near_wall = ring & wall[window] & (np.abs(depth - float(np.median(depth[mask][thin]))) < 0.4)
    if ring.any() and np.count_nonzero(near_wall) > 0.4 * np.count_nonzero(ring):
        return "wall"
    if own >= 0 and floor_known:
        return "floor"  # a table: nothing between its top and the floor was found to carry it
    return ""


def propose_instances(keyframe: Keyframe, configuration: ProposalConfiguration | None = None) -> list[Proposal]:
    """Propose what may be an instance in one keyframe, best first.

    Returns at most ``max_proposals`` proposals; they may overlap (a stack and its parts). An image without depth
    gives an empty list.
    """
    configuration = configuration or ProposalConfiguration()
    frame = keyframe.frame
    if not (frame.depth_m > 0).any():
        return []
    view = _prepare(keyframe, configuration)
    minimum_px = max(10, round(configuration.min_pixels * view.valid.size / WORKING_PIXELS))
    if int(view.valid.sum()) < minimum_px:
        return []
    surfaces = _level_surfaces(view, minimum_px)
    floor_known = math.isfinite(view.floor_m)
    for surface in surfaces:
        surface.is_floor = floor_known and surface.height_m < view.floor_m + FLOOR_SLACK_M
    tops = [_is_object_top(s, surfaces, view) and not s.is_floor for s in surfaces]
    surfaces = [s for s, top in zip(surfaces, tops, strict=True) if not top]
    free = view.valid.copy()
    for surface in surfaces:
        free &= ~surface.mask
    if floor_known:
        free &= view.height > view.floor_m + 0.03
        ceiling = (view.normals_gravity[..., 2] < -LEVEL_COSINE) & (view.height > view.floor_m + CEILING_M)
        free &= ~ceiling
    wall = _walls(view, free)
    free &= ~wall
    reach = max(1, round(3 * view.valid.shape[0] / 480))
    labels = grow_regions(view.points, view.normals, view.lab, free, reach, REGION_SCALE_DEG, max(4, minimum_px // 2))
    pairs, values = contacts(view.points, view.normals, view.lab, labels, CONTACT_REACH_PX)
    regions = int(labels.max())
    nodes = _merge_tree(np.bincount(labels.ravel(), minlength=1)[1:], pairs - 1, values, minimum_px)
    for number, surface in enumerate(surfaces):
        labels[surface.mask] = regions + 1 + number
    _give_edges(view, labels, surfaces, regions)
    atoms = _take_atoms(labels, regions + len(surfaces))

    found: list[tuple[float, NDArray[np.bool_], str, int]] = []
    with_back: set[int] = set()
    for members, index, back in _furniture(view, atoms, nodes, surfaces, minimum_px):
        found.append((0.75, members, "object", index))
        if back:  # neither the seat nor the top of the back is a table
            with_back |= {number for number in range(len(surfaces)) if members[regions + 1 + number]}
    for index, surface in enumerate(surfaces):
        if not surface.is_floor:
            members = np.zeros(len(atoms.size), dtype=np.bool_)
            members[regions + 1 + index] = True
            large = min(1.0, surface.area_m2 / 0.3)
            found.append(((0.5 + 0.4 * large) * (0.6 if index in with_back else 1.0), members, "plane", index))
    for members in _standing(view, atoms, surfaces, minimum_px):
        large = min(1.0, math.sqrt(atoms.pixels(members) / (50.0 * minimum_px)))
        found.append((0.35 + 0.35 * large, members, "object", -1))
    for node, quality in _stable_unions(nodes, minimum_px):
        members = np.zeros(len(atoms.size), dtype=np.bool_)
        members[np.asarray(node.regions) + 1] = True
        found.append((quality, members, "object", -1))
    found.sort(key=lambda item: -item[0])

    limit = EXAMINED * configuration.max_proposals
    kept = np.zeros((limit, len(atoms.size)), dtype=np.float32)
    chosen: list[tuple[float, NDArray[np.bool_], tuple[slice, slice], str, str]] = []
    for quality, members, kind, own in found:
        count = len(chosen)
        if count >= limit:
            break
        members[atoms.size == 0] = False
        if atoms.pixels(members) < minimum_px:
            continue
        weighted = np.where(members, atoms.size, 0).astype(np.float32)
        both = kept[:count] @ weighted
        either = kept[:count] @ atoms.size.astype(np.float32) + weighted.sum() - both
        if (both > SAME_SHARE * either).any():
            continue
        window = atoms.window(members)
        mask = members[atoms.image[window]]
        if _is_sliver(mask) or not view.measured[window][mask].any():
            continue
        kept[count] = members
        support = _support(view, mask, window, surfaces, wall, own)
        chosen.append((quality * (1.0 if support else UNSUPPORTED), mask, window, kind, support))
    chosen.sort(key=lambda item: -item[0])
    points_map = transform_points(frame.T_map_camera, frame.camera.unproject(frame.depth_m))
    return [
        _finish(view, keyframe, mask, window, points_map, quality, kind, support, configuration)
        for quality, mask, window, kind, support in chosen[: configuration.max_proposals]
        if quality >= MIN_QUALITY
    ]


def _is_sliver(mask: NDArray[np.bool_]) -> bool:
    """Tell whether a mask is all border: the rim of a surface at a depth edge, not a thing."""
    core = cv2.erode(mask.astype(np.uint8), np.ones((5, 5), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return bool(cv2.countNonZero(core) < 0.15 * np.count_nonzero(mask))


def _finish(
    view: _View,
    keyframe: Keyframe,
    mask: NDArray[np.bool_],
    window: tuple[slice, slice],
    points_map: NDArray[np.float32],
    quality: float,
    kind: str,
    support: str,
    configuration: ProposalConfiguration,
) -> Proposal:
    frame = keyframe.frame
    rows, columns = frame.depth_m.shape
    full = np.zeros((rows, columns), dtype=np.bool_)
    place = tuple(slice(part.start * view.stride, part.stop * view.stride) for part in window)
    inner = full[place]  # a view; the last pixels of a thinned image may reach over the border
    inner[...] = mask.repeat(view.stride, axis=0).repeat(view.stride, axis=1)[: inner.shape[0], : inner.shape[1]]
    border = max(2, rows // 120)
    sides = (full[:border], full[-border:], full[:, :border], full[:, -border:])
    at_border = sum(np.count_nonzero(side) for side in sides)
    depth_m = frame.depth_m[place]
    measured = inner & (depth_m > 0) & (depth_m <= configuration.max_depth_m)
    depths = depth_m[measured]
    far = np.count_nonzero(depths > configuration.max_depth_m - 0.1) > 0.05 * len(depths)
    return Proposal(
        mask=full,
        points_map=points_map[place][measured],
        colors=frame.color[place][measured],
        quality=float(min(1.0, max(0.0, quality))),
        supported_by=support,
        kind=kind,
        truncated=bool(far or at_border > 2 * border * border),
    )

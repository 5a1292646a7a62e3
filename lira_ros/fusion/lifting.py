"""Between the pixels of a keyframe and the voxels of the map: lifting masks, and looking voxels up in depth.

A voxel is a packed 63-bit key of its integer coordinates; sorted keys are sorted by x, y, z. Voxel v is centred
at v * voxel_size_m in the map frame. Occlusion is tested by direct look-up of the measured depth at the pixel
that a voxel projects to, so nothing has to be rendered.
"""

from __future__ import annotations

import math
from typing import TypeVar

import numba
import numpy as np
from numpy.typing import NDArray

from lira_ros.geometry.camera import Camera
from lira_ros.geometry.depth import noise_m
from lira_ros.geometry.frame import Keyframe
from lira_ros.geometry.mask import behind_discontinuities
from lira_ros.geometry.pose import inverse
from lira_ros.mapping.voxel import contained_in

Sample = TypeVar("Sample", bound=np.generic)

KEY_BITS = 21  # three times 21 bits fit into a signed 64-bit integer: +-20 km at 2 cm
KEY_OFFSET = 1 << (KEY_BITS - 1)
KEY_MASK = (1 << KEY_BITS) - 1

# Masks and instances are compared on a grid of about this many columns: fine enough for a cup at 3 m (8 columns
# at a focal length of one image width), a quarter of the pixels of a VGA image.
GRID_COLUMNS = 320

# Colour is kept at half the size of depth: a voxel of 2 cm at 3 m is 4 pixels wide at VGA.
COLOR_STRIDE = 2

# Masks of neural networks and sensors disagree by a pixel or two at silhouettes; at VGA that is this radius.
BORDER_RADIUS_PX = 2
# Within the border radius a surface seen at 80 degrees from its normal changes its depth by about 4 %
# (2 px / 500 px * tan 80 deg = 2.3 % a side); only more than that is a jump.
BORDER_JUMP = 0.04

# Three standard deviations of the sensor noise (geometry.depth.noise_m) hold 99.7 % of the measurements.
NOISE_DEVIATIONS = 3.0

# How a voxel relates to the depth measured at its pixel.
OUT_OF_VIEW = 0
NO_DEPTH = 1
OCCLUDED = 2  # behind the measured surface
ON_SURFACE = 3
NEAR_SURFACE = 4  # within the margin for pose errors, not on the surface
SEEN_THROUGH = 5  # in measured free space

LARGEST_MILLIMETRES = 65535
MILLIMETRES_PER_METRE = 1000.0

# A splat covers at most this many grid cells to each side; nearer than that the voxels of a surface are many.
MAX_SPLAT_RADIUS = 6


def pack(voxels: NDArray[np.integer]) -> NDArray[np.int64]:
    """Pack (N, 3) integer voxel coordinates into (N,) int64 keys that sort by x, y, z.

    Raises ValueError when a coordinate does not fit into 21 bits.
    """
    shifted = voxels.astype(np.int64) + KEY_OFFSET
    if shifted.size and (int(shifted.min()) < 0 or int(shifted.max()) > KEY_MASK):
        raise ValueError(f"voxels: coordinates must be within +-{KEY_OFFSET - 1}, got {np.abs(voxels).max()}")
    return (shifted[:, 0] << (2 * KEY_BITS)) | (shifted[:, 1] << KEY_BITS) | shifted[:, 2]


def unpack(keys: NDArray[np.int64]) -> NDArray[np.int32]:
    """Unpack (N,) int64 keys into (N, 3) int32 voxel coordinates, the inverse of pack()."""
    voxels = np.empty((len(keys), 3), dtype=np.int32)
    _unpack(keys, voxels)
    return voxels


@numba.njit(nogil=True, cache=True)
def _unpack(keys: NDArray[np.int64], voxels: NDArray[np.int32]) -> None:
    for i in range(len(keys)):
        voxels[i, 0] = (keys[i] >> (2 * KEY_BITS)) - KEY_OFFSET
        voxels[i, 1] = ((keys[i] >> KEY_BITS) & KEY_MASK) - KEY_OFFSET
        voxels[i, 2] = (keys[i] & KEY_MASK) - KEY_OFFSET


def cells_of(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the (N,) keys of the cells of 2 x 2 x 2 voxels that hold (N,) voxels, not unique.

    Two instances are compared on cells: sensor noise puts one surface into neighbouring voxels.
    """
    # Halving each packed coordinate in place; the bit that a coordinate would shift into the next is masked out.
    halved = (KEY_MASK >> 1) | (KEY_MASK >> 1) << KEY_BITS | (KEY_MASK >> 1) << (2 * KEY_BITS)
    return (keys >> 1) & halved


def resampled(
    keys: NDArray[np.int64], T_new_old: NDArray[np.float64], voxel_size_m: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Move (N,) sorted voxel keys rigidly; return (M,) sorted keys and (M,) the index of the voxel each comes from.

    Every new voxel takes the old one that is nearest to where it came from, so a moved surface has no holes.
    """
    rotation, shift = T_new_old[:3, :3], T_new_old[:3, 3] / voxel_size_m
    # What moves from a voxel's cell is at most one voxel away along each axis: eight corners hold all of it.
    corners = np.array([[i & 1, i >> 1 & 1, i >> 2] for i in range(8)])
    base = np.floor(unpack(keys) @ rotation.T + shift).astype(np.int64)
    targets = np.unique(pack((base[:, None] + corners).reshape(-1, 3)))
    origins = pack(np.rint((unpack(targets) - shift) @ rotation).astype(np.int64))
    found = contained_in(origins, keys)
    return targets[found], np.searchsorted(keys, origins[found])


@numba.njit(nogil=True, cache=True)
def _voxel_bounds(keys: NDArray[np.int64], low: NDArray, high: NDArray, mean: NDArray) -> None:
    for i in range(len(keys)):
        for axis in range(3):
            value = float(((keys[i] >> (KEY_BITS * (2 - axis))) & KEY_MASK) - KEY_OFFSET)
            low[axis] = min(low[axis], value)
            high[axis] = max(high[axis], value)
            mean[axis] += value / len(keys)


def voxel_bounds(
    keys: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return lowest, highest and mean coordinates, (3,) each in voxels, of (N,) keys; inf, -inf and 0 without any."""
    low, high, mean = np.full(3, np.inf), np.full(3, -np.inf), np.zeros(3)
    _voxel_bounds(keys, low, high, mean)
    return low, high, mean


class StoredKeyframe:
    """A keyframe as the fusion keeps it: depth in millimetres, colour at half size, pose and camera.

    Millimetres are below the noise of every depth camera and halve the memory.
    """

    def __init__(self, keyframe: Keyframe) -> None:
        frame = keyframe.frame
        self.id = keyframe.id
        self.stamp_ns = frame.stamp_ns
        self.up = keyframe.up
        self.floor_height_m = keyframe.floor_height_m
        self.camera: Camera = frame.camera
        self.place(frame.T_map_camera)
        millimetres = np.minimum(np.rint(frame.depth_m * MILLIMETRES_PER_METRE), LARGEST_MILLIMETRES)
        self.depth_mm = millimetres.astype(np.uint16)
        self.color = np.ascontiguousarray(frame.color[::COLOR_STRIDE, ::COLOR_STRIDE])
        self.stride = max(1, round(self.camera.width_px / GRID_COLUMNS))

    def place(self, T_map_camera: NDArray[np.float64]) -> None:
        """Take over a (4, 4) pose, the first or a corrected one."""
        self.T_map_camera = T_map_camera
        self.T_camera_map = inverse(T_map_camera)

    @property
    def nbytes(self) -> int:
        """Return the memory of its images [bytes]."""
        return self.depth_mm.nbytes + self.color.nbytes

    @property
    def intrinsics(self) -> NDArray[np.float64]:
        """Return fx, fy, cx, cy [px] as (4,) float64, for the kernels."""
        return np.array([self.camera.fx, self.camera.fy, self.camera.cx, self.camera.cy])

    def depth_m(self) -> NDArray[np.float32]:
        """Return the (H, W) float32 depth [m], 0 = invalid."""
        return self.depth_mm.astype(np.float32) / np.float32(MILLIMETRES_PER_METRE)

    def grid(self, image: NDArray[Sample]) -> NDArray[Sample]:
        """Sample a (H, W) image on the grid on which masks are compared."""
        return np.ascontiguousarray(image[self.stride // 2 :: self.stride, self.stride // 2 :: self.stride])

    def liftable(self, max_depth_m: float) -> NDArray[np.bool_]:
        """Mark the (H, W) pixels whose depth can be trusted: valid, within range, not behind a depth jump."""
        depth = self.depth_m()
        return (depth > 0) & (depth <= max_depth_m) & ~behind_discontinuities(depth, BORDER_RADIUS_PX, BORDER_JUMP)


def lift(
    mask: NDArray[np.bool_], keyframe: StoredKeyframe, voxel_size_m: float
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Lift the pixels of a (H, W) mask into the map.

    Returns (N,) int64 sorted unique voxel keys and (N, 3) float32 mean colours in [0, 255]. Pixels without
    depth are skipped.
    """
    rows = np.flatnonzero(mask.any(axis=1))
    if rows.size == 0:
        return np.zeros(0, dtype=np.int64), np.zeros((0, 3), dtype=np.float32)
    columns = np.flatnonzero(mask[rows[0] : rows[-1] + 1].any(axis=0))
    keys, sums, counts = _lift(
        mask,
        keyframe.depth_mm,
        keyframe.color,
        (int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1),
        keyframe.intrinsics,
        keyframe.T_map_camera,
        voxel_size_m,
    )
    order = np.argsort(keys)
    return keys[order], sums[order] / counts[order, None]


@numba.njit(inline="always")
def find_slot(table: NDArray[np.int64], key: int) -> int:
    """Return where ``key`` is in an open-addressing table of (2**n,) keys, or the empty slot (-1) where it belongs."""
    # Multiplicative hashing with the 64-bit golden ratio (Knuth, TAOCP 3, section 6.4).
    mixed = np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)
    slot = np.int64((mixed >> np.uint64(32)) & np.uint64(len(table) - 1))
    while table[slot] != -1 and table[slot] != key:
        slot = (slot + 1) & (len(table) - 1)
    return slot


@numba.njit(nogil=True, cache=True)
def _lift(
    mask: NDArray[np.bool_],
    depth_mm: NDArray[np.uint16],
    color: NDArray[np.uint8],
    bounds: tuple[int, int, int, int],
    k: NDArray[np.float64],
    t: NDArray[np.float64],
    voxel_size_m: float,
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
    pixels = 0
    for v in range(bounds[0], bounds[1]):
        for u in range(bounds[2], bounds[3]):
            if mask[v, u] and depth_mm[v, u] > 0:
                pixels += 1
    # A voxel holds many pixels as a rule; the table grows when it is half full.
    size = 1024
    while size < pixels // 2:
        size *= 2
    table = np.full(size, -1, dtype=np.int64)
    slots = np.zeros(size, dtype=np.int32)
    keys = np.empty(size, dtype=np.int64)
    sums = np.zeros((size, 3), dtype=np.float32)
    counts = np.zeros(size, dtype=np.float32)
    used = 0
    for v in range(bounds[0], bounds[1]):
        for u in range(bounds[2], bounds[3]):
            if not mask[v, u] or depth_mm[v, u] == 0:
                continue
            z = depth_mm[v, u] / MILLIMETRES_PER_METRE
            x = (u - k[2]) / k[0] * z
            y = (v - k[3]) / k[1] * z
            key = np.int64(0)
            inside = True
            for axis in range(3):
                p = t[axis, 0] * x + t[axis, 1] * y + t[axis, 2] * z + t[axis, 3]
                cell = np.int64(math.floor(p / voxel_size_m + 0.5)) + KEY_OFFSET
                if cell < 0 or cell > KEY_MASK:
                    inside = False
                key = (key << KEY_BITS) | cell
            if not inside:
                continue
            if 2 * used >= size:
                size *= 2
                table = np.full(size, -1, dtype=np.int64)
                slots = np.zeros(size, dtype=np.int32)
                more_keys = np.empty(size, dtype=np.int64)
                more_sums = np.zeros((size, 3), dtype=np.float32)
                more_counts = np.zeros(size, dtype=np.float32)
                more_keys[:used] = keys[:used]
                more_sums[:used] = sums[:used]
                more_counts[:used] = counts[:used]
                keys, sums, counts = more_keys, more_sums, more_counts
                for i in range(used):
                    h = find_slot(table, keys[i])
                    table[h] = keys[i]
                    slots[h] = i
            h = find_slot(table, key)
            if table[h] == -1:
                table[h] = key
                slots[h] = used
                keys[used] = key
                used += 1
            slot = slots[h]
            counts[slot] += 1
            for channel in range(3):
                sums[slot, channel] += color[v // COLOR_STRIDE, u // COLOR_STRIDE, channel]
    return keys[:used], sums[:used], counts[:used]


@numba.njit(inline="always")
def _relation(
    depth_mm: NDArray[np.uint16], u: int, v: int, z: float, reach: int, half_voxel_m: float, margin_m: float
) -> int:
    centre = depth_mm[v, u]
    if centre == 0:
        return NO_DEPTH
    d = centre / MILLIMETRES_PER_METRE
    # The surface within the footprint of the voxel: a slope makes it deep, an edge shows another surface.
    nearest = d
    low = d
    high = d
    for i in range(4):
        uu = u + (reach if i == 0 else (-reach if i == 1 else 0))
        vv = v + (reach if i == 2 else (-reach if i == 3 else 0))
        if uu < 0 or vv < 0 or uu >= depth_mm.shape[1] or vv >= depth_mm.shape[0] or depth_mm[vv, uu] == 0:
            continue
        e = depth_mm[vv, uu] / MILLIMETRES_PER_METRE
        nearest = min(nearest, e)
        if abs(e - d) < BORDER_JUMP * d + half_voxel_m:
            low = min(low, e)
            high = max(high, e)
    noise = NOISE_DEVIATIONS * noise_m(d)
    if z > high + half_voxel_m + noise:
        return NEAR_SURFACE if z <= high + margin_m + noise else OCCLUDED
    if z >= low - half_voxel_m - noise:
        return ON_SURFACE
    # Only free space on all sides counts: next to a silhouette a pixel of error would see past the object.
    return SEEN_THROUGH if z < nearest - half_voxel_m - margin_m - noise else NEAR_SURFACE


@numba.njit(nogil=True, cache=True)
def _look_up(
    keys: NDArray[np.int64],
    depth_mm: NDArray[np.uint16],
    k: NDArray[np.float64],
    t: NDArray[np.float64],
    voxel_size_m: float,
    margin_m: float,
    relation: NDArray[np.uint8],
    pixel: NDArray[np.int32],
    distance: NDArray[np.float32],
) -> None:
    height, width = depth_mm.shape
    half_voxel_m = 0.5 * math.sqrt(3.0) * voxel_size_m
    for i in range(len(keys)):
        key = keys[i]
        x = ((key >> (2 * KEY_BITS)) - KEY_OFFSET) * voxel_size_m
        y = (((key >> KEY_BITS) & KEY_MASK) - KEY_OFFSET) * voxel_size_m
        w = ((key & KEY_MASK) - KEY_OFFSET) * voxel_size_m
        z = t[2, 0] * x + t[2, 1] * y + t[2, 2] * w + t[2, 3]
        relation[i] = OUT_OF_VIEW
        pixel[i] = -1
        distance[i] = z
        if z < voxel_size_m:
            continue
        fu = k[0] * (t[0, 0] * x + t[0, 1] * y + t[0, 2] * w + t[0, 3]) / z + k[2]
        fv = k[1] * (t[1, 0] * x + t[1, 1] * y + t[1, 2] * w + t[1, 3]) / z + k[3]
        if not (fu > -0.5 and fv > -0.5 and fu < width - 0.5 and fv < height - 0.5):
            continue
        u = math.floor(fu + 0.5)
        v = math.floor(fv + 0.5)
        reach = max(1, int(0.5 * voxel_size_m * k[0] / z + 0.5))
        pixel[i] = v * width + u
        relation[i] = _relation(depth_mm, u, v, z, reach, half_voxel_m, margin_m)


def look_up(
    keys: NDArray[np.int64], keyframe: StoredKeyframe, voxel_size_m: float, margin_m: float
) -> tuple[NDArray[np.uint8], NDArray[np.int32], NDArray[np.float32]]:
    """Tell how each of (N,) voxels relates to the depth that a keyframe measured at its pixel.

    Returns (N,) uint8 relations (OUT_OF_VIEW ... SEEN_THROUGH), (N,) int32 pixel indices row * width + column
    (-1 out of view) and (N,) float32 depths of the voxels [m]. A voxel is on the surface when it is within half
    its diagonal and three standard deviations of the sensor noise (Nguyen et al. 2012) of the depth in its
    footprint; seen through when it is nearer than all of the footprint by ``margin_m`` more than that.
    """
    relation = np.empty(len(keys), dtype=np.uint8)
    pixel = np.empty(len(keys), dtype=np.int32)
    distance = np.empty(len(keys), dtype=np.float32)
    _look_up(
        keys,
        keyframe.depth_mm,
        keyframe.intrinsics,
        keyframe.T_camera_map,
        voxel_size_m,
        margin_m,
        relation,
        pixel,
        distance,
    )
    return relation, pixel, distance


@numba.njit(nogil=True, cache=True)
def rows_per_cell(masks: NDArray[np.bool_]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """List for every cell of (C, h, w) masks the masks that hold it, as (h * w + 1,) offsets and flat indices."""
    count, height, width = masks.shape
    offsets = np.zeros(height * width + 1, dtype=np.int32)
    for c in range(count):
        for v in range(height):
            for u in range(width):
                if masks[c, v, u]:
                    offsets[v * width + u + 1] += 1
    for i in range(height * width):
        offsets[i + 1] += offsets[i]
    fill = offsets[:-1].copy()
    rows = np.empty(offsets[-1], dtype=np.int32)
    for c in range(count):
        for v in range(height):
            for u in range(width):
                if masks[c, v, u]:
                    cell = v * width + u
                    rows[fill[cell]] = c
                    fill[cell] += 1
    return offsets, rows


@numba.njit(nogil=True, cache=True)
def splat(
    bounds: NDArray[np.int64],
    relation: NDArray[np.uint8],
    pixel: NDArray[np.int32],
    distance: NDArray[np.float32],
    grid_depth_m: NDArray[np.float32],
    width_px: int,
    stride: int,
    footprint_px_m: float,
    margin_m: float,
    offsets: NDArray[np.int32],
    rows: NDArray[np.int32],
    candidate_count: int,
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32], NDArray[np.int64]]:
    """Draw the visible voxels of instances on the grid and count the cells that they share with masks.

    bounds: (M + 1,) slices of the voxel arrays, one an instance. footprint_px_m: voxel size times focal length,
    the width of a voxel in pixels at 1 m. offsets, rows: masks per cell (rows_per_cell). A cell belongs to an
    instance when its depth is that of the voxel within the margin and the noise.

    Returns (M,) cells of each instance, (M, C) cells shared with each mask, the flat list of cells of all
    instances and its (M + 1,) slices.
    """
    height, width = grid_depth_m.shape
    count = len(bounds) - 1
    areas = np.zeros(count, dtype=np.int32)
    shared = np.zeros((count, candidate_count), dtype=np.int32)
    stamp = np.full(height * width, -1, dtype=np.int32)
    cells = np.empty(4096, dtype=np.int32)
    slices = np.zeros(count + 1, dtype=np.int64)
    used = 0
    for m in range(count):
        for i in range(bounds[m], bounds[m + 1]):
            if relation[i] != ON_SURFACE and relation[i] != NEAR_SURFACE:
                continue
            z = distance[i]
            u0 = (pixel[i] % width_px) // stride
            v0 = (pixel[i] // width_px) // stride
            radius = min(MAX_SPLAT_RADIUS, int(0.5 * footprint_px_m / (z * stride) + 0.5))
            tolerance = margin_m + NOISE_DEVIATIONS * noise_m(z)
            for v in range(max(0, v0 - radius), min(height, v0 + radius + 1)):
                for u in range(max(0, u0 - radius), min(width, u0 + radius + 1)):
                    cell = v * width + u
                    if stamp[cell] == m:
                        continue
                    d = grid_depth_m[v, u]
                    if d == 0.0 or abs(d - z) > tolerance:
                        continue
                    stamp[cell] = m
                    areas[m] += 1
                    if used == len(cells):
                        more = np.empty(2 * used, dtype=np.int32)
                        more[:used] = cells
                        cells = more
                    cells[used] = cell
                    used += 1
                    for j in range(offsets[cell], offsets[cell + 1]):
                        shared[m, rows[j]] += 1
        slices[m + 1] = used
    return areas, shared, cells[:used], slices


@numba.njit(nogil=True, cache=True)
def count_inside(
    keys: NDArray[np.int64],
    depth_mm: NDArray[np.uint16],
    k: NDArray[np.float64],
    t: NDArray[np.float64],
    grid_mask: NDArray[np.bool_],
    stride: int,
    voxel_size_m: float,
    margin_m: float,
    inside: NDArray[np.float32],
    outside: NDArray[np.float32],
    weight: float,
) -> None:
    """Add ``weight`` to ``inside`` or ``outside`` for each of (N,) voxels that a keyframe saw in or out of a mask.

    Voxels that are not visible there and those next to the border of the mask (one grid cell) are left alone.
    """
    count = len(keys)
    relation = np.empty(count, dtype=np.uint8)
    pixel = np.empty(count, dtype=np.int32)
    distance = np.empty(count, dtype=np.float32)
    _look_up(keys, depth_mm, k, t, voxel_size_m, margin_m, relation, pixel, distance)
    width = depth_mm.shape[1]
    height_cells, width_cells = grid_mask.shape
    for i in range(count):
        if relation[i] != ON_SURFACE and relation[i] != NEAR_SURFACE:
            continue
        u = min((pixel[i] % width) // stride, width_cells - 1)
        v = min((pixel[i] // width) // stride, height_cells - 1)
        if grid_mask[v, u]:
            inside[i] += weight
            continue
        near = False
        for vv in range(max(0, v - 1), min(height_cells, v + 2)):
            for uu in range(max(0, u - 1), min(width_cells, u + 2)):
                near = near or grid_mask[vv, uu]
        if not near:
            outside[i] += weight

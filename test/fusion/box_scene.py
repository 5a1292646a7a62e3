"""A room of boxes on a floor, seen exactly: depth and object ids by ray casting, for the tests of the fusion."""

from dataclasses import dataclass

import numpy as np

from lira_ros.geometry.camera import Camera
from lira_ros.geometry.frame import Frame, Keyframe
from lira_ros.reasoning.contracts import Attributes, Candidate, CandidateSet, Role

CAMERA = Camera(160, 120, 140.0, 140.0, 79.5, 59.5)
UP = np.array([0.0, 0.0, 1.0])
COLORS = np.array(
    [[120, 120, 120], [200, 30, 30], [30, 160, 40], [40, 60, 200], [220, 200, 40], [150, 40, 160], [30, 180, 180]],
    dtype=np.uint8,
)


@dataclass(frozen=True)
class Box:
    id: int
    low: tuple[float, float, float]
    high: tuple[float, float, float]


def look_at(position, target):
    """Return T_map_camera of an optical frame at ``position`` that looks at ``target``, z up in the map."""
    forward = np.subtract(target, position)
    forward = forward / np.linalg.norm(forward)
    right = np.cross(forward, UP)
    right /= np.linalg.norm(right)
    T = np.eye(4)
    T[:3, :3] = np.stack([right, np.cross(forward, right), forward], axis=1)
    T[:3, 3] = position
    return T


def _window(box, T_camera_map, camera):
    """Return the part of the image that a box can cover."""
    ends = np.array([box.low, box.high])
    corners = np.array([ends[(i, j, k), (0, 1, 2)] for i in (0, 1) for j in (0, 1) for k in (0, 1)])
    pixels, z = camera.project(corners @ T_camera_map[:3, :3].T + T_camera_map[:3, 3])
    if z.min() < 0.05:
        return slice(None), slice(None)
    low, high = np.maximum(np.floor(pixels.min(axis=0)), 0).astype(int), np.ceil(pixels.max(axis=0)).astype(int)
    return slice(low[1], max(0, high[1] + 1)), slice(low[0], max(0, high[0] + 1))


def render(boxes, T_map_camera, camera=CAMERA):
    """Return depth [m] and object ids (0 = floor at z = 0 or nothing) of a view."""
    v, u = np.mgrid[0 : camera.height_px, 0 : camera.width_px]
    T_camera_map = np.linalg.inv(T_map_camera)
    rays = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones(u.shape)], axis=-1)
    rays = rays @ T_map_camera[:3, :3].T
    origin = T_map_camera[:3, 3]
    with np.errstate(divide="ignore", invalid="ignore"):
        floor = np.where(rays[..., 2] < 0, -origin[2] / rays[..., 2], np.inf)
        depth, ids = floor, np.zeros(u.shape, dtype=np.uint16)
        for box in boxes:
            window = _window(box, T_camera_map, camera)
            part = rays[window]
            a, b = (np.array(box.low) - origin) / part, (np.array(box.high) - origin) / part
            near, far = np.minimum(a, b).max(axis=-1), np.maximum(a, b).min(axis=-1)
            hit = (near <= far) & (near > 0) & (near < depth[window])
            depth[window] = np.where(hit, near, depth[window])
            ids[window][hit] = box.id
    return np.where(depth < 8.0, depth, 0.0).astype(np.float32), ids


def keyframe(keyframe_id, boxes, position, target=(0.0, 0.0, 0.3), noise_m=0.002, camera=CAMERA):
    """Return a keyframe and its image of object ids; the noise is seeded by the id."""
    T = look_at(position, target)
    depth, ids = render(boxes, T, camera)
    noise = np.random.default_rng(keyframe_id).normal(0.0, noise_m, depth.shape)
    depth = np.where(depth > 0, np.maximum(depth + noise, 0.01), 0.0).astype(np.float32)
    frame = Frame(keyframe_id * 100_000_000, COLORS[ids % len(COLORS)], depth, camera, T)
    return Keyframe(keyframe_id, frame, UP, 0.0), ids


def walk(boxes, count, first_id=1, radius_m=1.6, height_m=1.2, span=np.pi, **options):
    """Return keyframes on an arc around the origin."""
    angles = np.linspace(0.0, span, count)
    return [
        keyframe(first_id + i, boxes, (radius_m * np.cos(a), radius_m * np.sin(a), height_m), **options)
        for i, a in enumerate(angles)
    ]


def answer(key, masks, labels=None, instruction_id="i1", score=0.9, **changes):
    """Return the candidate set of a keyframe with one candidate a mask."""
    labels = labels or [""] * len(masks)
    candidates = tuple(
        Candidate(i + 1, mask, label, 0.9 if label else 0.0, score, Role.TARGET, Attributes(supported_by="floor"))
        for i, (mask, label) in enumerate(zip(masks, labels, strict=True))
    )
    fields = {
        "keyframe_id": key.id,
        "stamp_ns": key.frame.stamp_ns,
        "instruction_id": instruction_id,
        "model": "test/1",
        "latency_s": 0.0,
        "candidates": candidates,
    }
    return CandidateSet(**{**fields, **changes})


def true_masks(ids, only=None, smallest_px=20):
    """Return the masks of the objects in view, by ascending id."""
    present = [i for i in np.unique(ids) if i and (only is None or i in only) and (ids == i).sum() >= smallest_px]
    return [ids == i for i in present]

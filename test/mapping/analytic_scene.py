"""Scenes whose depth is known exactly: a plane, a sphere, a box, a room with such things in it."""

import numpy as np

from lira_ros.geometry.camera import Camera
from lira_ros.geometry.frame import Frame

CAMERA = Camera(96, 72, 80.0, 80.0, 47.5, 35.5)
ROOM_HALF_M = np.array([1.5, 1.25, 1.0])
SPHERE_CENTRE = np.array([0.2, -0.1, 0.1])
SPHERE_RADIUS_M = 0.4


def looking_at(eye, target, up=(0.0, 0.0, 1.0)):
    """Return T_map_camera (4, 4) of a camera at ``eye`` that looks at ``target`` without roll."""
    eye, target = np.asarray(eye, float), np.asarray(target, float)
    z = (target - eye) / np.linalg.norm(target - eye)
    x = np.cross(z, up)
    x /= np.linalg.norm(x)
    T = np.eye(4)
    T[:3, :3] = np.stack([x, np.cross(z, x), z], axis=1)
    T[:3, 3] = eye
    return T


def rays(camera, T_map_camera):
    u, v = np.meshgrid(np.arange(camera.width_px), np.arange(camera.height_px))
    local = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones_like(u, float)], axis=-1)
    return local @ T_map_camera[:3, :3].T  # a ray of length s ends at depth s


def plane_depth(camera, T_map_camera, normal, offset):
    """Depth of the plane normal . x = offset."""
    direction = rays(camera, T_map_camera) @ np.asarray(normal, float)
    with np.errstate(divide="ignore"):
        depth = (offset - np.dot(normal, T_map_camera[:3, 3])) / direction
    return np.where((depth > 0) & np.isfinite(depth), depth, 0.0).astype(np.float32)


def sphere_depth(camera, T_map_camera, centre=SPHERE_CENTRE, radius=SPHERE_RADIUS_M):
    direction = rays(camera, T_map_camera)
    to_eye = T_map_camera[:3, 3] - centre
    a = (direction**2).sum(-1)
    b = direction @ to_eye
    root = b * b - a * (to_eye @ to_eye - radius**2)
    depth = np.where(root > 0, (-b - np.sqrt(np.maximum(root, 0))) / a, 0.0)
    return np.maximum(depth, 0.0).astype(np.float32)


def room_depth(camera, T_map_camera, half=ROOM_HALF_M):
    """Depth of the inside of a box around the map origin."""
    direction = rays(camera, T_map_camera)
    with np.errstate(divide="ignore"):
        exits = (np.sign(direction) * half - T_map_camera[:3, 3]) / direction
    return np.where(np.isfinite(exits), exits, np.inf).min(axis=-1).astype(np.float32)


def box_depth(camera, T_map_camera, centre, half):
    """Depth of the outside of a box with its axes along the map's, 0 where it is missed."""
    direction, to_eye = rays(camera, T_map_camera), T_map_camera[:3, 3] - np.asarray(centre, float)
    with np.errstate(divide="ignore", invalid="ignore"):
        first, second = (-np.asarray(half) - to_eye) / direction, (np.asarray(half) - to_eye) / direction
    near, far = np.minimum(first, second).max(axis=-1), np.maximum(first, second).min(axis=-1)
    return np.where((near < far) & (near > 0), near, 0.0).astype(np.float32)


def sphere_distance(points, centre=SPHERE_CENTRE, radius=SPHERE_RADIUS_M):
    return np.abs(np.linalg.norm(points - centre, axis=1) - radius)


def box_distance(points, centre, half):
    beyond = np.abs(points - np.asarray(centre, float)) - half
    return np.abs(np.linalg.norm(np.maximum(beyond, 0), axis=1) + np.minimum(beyond.max(axis=1), 0))


def nearest(*depths):
    """Return the smallest depth that is not 0."""
    return np.where(np.stack(depths) > 0, depths, np.inf).min(axis=0).astype(np.float32)


def scene_depth(camera, T_map_camera):
    room, sphere = room_depth(camera, T_map_camera), sphere_depth(camera, T_map_camera)
    return np.where(sphere > 0, np.minimum(sphere, room), room)


def scene_distance(points):
    """Distance of (N, 3) points from the surfaces of the room with the sphere [m]."""
    wall = np.abs(np.abs(points) - ROOM_HALF_M).min(axis=1)
    return np.minimum(wall, sphere_distance(points))


def frame_of(depth, T_map_camera, stamp_ns=0, color=(200, 100, 50), camera=CAMERA):
    image = np.empty((*depth.shape, 3), np.uint8)
    image[:] = color
    return Frame(stamp_ns, image, depth, camera, T_map_camera)


def walk(count):
    """Frames of the room with the sphere from ``count`` places on a circle, looking across it."""
    frames = []
    for i in range(count):
        angle = 2 * np.pi * i / count
        eye = np.array([1.1 * np.cos(angle), 0.9 * np.sin(angle), 0.3 * np.sin(2 * angle)])
        T = looking_at(eye, (-0.1 * eye[0], 0.1, -0.2))
        color = np.array([50 + 150 * i // count, 120, 200 - 150 * i // count], np.uint8)
        frames.append(frame_of(scene_depth(CAMERA, T), T, i * 100_000_000, color))
    return frames

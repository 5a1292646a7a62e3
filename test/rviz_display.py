"""What RViz shows of marker topics: takes them as its MarkerArray display does, and draws a picture of the result."""

import itertools
import math

import cv2
import numpy as np
from visualization_msgs.msg import Marker

from lira_ros.geometry.pose import from_quaternion, inverse, transform_points

BACKGROUND = (48, 42, 38)  # of config/lira.rviz, as BGR
# RViz's font: a character is about half as wide as it is high.
CHARACTER_SHARE = 0.55


class RvizDisplay:
    """A MarkerArray display: ``shown`` holds its markers by namespace and id."""

    def __init__(self):
        self.shown = {}

    def apply(self, message):
        """Take a message; fails where RViz would complain about a marker or show nothing of it."""
        seen = set()
        for index, marker in enumerate(message.markers):
            key = (marker.ns, marker.id)
            if marker.action == Marker.DELETEALL:
                assert index == 0, "RViz warns: what came before a DELETEALL is never seen"
                self.shown.clear()
            elif marker.action == Marker.DELETE:
                self.shown.pop(key, None)
            else:
                assert marker.action == Marker.ADD
                assert key not in seen, f"RViz warns: {key} is in the message twice"
                seen.add(key)
                self._check(marker)
                self.shown[key] = marker

    @staticmethod
    def _check(marker):
        assert marker.header.frame_id, "RViz: for frame []: frame does not exist"
        assert (marker.lifetime.sec, marker.lifetime.nanosec, marker.frame_locked) == (0, 0, False)
        assert marker.color.a > 0, "RViz warns: marker is fully transparent"
        q = marker.pose.orientation
        assert math.isclose(math.hypot(q.x, q.y, q.z, q.w), 1.0, abs_tol=1e-6), "RViz: uninitialized quaternion"
        if marker.type == Marker.LINE_LIST:
            assert marker.scale.x > 0
            assert len(marker.points) % 2 == 0
            assert marker.points
        elif marker.type == Marker.TRIANGLE_LIST:
            assert min(marker.scale.x, marker.scale.y, marker.scale.z) > 0
            assert len(marker.points) % 3 == 0
            assert len(marker.colors) in (0, len(marker.points))
        else:
            assert marker.type == Marker.TEXT_VIEW_FACING
            assert marker.scale.z > 0
            assert marker.text.strip()


def pose_of(marker):
    """Return T_map_marker (4, 4)."""
    p, q = marker.pose.position, marker.pose.orientation
    return from_quaternion((p.x, p.y, p.z), (q.x, q.y, q.z, q.w), "marker")


def text_box(marker, camera, T_map_camera):
    """Return left, top, right, bottom [px] of letters that turn to the camera, and their depth [m]."""
    center = transform_points(inverse(T_map_camera), pose_of(marker)[:3, 3][None])[0]
    half = np.array([len(marker.text) * CHARACTER_SHARE, 1.0]) * marker.scale.z / 2
    (u, v), z = camera.project(center[None])[0][0], center[2]
    across, down = camera.fx * half[0] / z, camera.fy * half[1] / z
    return (u - across, v - down, u + across, v + down), z


def draw(displays, camera, T_map_camera):
    """Return the (H, W, 3) BGR picture of the markers of some displays, near ones over far ones but for letters."""
    height, width = camera.height_px, camera.width_px
    picture = np.full((height, width, 3), BACKGROUND, np.uint8)
    depth = np.full((height, width), np.inf, np.float32)
    markers = [marker for display in displays for marker in display.shown.values()]
    for marker in (item for item in markers if item.type == Marker.TRIANGLE_LIST):
        _draw_triangles(picture, depth, marker, camera, T_map_camera)
    for marker in (item for item in markers if item.type == Marker.LINE_LIST):
        _draw_lines(picture, depth, marker, camera, T_map_camera)
    letters = [item for item in markers if item.type == Marker.TEXT_VIEW_FACING]
    for marker in sorted(letters, key=lambda item: -text_box(item, camera, T_map_camera)[1]):
        (left, _, _, bottom), z = text_box(marker, camera, T_map_camera)
        if z > 0.05:
            _draw_text(picture, marker, (left, bottom), camera.fy * marker.scale.z / z)
    return picture


def _bgr(color):
    return (round(255 * color.b), round(255 * color.g), round(255 * color.r))


def _array(points):
    return np.array([(p.x, p.y, p.z) for p in points], dtype=np.float64)


def _draw_triangles(picture, depth, marker, camera, T_map_camera):
    from lira_ros.geometry.rasterizer import rasterize

    points = transform_points(pose_of(marker), _array(marker.points))
    raster = rasterize(points, np.arange(len(points)).reshape(-1, 3), camera, T_map_camera)
    colors = np.array([(c.b, c.g, c.r) for c in marker.colors]).reshape(-1, 3, 3)
    nearer = (raster.triangle >= 0) & (raster.depth_m < depth)
    index = raster.triangle[nearer]
    picture[nearer] = (255 * (colors[index] * raster.barycentric[nearer][:, :, None]).sum(axis=1)).astype(np.uint8)
    depth[nearer] = raster.depth_m[nearer]


def _draw_lines(picture, depth, marker, camera, T_map_camera):
    ends = transform_points(inverse(T_map_camera) @ pose_of(marker), _array(marker.points)).reshape(-1, 2, 3)
    layer = picture.copy()
    for a, b in ends:
        parts = a + np.linspace(0, 1, 33)[:, None] * (b - a)  # short pieces are hidden or seen as a whole
        for start, end in itertools.pairwise(parts):
            if min(start[2], end[2]) < 0.05:
                continue
            pixels = camera.project(np.stack([start, end]))[0]
            (u, v) = np.rint(pixels.mean(axis=0)).astype(int)
            inside = 0 <= u < depth.shape[1] and 0 <= v < depth.shape[0]
            if inside and depth[v, u] < (start[2] + end[2]) / 2 - 0.03:
                continue
            thick = max(1, round(camera.fx * marker.scale.x / float(start[2])))
            (x, y), (x2, y2) = np.rint(4 * pixels).astype(int)
            cv2.line(layer, (x, y), (x2, y2), _bgr(marker.color), thick, cv2.LINE_AA, 2)
    cv2.addWeighted(layer, marker.color.a, picture, 1 - marker.color.a, 0, picture)


def _draw_text(picture, marker, corner, height_px):
    scale = height_px / cv2.getTextSize("Ag", cv2.FONT_HERSHEY_DUPLEX, 1.0, 1)[0][1]
    across = cv2.getTextSize(marker.text, cv2.FONT_HERSHEY_DUPLEX, scale, 1)[0][0]
    left = corner[0] + (len(marker.text) * CHARACTER_SHARE * height_px - across) / 2
    place = (round(left), round(corner[1] - 0.15 * height_px))
    thick = max(1, round(height_px / 14))
    cv2.putText(picture, marker.text, place, cv2.FONT_HERSHEY_DUPLEX, scale, _bgr(marker.color), thick, cv2.LINE_AA)

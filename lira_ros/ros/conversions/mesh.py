"""A coloured mesh, by part of the map or whole, as Marker, MeshUpdate and shape_msgs/Mesh."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rclpy.serialization import serialize_message
from std_msgs.msg import Header
from visualization_msgs.msg import Marker

from lira_ros.mapping.mesh_regions import Coordinates, MeshRegion
from lira_ros.ros.conversions.cdr import ENCAPSULATION, CdrReader, CdrWriter
from lira_ros.ros.conversions.time import stamp_from_ns
from lira_ros.ros.errors import ConversionError


def _write_marker_head(writer: CdrWriter, header: Header, namespace: str, marker_id: int, action: int) -> None:
    """Write the fields of a Marker up to its points."""
    writer.header(header)
    writer.string(namespace)
    writer.pack("i", marker_id, Marker.TRIANGLE_LIST, action)
    writer.pack("d", 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0)  # pose: identity
    writer.pack("d", 1.0, 1.0, 1.0)  # scale: points are in metres
    writer.pack("f", 1.0, 1.0, 1.0, 1.0)  # color: used by viewers that ignore the colours of the points
    writer.pack("i", 0)  # lifetime: until deleted
    writer.pack("I", 0)
    writer.pack("B", 0)  # frame_locked


def _marker_tail(header: Header, namespace: str) -> bytes:
    """Return the serialised fields of a Marker after its colours, all empty, as this ROS distribution has them."""
    marker = Marker(header=header, ns=namespace, type=Marker.TRIANGLE_LIST)
    marker.pose.orientation.w = 1.0
    marker.scale.x = marker.scale.y = marker.scale.z = 1.0
    marker.color.r = marker.color.g = marker.color.b = marker.color.a = 1.0
    writer = CdrWriter()
    _write_marker_head(writer, header, namespace, 0, Marker.ADD)
    writer.pack("I", 0)
    writer.pack("I", 0)
    return serialize_message(marker)[len(ENCAPSULATION) + len(writer.body) :]


# Of a marker: a Point of three doubles and a ColorRGBA of four floats for each corner, and the other fields.
_MARKER_TRIANGLE_BYTES, _MARKER_BYTES = 3 * (24 + 16), 220


def marker_bytes(triangles: int) -> int:
    """Return about how many bytes a region of so many triangles takes as a Marker."""
    return _MARKER_BYTES + _MARKER_TRIANGLE_BYTES * triangles


def mesh_to_markers(
    regions: Iterable[MeshRegion], stamp_ns: int, frame_id: str, namespace: str, *, clear: bool = False
) -> bytes:
    """Return a serialised MarkerArray that adds or replaces the given regions and deletes the empty ones.

    ``clear`` True: a DELETEALL comes first, for a map that started anew.
    """
    regions = list(regions)
    header = Header(stamp=stamp_from_ns(stamp_ns), frame_id=frame_id)
    tail = _marker_tail(header, namespace)
    writer = CdrWriter()
    writer.pack("I", len(regions) + int(clear))
    if clear:
        _write_marker_head(writer, header, namespace, 0, Marker.DELETEALL)
        writer.pack("I", 0)
        writer.pack("I", 0)
        writer.body.extend(tail)
    for region in regions:
        corners = region.triangles.reshape(-1)
        _write_marker_head(writer, header, namespace, region.id, Marker.ADD if len(corners) else Marker.DELETE)
        writer.array("d", region.vertices[corners].astype("<f8") if len(corners) else np.empty((0, 3)))
        colors = np.ones((len(corners), 4), dtype="<f4")
        if len(corners):
            colors[:, :3] = region.colors[corners] / 255.0
        writer.array("f", colors)
        writer.body.extend(tail)
    return writer.message()


def _write_shape(writer: CdrWriter, triangles: NDArray[np.integer], vertices: NDArray[np.floating]) -> None:
    """Write a shape_msgs/Mesh."""
    writer.array("I", triangles.astype("<u4"))
    writer.array("d", vertices.astype("<f8"))


def mesh_to_shape(triangles: NDArray[np.integer], vertices: NDArray[np.floating]) -> bytes:
    """Return a serialised shape_msgs/Mesh of (T, 3) triangles and (V, 3) vertices [m]."""
    writer = CdrWriter()
    _write_shape(writer, triangles, vertices)
    return writer.message()


# Of a MeshRegion: three uint32 for each triangle, three doubles and three bytes for each vertex, and the other fields.
_SHAPE_TRIANGLE_BYTES, _SHAPE_VERTEX_BYTES, _SHAPE_BYTES = 12, 24, 40


def update_bytes(triangles: int, vertices: int) -> int:
    """Return about how many bytes a region of this size takes in a MeshUpdate."""
    return _SHAPE_BYTES + _SHAPE_TRIANGLE_BYTES * triangles + (_SHAPE_VERTEX_BYTES + 3) * vertices


def shape_bytes(triangles: int, vertices: int) -> int:
    """Return about how many bytes a mesh of this size takes as shape_msgs/Mesh."""
    return _SHAPE_BYTES + _SHAPE_TRIANGLE_BYTES * triangles + _SHAPE_VERTEX_BYTES * vertices


@dataclass(frozen=True)
class UpdateHead:
    """The fields of a MeshUpdate before its regions; see the message."""

    stamp_ns: int
    frame_id: str
    session: int
    sequence: int
    clear: bool
    region_size_m: float
    waiting: int


def mesh_to_update(head: UpdateHead, regions: Iterable[MeshRegion]) -> bytes:
    """Return a serialised MeshUpdate of the given regions."""
    regions = list(regions)
    writer = CdrWriter()
    writer.header(Header(stamp=stamp_from_ns(head.stamp_ns), frame_id=head.frame_id))
    writer.pack("I", head.session, head.sequence)
    writer.pack("B", head.clear)
    writer.pack("f", head.region_size_m)
    writer.pack("I", head.waiting)
    writer.pack("I", len(regions))
    for region in regions:
        writer.pack("i", *region.coordinates)
        writer.pack("I", region.revision)
        _write_shape(writer, region.triangles, region.vertices)
        writer.array("B", region.colors.reshape(-1))
    return writer.message()


@dataclass(frozen=True)
class ReceivedRegion:
    """A region of a MeshUpdate as a receiver gets it; see MeshRegion for the arrays. It replaces what was there."""

    coordinates: Coordinates
    revision: int
    vertices: NDArray[np.float32]
    triangles: NDArray[np.uint32]
    colors: NDArray[np.uint8]


def update_from_bytes(data: bytes, topic: str) -> tuple[UpdateHead, list[ReceivedRegion]]:
    """Return what mesh_to_update() wrote, for raw subscriptions; raises ConversionError naming topic and region.

    rclpy would make an object of every triangle: seconds for a room.
    """
    reader = CdrReader(data, topic)
    seconds, nanoseconds = reader.integer("i"), reader.integer("I")
    frame_id = reader.string()
    session, sequence = reader.integer("I"), reader.integer("I")
    clear, size_m, waiting = bool(reader.integer("B")), float(reader.unpack("f")[0]), reader.integer("I")
    head = UpdateHead(seconds * 1_000_000_000 + nanoseconds, frame_id, session, sequence, clear, size_m, waiting)
    regions = []
    for _ in range(reader.integer("I")):
        x, y, z = (int(value) for value in reader.unpack("i", 3))
        revision = reader.integer("I")
        triangles = reader.array("<u4", 3)
        vertices = reader.array("<f8", 3).astype(np.float32)
        colors = reader.array("u1").reshape(-1)
        where = f"{topic}: region {(x, y, z)}"
        if colors.size != vertices.size:
            raise ConversionError(f"{where}: expected {vertices.size} values of colour, got {colors.size}")
        if triangles.size and int(triangles.max()) >= len(vertices):
            raise ConversionError(f"{where}: expected vertices below {len(vertices)}, got {int(triangles.max())}")
        regions.append(ReceivedRegion((x, y, z), revision, vertices, triangles, colors.reshape(-1, 3)))
    return head, regions

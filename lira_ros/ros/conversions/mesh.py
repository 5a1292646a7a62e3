"""A coloured mesh as visualization_msgs/MarkerArray, one TRIANGLE_LIST marker for each part of the map.

A marker holds one Point object for each corner of each triangle; building a hundred thousand of them in Python
takes longer than mapping a second of video. The arrays are therefore written in CDR, the serialisation of DDS
(OMG DDS-XTypes 7.4, plain CDR, little-endian), directly from numpy: rclpy publishes such bytes as they are.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rclpy.serialization import serialize_message
from std_msgs.msg import Header
from visualization_msgs.msg import Marker

from lira_ros.mapping.surface import BlockMesh
from lira_ros.ros.conversions.time import stamp_from_ns

_ENCAPSULATION = b"\x00\x01\x00\x00"  # plain CDR, little-endian


# Blocks along the edge of a region: with 2 cm voxels a region is 0.64 m wide, so that a camera that looks at a part
# of the room makes a few markers be sent again and not the whole map.
REGION_BLOCKS = 4


@dataclass(frozen=True)
class MeshPart:
    """A part of the mesh under a stable id. No triangles = the part is gone.

    vertices: (V, 3) float [m] in the frame of the header; triangles: (T, 3) int; colors: (V, 3) uint8 RGB.
    """

    id: int
    vertices: NDArray[np.floating]
    triangles: NDArray[np.integer]
    colors: NDArray[np.uint8]


class MeshRegions:
    """The blocks of a mesh gathered into regions, so that a viewer gets tens of markers and not thousands."""

    def __init__(self) -> None:
        self._regions: dict[tuple[int, int, int], dict[tuple[int, int, int], BlockMesh]] = {}
        self._ids: dict[tuple[int, int, int], int] = {}

    def update(self, blocks: Iterable[BlockMesh]) -> list[MeshPart]:
        """Take changed blocks (empty ones are gone) and return the regions that changed, whole."""
        changed: set[tuple[int, int, int]] = set()
        for block in blocks:
            x, y, z = block.block
            region = (x // REGION_BLOCKS, y // REGION_BLOCKS, z // REGION_BLOCKS)
            known = self._regions.setdefault(region, {})
            if len(block.triangles):
                known[block.block] = block
            elif known.pop(block.block, None) is None:
                continue
            changed.add(region)
        return [self._part(region) for region in sorted(changed)]

    def parts(self) -> list[MeshPart]:
        """Return all regions that are not empty."""
        return [self._part(region) for region in sorted(self._regions) if self._regions[region]]

    def _part(self, region: tuple[int, int, int]) -> MeshPart:
        part_id = self._ids.setdefault(region, len(self._ids))
        blocks = list(self._regions[region].values())
        if not blocks:
            return MeshPart(part_id, np.empty((0, 3)), np.empty((0, 3), np.int32), np.empty((0, 3), np.uint8))
        starts = np.cumsum([0] + [len(block.vertices) for block in blocks[:-1]])
        return MeshPart(
            part_id,
            np.concatenate([block.vertices for block in blocks]),
            np.concatenate([block.triangles + start for block, start in zip(blocks, starts, strict=True)]),
            np.concatenate([block.colors for block in blocks]),
        )


class _Writer:
    """Append values to a CDR body with the alignment that CDR asks for."""

    def __init__(self) -> None:
        self.body = bytearray()

    def align(self, size: int) -> None:
        self.body.extend(bytes(-len(self.body) % size))

    def pack(self, code: str, *values: float) -> None:
        self.align(struct.calcsize(code))
        self.body.extend(struct.pack(f"<{len(values)}{code}", *values))

    def string(self, text: str) -> None:
        data = text.encode() + b"\x00"
        self.pack("I", len(data))
        self.body.extend(data)

    def array(self, code: str, values: NDArray[np.generic]) -> None:
        """Write a sequence of structs whose members all have the type ``code``, one struct for each row."""
        self.pack("I", len(values))
        if len(values):
            self.align(struct.calcsize(code))
            self.body.extend(memoryview(np.ascontiguousarray(values)).cast("B"))


def _write_head(writer: _Writer, header: Header, namespace: str, part_id: int, action: int) -> None:
    """Write the fields of a Marker up to its points."""
    writer.pack("i", header.stamp.sec)
    writer.pack("I", header.stamp.nanosec)
    writer.string(header.frame_id)
    writer.string(namespace)
    writer.pack("i", part_id, Marker.TRIANGLE_LIST, action)
    writer.pack("d", 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0)  # pose: identity
    writer.pack("d", 1.0, 1.0, 1.0)  # scale: points are in metres
    writer.pack("f", 1.0, 1.0, 1.0, 1.0)  # color: used by viewers that ignore the colours of the points
    writer.pack("i", 0)  # lifetime: until deleted
    writer.pack("I", 0)
    writer.pack("B", 0)  # frame_locked


def _tail(header: Header, namespace: str) -> bytes:
    """Return the serialised fields of a Marker after its colours, all empty, as this ROS distribution has them."""
    marker = Marker(header=header, ns=namespace, type=Marker.TRIANGLE_LIST)
    marker.pose.orientation.w = 1.0
    marker.scale.x = marker.scale.y = marker.scale.z = 1.0
    marker.color.r = marker.color.g = marker.color.b = marker.color.a = 1.0
    writer = _Writer()
    _write_head(writer, header, namespace, 0, Marker.ADD)
    writer.pack("I", 0)
    writer.pack("I", 0)
    return serialize_message(marker)[len(_ENCAPSULATION) + len(writer.body) :]


def mesh_to_markers(
    parts: Iterable[MeshPart], stamp_ns: int, frame_id: str, namespace: str, *, clear: bool = False
) -> bytes:
    """Return a serialised MarkerArray that adds or replaces the given parts and deletes the empty ones.

    ``clear`` True: a DELETEALL comes first, for a map that started anew.
    """
    parts = list(parts)
    header = Header(stamp=stamp_from_ns(stamp_ns), frame_id=frame_id)
    tail = _tail(header, namespace)
    writer = _Writer()
    writer.pack("I", len(parts) + int(clear))
    if clear:
        _write_head(writer, header, namespace, 0, Marker.DELETEALL)
        writer.pack("I", 0)
        writer.pack("I", 0)
        writer.body.extend(tail)
    for part in parts:
        corners = part.triangles.reshape(-1)
        _write_head(writer, header, namespace, part.id, Marker.ADD if len(corners) else Marker.DELETE)
        writer.array("d", part.vertices[corners].astype("<f8") if len(corners) else np.empty((0, 3)))
        colors = np.ones((len(corners), 4), dtype="<f4")
        if len(corners):
            colors[:, :3] = part.colors[corners] / 255.0
        writer.array("f", colors)
        writer.body.extend(tail)
    return _ENCAPSULATION + bytes(writer.body)

"""The map for viewers and other programs: coloured points and a mesh, sent while somebody listens.

The mesh goes out by region, only what changed, within a bandwidth limit: what is near the camera and what changed last
comes first, the rest in later turns. Whoever comes late, or asks, gets all of it in the same way.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.publisher import Publisher
from sensor_msgs.msg import PointCloud2
from shape_msgs.msg import Mesh
from visualization_msgs.msg import MarkerArray

from lira_msgs.msg import MeshUpdate
from lira_ros.configuration import parameter
from lira_ros.mapping.fragment import BLOCK_SIZE
from lira_ros.mapping.mapper import Mapper
from lira_ros.mapping.mesh_regions import REGION_BLOCKS, Coordinates, MeshRegion, MeshRegions
from lira_ros.ros import qos
from lira_ros.ros.bandwidth import BandwidthLimit, SendQueue
from lira_ros.ros.conversions import mesh
from lira_ros.ros.conversions.points import points_to_message
from lira_ros.ros.instance_input import InstanceInput
from lira_ros.ros.node import LiraNode

# Showing the map may take this part of the worker's time at most, however large the map has become.
LARGEST_SHARE = 0.1


@dataclass(frozen=True)
class SurfaceConfiguration:
    """How often, how finely and with how many bits the surface is published."""

    points_rate_hz: float = parameter(
        1.0, "Most point clouds of the map published per second, 0 = none", minimum=0.0, maximum=30.0
    )
    points_spacing_m: float = parameter(
        0.0, "Distance of the points of map/points [m], 0 = every vertex of the mesh", minimum=0.0, maximum=1.0
    )
    points_bandwidth_mbps: float = parameter(
        50.0,
        "Most bandwidth of map/points [Mbit/s], 0 = no limit; a larger map is then sent less often",
        minimum=0.0,
        maximum=100_000.0,
    )
    mesh_rate_hz: float = parameter(
        1.0, "Most changes of the mesh published per second, 0 = none", minimum=0.0, maximum=30.0
    )
    mesh_bandwidth_mbps: float = parameter(
        50.0,
        "Most bandwidth of each of map/mesh, map/mesh_updates and map/shape [Mbit/s], 0 = no limit; the nearest and "
        "newest changes are sent first, the others wait",
        minimum=0.0,
        maximum=100_000.0,
    )


class Schedule:
    """When something may be sent again: at its rate, and never more often than its cost allows."""

    def __init__(self, rate_hz: float) -> None:
        """Set the rate, 0 = never."""
        self.enabled = rate_hz > 0
        self._period_s = 1.0 / rate_hz if self.enabled else 0.0
        self._due_s = 0.0

    def due(self) -> bool:
        """Return whether it is time."""
        return self.enabled and time.monotonic() >= self._due_s

    def run(self, function: Callable[[], None]) -> float:
        """Do it, set when it is due again, and return how long it took [s]."""
        began_s = time.monotonic()
        function()
        ended_s = time.monotonic()
        self._due_s = ended_s + max(self._period_s, (ended_s - began_s) / LARGEST_SHARE)
        return ended_s - began_s


class _Audience:
    """Who listens to a topic."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._size = 0

    def __bool__(self) -> bool:
        return self._publisher.get_subscription_count() > 0

    def has_grown(self) -> bool:
        """Return whether somebody came since the last call: a latched message holds the last change only."""
        before, self._size = self._size, self._publisher.get_subscription_count()
        return self._size > before


class _RegionStream:
    """One topic on which the mesh goes out region by region."""

    def __init__(
        self,
        publisher: Publisher,
        bandwidth_mbps: float,
        region_bytes: Callable[[MeshRegions, Coordinates], int],
        encode: Callable[[list[MeshRegion], bool, int], bytes],
    ) -> None:
        self.limit = BandwidthLimit(bandwidth_mbps)
        self.queue: SendQueue[Coordinates] = SendQueue()
        self.audience = _Audience(publisher)
        self._publisher = publisher
        self._region_bytes = region_bytes
        self._encode = encode
        self._clear = True

    def clear(self) -> None:
        """Begin anew, and tell so with the next message."""
        self.queue.clear()
        self._clear = True

    def withdraw(self) -> None:
        """Take everything down at once."""
        if self.audience:
            self._publisher.publish(self._encode([], True, 0))

    def send(self, regions: MeshRegions, region_size_m: float, viewpoint_m: NDArray[np.float64] | None) -> None:
        """Send what fits now."""
        taken = self.queue.take(
            self.limit.allowance(),
            lambda key: self._region_bytes(regions, key),
            lambda key: (np.array(key) + 0.5) * region_size_m,
            viewpoint_m,
        )
        if taken or self._clear:
            data = self._encode([regions.get(key) for key in taken], self._clear, len(self.queue))
            self._publisher.publish(data)
            self.limit.spend(len(data))
            self._clear = False


class SurfaceOutput:
    """Publishes map/points, map/mesh, map/mesh_updates and map/shape of one mapper; used in the worker thread."""

    def __init__(
        self,
        node: LiraNode,
        mapper: Mapper,
        frame_id: str,
        configuration: SurfaceConfiguration,
        instances: InstanceInput,
    ) -> None:
        """Colour by the map, tell points apart by ``instances``."""
        self._node = node
        self._instances = instances
        self._mapper = mapper
        self._frame_id = frame_id
        self._configuration = c = configuration
        self._stamp_ns = 0
        self._session = 0
        self._sequence = 0
        self._blocks_waiting = 0  # of a correction, still to be composed
        self._region_size_m = REGION_BLOCKS * BLOCK_SIZE * mapper.configuration.voxel_size_m
        self._points = node.publish_on(PointCloud2, "map/points", qos.latched())
        self._points_limit = BandwidthLimit(c.points_bandwidth_mbps)
        self._points_schedule = Schedule(c.points_rate_hz)
        self._points_revision = (mapper.revision, 0)  # an empty map is not worth a message
        self._shape = node.publish_on(Mesh, "map/shape", qos.latched())
        self._shape_limit = BandwidthLimit(c.mesh_bandwidth_mbps)
        self._shape_schedule = Schedule(c.mesh_rate_hz)
        self._shape_revision = mapper.revision
        self._mesh_schedule = Schedule(c.mesh_rate_hz)
        self._streams = {
            "map/mesh": self._stream(MarkerArray, "map/mesh", _marker_bytes, self._encode_markers),
            "map/mesh_updates": self._stream(MeshUpdate, "map/mesh_updates", _update_bytes, self._encode_update),
        }
        self.clear(0)

    def _stream(self, kind: Any, topic: str, region_bytes: Any, encode: Any) -> _RegionStream:
        publisher = self._node.publish_on(kind, topic, qos.latched() if kind is MarkerArray else qos.mesh_updates())
        return _RegionStream(publisher, self._configuration.mesh_bandwidth_mbps, region_bytes, encode)

    def clear(self, session: int) -> None:
        """Take everything down at the next publication; called when the map starts anew under another session."""
        self._session = session
        self._regions = MeshRegions()
        self._mesh_revision = 0
        self._map_revision = -1
        for stream in self._streams.values():
            stream.clear()

    def withdraw(self) -> None:
        """Show nothing any more: empty mesh and points."""
        for stream in self._streams.values():
            stream.withdraw()
        nothing = np.empty((0, 3), np.float32)
        colors, ids = nothing.astype(np.uint8), np.empty(0, np.uint32)
        self._points.publish(points_to_message(nothing, colors, self._stamp_ns, self._frame_id, ids))

    def request_all(self) -> int:
        """Send the whole mesh again, within the limits; return the number of regions."""
        self._update_regions()
        for stream in self._streams.values():
            stream.queue.add(self._regions.all())
        self._shape_revision = -1
        return len(self._regions.all())

    def statistics(self) -> dict[str, int | str]:
        """Return how much waits and how much was sent."""
        values: dict[str, int | str] = {}
        for topic, stream in self._streams.items():
            values[f"{topic} regions waiting"] = len(stream.queue)
            values[f"{topic} longest wait_s"] = f"{stream.queue.longest_wait_s():.1f}"
            values[f"{topic} sent_bytes"] = stream.limit.sent_bytes
        values["map/shape sent_bytes"] = self._shape_limit.sent_bytes
        values["map/points sent_bytes"] = self._points_limit.sent_bytes
        return values

    def publish(self, stamp_ns: int, viewpoint_m: NDArray[np.float64] | None) -> None:
        """Publish what changed, what is due and what somebody subscribed to; viewpoint_m: (3,) the camera's place."""
        self._stamp_ns = stamp_ns
        statistics = self._node.statistics
        # After a correction the frames that wait come first: the mesh follows part by part, the rest when it is done.
        self._blocks_waiting = self._mapper.refresh_surface(viewpoint_m) if self._is_watched() else 0
        if self._mesh_is_due():
            statistics.latency("publish mesh", self._mesh_schedule.run(lambda: self._send_mesh(viewpoint_m)))
        if self._blocks_waiting:
            return
        if self._points_is_due():
            statistics.latency("publish points", self._points_schedule.run(self._send_points))
        if self._shape_is_due():
            statistics.latency("publish shape", self._shape_schedule.run(self._send_shape))

    def _is_watched(self) -> bool:
        outputs = (self._points, self._shape)
        return any(stream.audience for stream in self._streams.values()) or any(
            publisher.get_subscription_count() for publisher in outputs
        )

    # ---- points --------------------------------------------------------------------------------------------------

    def _points_is_due(self) -> bool:
        return (
            (self._mapper.revision, self._instances.revision) != self._points_revision
            and self._points_schedule.due()
            and self._points_limit.allowance() > 0
            and self._points.get_subscription_count() > 0
        )

    def _send_points(self) -> None:
        self._points_revision = (self._mapper.revision, self._instances.revision)
        cloud = self._mapper.point_cloud(self._configuration.points_spacing_m, self._instances.layer)
        message = points_to_message(cloud.points, cloud.colors, self._stamp_ns, self._frame_id, cloud.instance_ids)
        self._points.publish(message)
        self._points_limit.spend(len(message.data))

    # ---- mesh by region ------------------------------------------------------------------------------------------

    def _mesh_is_due(self) -> bool:
        newcomers = [stream for stream in self._streams.values() if stream.audience.has_grown()]
        for stream in newcomers:
            if stream is self._streams["map/mesh"]:
                stream.clear()  # RViz may still show what an earlier run sent; programs know it by its session
            stream.queue.add(self._regions.all())
        if not any(stream.audience for stream in self._streams.values()):
            if self._mesh_revision:  # nobody looks: do not hold what can be had again
                self.clear(self._session)
            return False
        waiting = any(len(stream.queue) for stream in self._streams.values())
        changed = self._mapper.revision != self._map_revision
        return (bool(newcomers) and self._mesh_schedule.enabled) or ((waiting or changed) and self._mesh_schedule.due())

    def _update_regions(self) -> None:
        revision = self._mapper.revision
        self._mesh_revision, blocks = self._mapper.mesh_blocks(self._mesh_revision, complete=not self._blocks_waiting)
        # What a correction changed comes in parts: ask until nothing comes.
        self._map_revision = -1 if blocks or self._blocks_waiting else revision
        changed = self._regions.update(blocks)
        for stream in self._streams.values():
            if stream.audience:
                stream.queue.add(changed)

    def _send_mesh(self, viewpoint_m: NDArray[np.float64] | None) -> None:
        self._update_regions()
        for stream in self._streams.values():
            if stream.audience:
                stream.send(self._regions, self._region_size_m, viewpoint_m)

    def _encode_markers(self, regions: list[MeshRegion], clear: bool, waiting: int) -> bytes:
        return mesh.mesh_to_markers(regions, self._stamp_ns, self._frame_id, "map", clear=clear)

    def _encode_update(self, regions: list[MeshRegion], clear: bool, waiting: int) -> bytes:
        self._sequence += 1
        head = mesh.UpdateHead(
            self._stamp_ns, self._frame_id, self._session, self._sequence, clear, self._region_size_m, waiting
        )
        return mesh.mesh_to_update(head, regions)

    # ---- the whole mesh ------------------------------------------------------------------------------------------

    def _shape_is_due(self) -> bool:
        return (
            self._mapper.revision != self._shape_revision
            and self._shape_schedule.due()
            and self._shape_limit.allowance() > 0
            and self._shape.get_subscription_count() > 0
        )

    def _send_shape(self) -> None:
        self._shape_revision = self._mapper.revision
        whole = self._mapper.mesh()
        data = mesh.mesh_to_shape(whole.triangles, whole.vertices)
        self._shape.publish(data)
        self._shape_limit.spend(len(data))


def _marker_bytes(regions: MeshRegions, key: Coordinates) -> int:
    return mesh.marker_bytes(regions.triangle_count(key))


def _update_bytes(regions: MeshRegions, key: Coordinates) -> int:
    return mesh.update_bytes(regions.triangle_count(key), regions.vertex_count(key))

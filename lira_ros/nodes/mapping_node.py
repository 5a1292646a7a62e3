"""Map what an RGB-D camera with a known pose sees: keyframes and fragments for the others, surfaces for people."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass

import numpy as np
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Odometry
from numpy.typing import NDArray
from std_srvs.srv import Trigger

from lira_msgs.msg import Keyframe as KeyframeMessage
from lira_msgs.msg import VoxelFragment
from lira_msgs.srv import LoadMap, SaveMap
from lira_ros.configuration import parameter, section
from lira_ros.mapping.configuration import MappingConfiguration
from lira_ros.mapping.fragment import Fragment
from lira_ros.mapping.mapper import Mapper
from lira_ros.mapping.precompile import warm_up
from lira_ros.ros import qos
from lira_ros.ros.conversions.fragment import empty_fragment_message, fragment_to_message
from lira_ros.ros.conversions.keyframe import keyframe_to_message
from lira_ros.ros.errors import ConversionError
from lira_ros.ros.map_files import MapFiles
from lira_ros.ros.node import LiraNode, NodeConfiguration, run
from lira_ros.ros.poses import FrameGate, PoseSource, TopicPoses, TransformPoses
from lira_ros.ros.surface_output import SurfaceOutput
from lira_ros.ros.synchronization import (
    CameraInputConfiguration,
    FrameAssembler,
    ImageSet,
    ImageSynchronizer,
    StampOrder,
)
from lira_ros.ros.trajectory_output import TrajectoryOutput

# How often held frames look for their pose, and how often it is looked whether something is to be published.
POSE_PERIOD_S = 0.02
PUBLISH_PERIOD_S = 0.1


@dataclass(frozen=True)
class MappingNodeConfiguration(NodeConfiguration):
    """Parameters of the mapping node."""

    map_frame: str = parameter("map", "Frame in which the map is built; poses must lead into it")
    map_directory: str = parameter("~/.ros/lira_maps", "Folder of the files of save_map and load_map")
    pose_source: str = parameter(
        "tf",
        "tf: TF at the image stamp; pose: PoseStamped of the camera's optical frame on camera_pose; "
        "odometry: Odometry on odometry",
        choices=("tf", "pose", "odometry"),
    )
    pose_timeout_s: float = parameter(
        1.0, "How long a frame waits for its pose before it is dropped [s]", minimum=0.0, maximum=60.0
    )
    pose_queue_size: int = parameter(60, "Most frames that wait for their pose", minimum=1, maximum=10000)
    frame_queue_size: int = parameter(
        15, "Most frames that wait for the map; the oldest is dropped when more come", minimum=1, maximum=10000
    )
    flush_after_s: float = parameter(
        2.0, "Close the last fragment when no frame came for this long [s]", minimum=0.1, maximum=3600.0
    )
    points_rate_hz: float = parameter(
        1.0, "Most point clouds of the map published per second, 0 = none", minimum=0.0, maximum=30.0
    )
    points_spacing_m: float = parameter(
        0.0, "Distance of the points of map/points [m], 0 = every vertex of the mesh", minimum=0.0, maximum=1.0
    )
    mesh_rate_hz: float = parameter(
        1.0, "Most changes of the mesh published per second, 0 = none", minimum=0.0, maximum=30.0
    )
    jpeg_quality: int = parameter(
        95, "Quality of the colour images of keyframes", minimum=1, maximum=100, read_only=False
    )
    camera: CameraInputConfiguration = section(CameraInputConfiguration)
    mapping: MappingConfiguration = section(MappingConfiguration)


class MappingNode(LiraNode):
    """Owns the map; its worker is the only thread that touches it."""

    node_name = "mapping_node"
    configuration_class = MappingNodeConfiguration

    def offer_services(self) -> None:
        """Offer to save, load, reset, pause and resume."""
        self._paused = False
        self.offer(SaveMap, "save_map", self._save, SaveMap.Response.NOT_CONFIGURED)
        self.offer(LoadMap, "load_map", self._load, LoadMap.Response.NOT_CONFIGURED)
        self.offer(Trigger, "~/reset", self._reset)
        self.offer(Trigger, "~/pause", lambda request, response: self._pause(True, response))
        self.offer(Trigger, "~/resume", lambda request, response: self._pause(False, response))

    def configure(self) -> None:
        """Create an empty map and the publishers; compile the loops before the first frame comes."""
        warm_up()
        c = self.configuration
        self._mapper = Mapper(c.mapping)
        self._order = StampOrder()
        self._poses: PoseSource | None = None
        self._gate: FrameGate | None = None
        self._synchronizer: ImageSynchronizer | None = None
        self._session = random.getrandbits(32) or 1
        self._sequence = 0
        self._stamp_ns = 0
        self._last_frame_s: float | None = None
        self._files = MapFiles(c.map_directory)
        self._keyframes = self.publish_on(KeyframeMessage, "keyframes", qos.keyframes())
        self._fragments = self.publish_on(VoxelFragment, "fragments", qos.fragments())
        self._trajectory = TrajectoryOutput(self, c.map_frame)
        self._surface = SurfaceOutput(
            self, self._mapper, c.map_frame, c.points_rate_hz, c.points_spacing_m, c.mesh_rate_hz
        )
        self.worker.add_queue("frames", self._take, c.frame_queue_size)
        self.worker.add_periodic("poses", POSE_PERIOD_S, self._advance)
        self.worker.add_periodic("publish", PUBLISH_PERIOD_S, self._publish)

    def activate(self) -> None:
        """Subscribe to the camera and to its poses."""
        c = self.configuration
        transforms = TransformPoses(self, c.map_frame)
        self._transforms = transforms
        self._poses = {
            "tf": lambda: transforms,
            "pose": lambda: TopicPoses(self, PoseStamped, "camera_pose", c.map_frame, transforms),
            "odometry": lambda: TopicPoses(self, Odometry, "odometry", c.map_frame, transforms),
        }[c.pose_source]()
        self._gate = FrameGate(self._poses, c.pose_queue_size, c.pose_timeout_s, self._add, self._without_pose)
        self._synchronizer = ImageSynchronizer(self, c.camera, self._queue)
        topics = tuple(
            entry.topic
            for entry in (
                self._synchronizer.color,
                self._synchronizer.depth,
                self._synchronizer.info,
                self._synchronizer.depth_info,
            )
        )
        self._assembler = FrameAssembler(topics, c.camera, transforms.between)

    def deactivate(self) -> None:
        """Unsubscribe from the poses; the map stays."""
        if self._poses is not None:
            self._poses.close()
            self._transforms.close()
        self.worker.clear()
        self.worker.submit(self._gate.clear)

    def cleanup(self) -> None:
        """Forget the map."""
        if getattr(self, "_transforms", None) is not None:
            self._transforms.close()
        for name in ("_mapper", "_surface", "_gate", "_poses", "_transforms", "_synchronizer"):
            setattr(self, name, None)

    def time_jumped(self) -> None:
        """Start a new map: stamps and poses of the past mean nothing on a clock that went back."""
        if self._poses is not None:
            self._poses.clear()
            self._transforms.clear()
        self._start_anew()

    def missing_inputs(self) -> list[str]:
        """Say when images come in but do not match, or have no pose."""
        sentences = []
        if self._synchronizer is not None and (sentence := self._synchronizer.missing()) is not None:
            sentences.append(sentence)
        if self._gate is not None and len(self._gate) and self.statistics.rate_hz("frames mapped") == 0:
            sentences.append(f"{self._poses.missing()} ({len(self._gate)} frames wait for it)")
        return sentences

    def diagnose(self) -> dict[str, object]:
        """Return the statistics of the map."""
        gate, synchronizer = self._gate, self._synchronizer
        return {
            "session": self._session,
            "paused": self._paused,
            "frames waiting for a pose": len(gate) if gate is not None else 0,
            "image sets": synchronizer.sets if synchronizer is not None else 0,
            **{f"map {name}": value for name, value in self._mapper.statistics().items()},
        }

    # ---- frames ------------------------------------------------------------------------------------------------

    def _queue(self, images: ImageSet) -> None:
        if self._paused:
            self.statistics.count("frames while paused")
        elif not self.worker.put("frames", images):
            self.report("frames dropped", "the map is slower than the camera: the oldest waiting frame was dropped")

    def _take(self, images: ImageSet) -> None:
        stamp_ns, topic = images.stamp_ns, self._synchronizer.color.topic
        newest_ns = self._order.newest_ns
        judgement = self._order.judge(stamp_ns)
        if judgement == "restart":
            self.report("stamps restarted", f"{topic}: the stamps start again at {stamp_ns / 1e9:.3f} s: starting anew")
            self.time_jumped()
            self._order.judge(stamp_ns)
        elif judgement == "behind":
            self.statistics.count("frames with old stamps")
            raise ConversionError(
                f"{topic}: expected a stamp after {newest_ns / 1e9:.3f} s, got {stamp_ns / 1e9:.3f} s"
            )
        frame_id = images.color.header.frame_id.lstrip("/")
        if not frame_id:
            raise ConversionError(f"{topic}: expected the camera's optical frame in header.frame_id, got ''")
        self._gate.add(frame_id, stamp_ns, images)

    def _advance(self) -> None:
        if self._gate is not None:
            self._gate.advance()

    def _without_pose(self, text: str) -> None:
        self.statistics.count("frames without pose")
        self.report("no pose", text)

    def _add(self, images: ImageSet, T_map_camera: NDArray[np.float64]) -> None:
        began_s = time.monotonic()
        try:
            frame = self._assembler.assemble(images, T_map_camera)
        except ConversionError as error:
            self.statistics.count("frames refused")
            self.report("frame refused", str(error))
            return
        self.statistics.latency("decode", time.monotonic() - began_s)
        began_s = time.monotonic()
        update = self._mapper.add_frame(frame)
        if update.rejected is not None:
            self.statistics.count("frames refused")
            self.report("frame refused", update.rejected)
            return
        self.statistics.latency("integrate", time.monotonic() - began_s)
        if update.warning is not None:
            self.report("map warning", update.warning)
        self.statistics.arrived("frames mapped")
        self._stamp_ns, self._last_frame_s = frame.stamp_ns, time.monotonic()
        self._trajectory.add(frame, update.keyframe is not None)
        if update.keyframe is not None:
            c = self.configuration
            began_s = time.monotonic()
            message = keyframe_to_message(update.keyframe, self._session, c.map_frame, jpeg_quality=c.jpeg_quality)
            self._keyframes.publish(message)
            self.statistics.latency("encode keyframe", time.monotonic() - began_s)
        self._publish_fragment(update.fragment)
        age_s = (self.get_clock().now().nanoseconds - frame.stamp_ns) / 1e9
        if 0 <= age_s < 60.0:  # a bag without /clock has stamps of another day
            self.statistics.latency("sensor stamp to map", age_s)

    # ---- output ------------------------------------------------------------------------------------------------

    def _publish_fragment(self, fragment: Fragment | None) -> None:
        if fragment is None:
            return
        began_s = time.monotonic()
        self._sequence += 1
        message = fragment_to_message(fragment, self._session, self._sequence, self.configuration.map_frame)
        self._fragments.publish(message)
        self.statistics.latency("encode fragment", time.monotonic() - began_s)

    def _publish(self) -> None:
        now_s = time.monotonic()
        if self._last_frame_s is not None and now_s - self._last_frame_s > self.configuration.flush_after_s:
            self._publish_fragment(self._mapper.flush())
            self._last_frame_s = None
        self._surface.publish(self._stamp_ns)
        self._trajectory.publish()

    def _start_anew(self) -> None:
        """Empty the map under a new session number and tell everybody."""
        self._mapper.reset()
        self._announce_new_session()

    def _announce_new_session(self) -> None:
        self._session = random.getrandbits(32) or 1
        self._order.clear()
        if self._gate is not None:
            self._gate.clear()
        self._surface.clear()
        self._trajectory.clear()
        self._last_frame_s = None
        self._sequence += 1
        self._fragments.publish(
            empty_fragment_message(self._session, self._sequence, self.configuration.map_frame, self._stamp_ns)
        )

    # ---- services ----------------------------------------------------------------------------------------------

    def _reset(self, request: Trigger.Request, response: Trigger.Response) -> None:
        self._start_anew()
        response.success, response.message = True, f"the map is empty; its session is {self._session}"

    def _pause(self, paused: bool, response: Trigger.Response) -> None:
        self._paused = paused
        response.success, response.message = True, "mapping is paused" if paused else "mapping goes on"

    def _save(self, request: SaveMap.Request, response: SaveMap.Response) -> None:
        self._publish_fragment(self._mapper.flush())
        self._files.save(self._mapper, request.name, response)

    def _load(self, request: LoadMap.Request, response: LoadMap.Response) -> None:
        fragments = self._files.load(self._mapper, request.name, response)
        if not response.success:
            return
        self._stamp_ns = max((fragment.stamp_ns for fragment in fragments), default=0)
        self._announce_new_session()
        for fragment in fragments:
            self._publish_fragment(fragment)


def main(args: list[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM."""
    return run(MappingNode, args=args)


if __name__ == "__main__":
    raise SystemExit(main())

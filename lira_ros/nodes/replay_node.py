"""Play a recording in the topics, frames and QoS of realsense2_camera, with the pose of the camera in TF."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

from rclpy.duration import Duration
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage

from lira_ros.configuration import parameter
from lira_ros.datasets import SequenceError, open_sequence
from lira_ros.datasets import realsense_layout as layout_of
from lira_ros.datasets.realsense_layout import RealSenseLayout, link_pose
from lira_ros.geometry.frame import Frame
from lira_ros.ros import qos
from lira_ros.ros.conversions.camera import camera_to_info
from lira_ros.ros.conversions.geometry import transform_to_message
from lira_ros.ros.conversions.image import depth_to_message, image_to_message
from lira_ros.ros.conversions.time import stamp_from_ns
from lira_ros.ros.node import REPORT_PERIOD_S, LiraNode, NodeConfiguration, run

# How often it is looked whether a frame is due; also the period of /clock between frames.
STEP_PERIOD_S = 0.005
CLOCK_PERIOD_S = 0.02
# Images of a driver wait in the middleware for reliable subscribers: a second at 30 Hz.
IMAGE_HISTORY = 30
# At the end, reliable subscribers get so long for the last images [s].
ACKNOWLEDGE_S = 5.0
# What best-effort subscribers have not taken is lost when the publisher goes; a driver would go on publishing [s].
LINGER_S = 1.0
# A publisher may know a subscriber before that knows the publisher, and drops what comes until then [s].
SETTLE_S = 0.5
TRANSFORM_WAIT_S = 2.0  # discovery takes up to 1 s with the shipped DDS profile


@dataclass(frozen=True)
class ReplayNodeConfiguration(NodeConfiguration):
    """Parameters of the replay node."""

    recording: str = parameter("", "Folder or bag to play, or room:default or room:<seed> for a generated room")
    rate: float = parameter(1.0, "Speed, 1 = as recorded", minimum=0.01, maximum=100.0)
    loop: bool = parameter(False, "Start again at the end; stamps and /clock jump back")
    loop_goes_on: bool = parameter(
        False, "With loop: stamps and /clock go on instead of jumping back, as if the camera went the same way again"
    )
    publish_clock: bool = parameter(False, "Publish /clock, for nodes with use_sim_time")
    wait_for_subscribers: bool = parameter(False, "Begin when color, depth and camera_info have a subscriber")
    exit_at_end: bool = parameter(True, "End the process after the last frame")
    camera_namespace: str = parameter(RealSenseLayout.namespace, "Namespace of the topics, as of realsense2_camera")
    camera_name: str = parameter(RealSenseLayout.name, "Prefix of the frames, as of realsense2_camera")
    map_frame: str = parameter(layout_of.MAP_FRAME, "Frame in which the poses of the recording are given")


class ReplayNode(LiraNode):
    """Plays frames when they are due; the worker reads the next one ahead."""

    node_name = "replay_node"
    configuration_class = ReplayNodeConfiguration
    headline = ("position", "frames")

    def configure(self) -> None:
        """Open the recording; raises SequenceError that says what was looked for and what was found."""
        c = self.configuration
        if not c.recording:
            raise SequenceError("recording: expected a folder, a bag or room:default, got ''")
        self._sequence = open_sequence(c.recording)
        if len(self._sequence) == 0:
            raise SequenceError(f"{c.recording}: has no frame with a pose")
        layout = self._layout = RealSenseLayout(c.camera_namespace, c.camera_name)
        images, infos = qos.stream(IMAGE_HISTORY), qos.stream(layout_of.IMAGE_DEPTH)
        self._color = self.publish_on(Image, f"{layout.color}/image_raw", images)
        self._color_info = self.publish_on(CameraInfo, f"{layout.color}/camera_info", infos)
        self._depth = self.publish_on(Image, f"{layout.depth}/image_raw", images)
        self._depth_info = self.publish_on(CameraInfo, f"{layout.depth}/camera_info", infos)
        self._tf = self.publish_on(TFMessage, layout_of.TRANSFORM_TOPIC, qos.stream(layout_of.TRANSFORM_DEPTH))
        self._tf_static = self.publish_on(TFMessage, layout_of.STATIC_TRANSFORM_TOPIC, qos.latched())
        self._clock_output = self.publish_on(Clock, "/clock", qos.stream(10)) if c.publish_clock else None
        self._frames = self._from_start()
        self._next: Frame | None = None
        self._start_s: float | None = None
        self._start_ns = 0
        self._shift_ns = 0  # by how much stamps are later than in the recording
        self._clock_s = 0.0
        self._waiting_report_s = time.monotonic() + REPORT_PERIOD_S
        self._images_wanted_s: float | None = None
        self._played = 0
        self._finished_s: float | None = None
        self._publish_static()
        self.worker.add_periodic("play", STEP_PERIOD_S, self._step)

    def activate(self) -> None:
        """Begin, or go on where deactivation stopped."""
        self._start_s = None
        c = self.configuration
        self.get_logger().info(
            f"plays {c.recording}: {len(self._sequence)} frames at {c.rate:g} times their speed on {c.camera_namespace}"
        )

    def cleanup(self) -> None:
        """Close the recording."""
        close = getattr(getattr(self, "_sequence", None), "close", None)
        if close is not None:
            close()

    def autostart_failed(self) -> None:
        """End: a recording that is not there does not appear later."""
        if self.configuration.exit_at_end:
            self.end_process(1)

    def diagnose(self) -> dict[str, object]:
        """Return how far the recording is."""
        return {"recording": self.configuration.recording, "frames": len(self._sequence), "position": self._played}

    # ---- worker ------------------------------------------------------------------------------------------------

    def _step(self) -> None:
        if self.state != "active":
            return
        if self._finished_s is not None:
            if self.configuration.exit_at_end and time.monotonic() - self._finished_s >= LINGER_S:
                self.end_process(0 if self._played else 1)
            return
        if self._next is None:
            frame = next(self._frames, None)
            if frame is None:
                self._finish()
                return
            self._next = replace(frame, stamp_ns=frame.stamp_ns + self._shift_ns)
        now_s = time.monotonic()
        if self._start_s is None:
            if self.configuration.wait_for_subscribers and self._played == 0 and not self._has_subscribers(now_s):
                return
            self._start_s, self._start_ns = now_s, self._next.stamp_ns
        recording_ns = self._start_ns + int((now_s - self._start_s) * self.configuration.rate * 1e9)
        if self._next.stamp_ns > recording_ns:
            if now_s - self._clock_s >= CLOCK_PERIOD_S:
                self._publish_clock(recording_ns)
            return
        self._publish(self._next)
        self.statistics.latency("late", (recording_ns - self._next.stamp_ns) / 1e9 / self.configuration.rate)
        self.statistics.arrived("frames played")
        self._played += 1
        self._next = None

    def _from_start(self) -> Iterator[Frame]:
        return self._sequence.readable(lambda error: self.report("frame unreadable", str(error)))

    def _has_subscribers(self, now_s: float) -> bool:
        missing = [
            publisher.topic_name
            for publisher in (self._color, self._depth, self._color_info)
            if publisher.get_subscription_count() == 0
        ]
        if missing:
            self._images_wanted_s = None
            if now_s >= self._waiting_report_s:
                self._waiting_report_s = now_s + REPORT_PERIOD_S
                self.get_logger().info(f"waits for subscribers of {', '.join(missing)}")
            return False
        if self._images_wanted_s is None:
            self._images_wanted_s = now_s
        # Who wants images wants their pose too, unless it comes from elsewhere: TF is not waited for without end.
        waited_s = now_s - self._images_wanted_s
        return waited_s > TRANSFORM_WAIT_S or (waited_s > SETTLE_S and self._tf.get_subscription_count() > 0)

    def _finish(self) -> None:
        if self.configuration.loop and self._played > 0:
            self._frames = self._from_start()
            if self.configuration.loop_goes_on:
                self._shift_ns += self._length_ns()
            else:
                self._start_s = None
            return
        for publisher in (self._tf, self._color, self._depth, self._color_info, self._depth_info):
            publisher.wait_for_all_acked(Duration(seconds=ACKNOWLEDGE_S))
        self.get_logger().info(f"played {self._played} frames of {self.configuration.recording}")
        self._finished_s = time.monotonic()

    def _length_ns(self) -> int:
        """Return the time from the first frame to where the first frame would follow the last."""
        last = len(self._sequence) - 1
        return self._sequence.stamp_ns(last) - self._sequence.stamp_ns(0) + round(1e9 / self._sequence.rate_hz)

    # ---- output ------------------------------------------------------------------------------------------------

    def _publish_clock(self, stamp_ns: int) -> None:
        if self._clock_output is not None:
            self._clock_s = time.monotonic()
            self._clock_output.publish(Clock(clock=stamp_from_ns(stamp_ns)))

    def _publish(self, frame: Frame) -> None:
        """Publish one frame: clock first, then the pose, so that it is there when the images are."""
        self._publish_clock(frame.stamp_ns)
        stamp, name, link = stamp_from_ns(frame.stamp_ns), self._layout.optical_frame, self._layout.link_frame
        T_map_link = link_pose(frame.T_map_camera)
        self._tf.publish(
            TFMessage(transforms=[transform_to_message(T_map_link, self.configuration.map_frame, link, stamp)])
        )
        info = camera_to_info(frame.camera, Header(stamp=stamp, frame_id=name))
        self._color_info.publish(info)
        self._depth_info.publish(info)
        self._color.publish(image_to_message(frame.color, layout_of.COLOR_ENCODING, frame.stamp_ns, name))
        self._depth.publish(depth_to_message(frame.depth_m, frame.stamp_ns, name, layout_of.DEPTH_ENCODING))

    def _publish_static(self) -> None:
        """Publish the fixed frames of the driver."""
        stamp = stamp_from_ns(0)
        transforms = [
            transform_to_message(transform, parent, child, stamp)
            for parent, child, transform in self._layout.static_transforms()
        ]
        self._tf_static.publish(TFMessage(transforms=transforms))


def main(args: list[str] | None = None) -> int:
    """Run the node until the recording ends, SIGINT or SIGTERM."""
    return run(ReplayNode, args=args)


if __name__ == "__main__":
    raise SystemExit(main())

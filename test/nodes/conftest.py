"""A small RGB-D camera that walks along a wall, as messages."""

from dataclasses import dataclass, field

import numpy as np
import pytest

CAMERA_FRAME = "camera_color_optical_frame"
WIDTH, HEIGHT, FOCAL = 64, 48, 50.0
START_NS = 1_700_000_000_000_000_000


def wall_depth(x_m: float) -> np.ndarray:
    """Return (H, W) float32 depth of a wall 1.5 m away with a box of 0.3 m in front of it."""
    depth = np.full((HEIGHT, WIDTH), 1.5, dtype=np.float32)
    columns = (np.arange(WIDTH) - (WIDTH - 1) / 2) / FOCAL * 1.2 + x_m
    depth[16:40, np.abs(columns - 0.3) < 0.15] = 1.2
    return depth


def wall_color() -> np.ndarray:
    """Return (H, W, 3) uint8 RGB."""
    color = np.full((HEIGHT, WIDTH, 3), (180, 60, 40), dtype=np.uint8)
    color[::8] = (20, 120, 200)
    return color


@dataclass
class CameraMessages:
    """Builds the messages of one moment; every field of them may be spoilt before they are sent."""

    namespace: str = ""
    frame: str = CAMERA_FRAME
    map_frame: str = "map"
    index: int = 0
    step_m: float = 0.05
    period_ns: int = 33_000_000
    publishers: dict = field(default_factory=dict)

    def connect(self, peer, profile=None, compressed=False):
        """Create the publishers on a node."""
        from sensor_msgs.msg import CameraInfo, CompressedImage, Image
        from tf2_msgs.msg import TFMessage

        from lira_ros.ros import qos

        profile = profile or qos.stream(50)
        image, endings = (CompressedImage, ("/compressed", "/compressedDepth")) if compressed else (Image, ("", ""))
        self.publishers = {
            "color": peer.create_publisher(image, f"{self.namespace}color/image{endings[0]}", profile),
            "depth": peer.create_publisher(image, f"{self.namespace}depth/image{endings[1]}", profile),
            "info": peer.create_publisher(CameraInfo, f"{self.namespace}color/camera_info", profile),
            "tf": peer.create_publisher(TFMessage, "/tf", 100),
        }
        return self

    def connected(self) -> bool:
        """Tell whether somebody listens to every topic (TF is not always listened to)."""
        return all(
            publisher.get_subscription_count() > 0 for name, publisher in self.publishers.items() if name != "tf"
        )

    def pose(self) -> np.ndarray:
        """Return T_map_camera: the camera looks along +y of the map, up is +z."""
        T = np.eye(4)
        T[:3, :3] = np.array([[1.0, 0, 0], [0, 0, 1.0], [0, -1.0, 0]])
        T[:3, 3] = (self.index * self.step_m, 0.0, 1.0)
        return T

    def next(self) -> dict:
        """Return the messages of the next moment by name."""
        from std_msgs.msg import Header
        from tf2_msgs.msg import TFMessage

        from lira_ros.geometry.camera import Camera
        from lira_ros.ros.conversions.camera import camera_to_info
        from lira_ros.ros.conversions.geometry import transform_to_message
        from lira_ros.ros.conversions.image import depth_to_message, image_to_message
        from lira_ros.ros.conversions.time import stamp_from_ns

        self.index += 1
        stamp_ns = START_NS + self.index * self.period_ns
        stamp = stamp_from_ns(stamp_ns)
        header = Header(stamp=stamp, frame_id=self.frame)
        camera = Camera(WIDTH, HEIGHT, FOCAL, FOCAL, (WIDTH - 1) / 2, (HEIGHT - 1) / 2)
        return {
            "tf": TFMessage(transforms=[transform_to_message(self.pose(), self.map_frame, self.frame, stamp)]),
            "color": image_to_message(wall_color(), "rgb8", stamp_ns, self.frame),
            "depth": depth_to_message(wall_depth(self.index * self.step_m), stamp_ns, self.frame),
            "info": camera_to_info(camera, header),
        }

    def send(self, messages: dict) -> None:
        """Publish the messages of one moment."""
        for name, message in messages.items():
            self.publishers[name].publish(message)


@pytest.fixture
def camera() -> CameraMessages:
    """Return a camera that is not connected yet."""
    return CameraMessages()


@pytest.fixture
def collect(peer):
    """Return a function that subscribes and returns the growing list of messages."""

    def collect_topic(message_type, topic, profile):
        messages = []
        peer.create_subscription(message_type, topic, messages.append, profile)
        return messages

    return collect_topic


@pytest.fixture
def mapping(spinner, wait_for, tmp_path):
    """Return a function that starts a mapping node with parameters and waits until it is active."""

    from rclpy.parameter import Parameter

    from lira_ros.nodes.mapping_node import MappingNode

    def start(active=True, cli_args=None, **values):
        values = {
            "map_directory": str(tmp_path),
            "mapping.voxel_size_m": 0.05,
            "mapping.fragment_keyframes": 3,
            "mapping.up": "+z",
            "camera.sensor_reliable": True,
            "frame_queue_size": 100,
            **values,
        }
        overrides = [Parameter(name.replace("__", "."), value=value) for name, value in values.items()]
        node = spinner.add(MappingNode(parameter_overrides=overrides, cli_args=cli_args))
        if active:
            wait_for(lambda: node.state == "active", 60, "the start of the mapping node")
        return node

    return start

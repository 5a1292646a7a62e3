"""Every display of the RViz configuration finds its topic, with the type that it shows and a QoS that matches."""

import pytest
import yaml
from launch_recorder import REPOSITORY

rclpy = pytest.importorskip("rclpy", reason="needs ROS 2 (make setup)")
pytest.importorskip("lira_msgs", reason="needs lira_msgs (make setup)")

from rclpy.qos import (  # noqa: E402
    DurabilityPolicy,
    QoSCompatibility,
    QoSProfile,
    ReliabilityPolicy,
    qos_check_compatible,
)
from shown_topics import interfaces  # noqa: E402

pytestmark = pytest.mark.ros

MESSAGE_OF_DISPLAY = {
    "MarkerArray": "visualization_msgs/msg/MarkerArray",
    "PointCloud2": "sensor_msgs/msg/PointCloud2",
    "Image": "sensor_msgs/msg/Image",
    "Map": "nav_msgs/msg/OccupancyGrid",
    "Path": "nav_msgs/msg/Path",
    "Pose": "geometry_msgs/msg/PoseStamped",
}
MANAGER = yaml.safe_load((REPOSITORY / "config" / "lira.rviz").read_text("utf-8"))["Visualization Manager"]
DISPLAYS = {display["Name"]: display for display in MANAGER["Displays"] if "Topic" in display}


@pytest.fixture(scope="module")
def publishers():
    """Return what the configured nodes publish: topic -> (type, QoS)."""
    return interfaces()[0]


def profile(topic: dict) -> QoSProfile:
    return QoSProfile(
        depth=topic["Depth"],
        reliability=ReliabilityPolicy[topic["Reliability Policy"].upper().replace(" ", "_")],
        durability=DurabilityPolicy[topic["Durability Policy"].upper().replace(" ", "_")],
    )


@pytest.mark.parametrize("name", DISPLAYS)
def test_display_matches_its_publisher(name, publishers):
    display = DISPLAYS[name]
    topic = display["Topic"]
    assert topic["Value"] in publishers, f"nobody publishes {topic['Value']}; there are {sorted(publishers)}"
    kind, offered = publishers[topic["Value"]]
    assert kind == MESSAGE_OF_DISPLAY[display["Class"].removeprefix("rviz_default_plugins/")]
    compatibility, reason = qos_check_compatible(offered, profile(topic))
    assert compatibility != QoSCompatibility.ERROR, reason
    # What is published once must reach an RViz that is opened later.
    if offered.durability == DurabilityPolicy.TRANSIENT_LOCAL:
        assert topic["Durability Policy"] == "Transient Local"


def test_all_pictures_for_people_are_shown(publishers):
    kinds = {
        "visualization_msgs/msg/MarkerArray",
        "sensor_msgs/msg/PointCloud2",
        "sensor_msgs/msg/Image",
        "nav_msgs/msg/OccupancyGrid",
    }
    # Numbers of instances in 32 bits are for programs; RViz has no such images.
    pictures = {topic for topic, (kind, _) in publishers.items() if kind in kinds} - {"/lira/instance_masks"}
    assert pictures == {display["Topic"]["Value"] for display in DISPLAYS.values()} & pictures
    assert pictures


def test_displays_have_unique_names_and_the_fixed_frame_is_that_of_the_map():
    names = [display["Name"] for display in MANAGER["Displays"]]
    assert len(names) == len(set(names))
    assert MANAGER["Global Options"]["Fixed Frame"] == "map"

"""The stand-ins of interface packages have the type hashes of the published ones, so that they speak to real peers."""

import json
from pathlib import Path

import pytest

nav2_action = pytest.importorskip("nav2_msgs.action", reason="needs ROS 2 (make setup)")
nav2_msgs = pytest.importorskip("nav2_msgs.msg", reason="needs ROS 2 (make setup)")
tf2_msgs = pytest.importorskip("tf2_msgs.msg", reason="needs ROS 2 (make setup)")
vision_msgs = pytest.importorskip("vision_msgs.msg", reason="needs ROS 2 (make setup)")

from ament_index_python.packages import get_package_share_directory  # noqa: E402
from rclpy.serialization import deserialize_message, serialize_message  # noqa: E402

# As in the code that ROS 2 Jazzy installations generated from the released packages.
PUBLISHED_HASHES = {
    "tf2_msgs/msg/TFMessage": "RIHS01_e369d0f05a23ae52508854b66f6aa0437f3449d652e8cbf22d5abe85d020f087",
    "tf2_msgs/srv/FrameGraph": "RIHS01_0d1fbc6222c018ba5f33822904a2fdd4063705289956d3fdde07cd8c50fe8067",
    "vision_msgs/msg/Detection3DArray": "RIHS01_793f5eab9595ac1c0da07873cc859db42eae51f0ee76056db8562515d830e018",
    "vision_msgs/msg/LabelInfo": "RIHS01_3d37df4015cdf660cc851c51897f2acd957e1ca6205ba0a99aebffb9406b0783",
    "vision_msgs/msg/VisionClass": "RIHS01_1e4a11f0fed50b5623cb8ff26ca0e37952a48a9c074d16f804b44e9164c2037a",
}


def share_directory(package: str, module: object) -> Path:
    try:
        return Path(get_package_share_directory(package))
    except (
        LookupError,
        OSError,
    ):  # wheels without AMENT_PREFIX_PATH: <prefix>/lib/pythonX.Y/site-packages/<package>/msg
        return Path(module.__file__).parents[5] / "share" / package


@pytest.mark.parametrize("name", PUBLISHED_HASHES)
def test_type_hash_is_the_published_one(name):
    package = name.split("/")[0]
    share = share_directory(package, {"tf2_msgs": tf2_msgs, "vision_msgs": vision_msgs}[package])
    description = share / f"{name.removeprefix(package + '/')}.json"
    if not description.is_file():
        pytest.skip("this ROS 2 release writes no type descriptions (Humble)")
    hashes = {entry["type_name"]: entry["hash_string"] for entry in json.loads(description.read_text())["type_hashes"]}
    assert hashes[name] == PUBLISHED_HASHES[name]


def test_detections_survive_serialization():
    detection = vision_msgs.Detection3D(id="7")
    detection.bbox.size.x = 1.5
    hypothesis = vision_msgs.ObjectHypothesis(class_id="3", score=0.25)
    detection.results = [vision_msgs.ObjectHypothesisWithPose(hypothesis=hypothesis)]
    message = vision_msgs.Detection3DArray(detections=[detection])
    assert deserialize_message(serialize_message(message), vision_msgs.Detection3DArray) == message


def test_label_info_survives_serialization():
    message = vision_msgs.LabelInfo(threshold=0.5)
    message.class_map = [vision_msgs.VisionClass(class_id=65535, class_name="unlabelled")]
    assert deserialize_message(serialize_message(message), vision_msgs.LabelInfo) == message


# Of nav2_msgs no release states its hashes where we could read them; these are the fields of 1.3 (Jazzy), in order.
def test_a_filter_info_has_the_fields_of_nav2():
    assert nav2_msgs.CostmapFilterInfo.get_fields_and_field_types() == {
        "header": "std_msgs/Header",
        "type": "uint8",
        "filter_mask_topic": "string",
        "base": "float",
        "multiplier": "float",
    }


def test_navigate_to_pose_has_the_fields_that_every_release_of_nav2_has():
    action = nav2_action.NavigateToPose
    assert action.Goal.get_fields_and_field_types() == {
        "pose": "geometry_msgs/PoseStamped",
        "behavior_tree": "string",
    }
    feedback = action.Feedback.get_fields_and_field_types()
    assert list(feedback)[:5] == [
        "current_pose",
        "navigation_time",
        "estimated_time_remaining",
        "number_of_recoveries",
        "distance_remaining",
    ]

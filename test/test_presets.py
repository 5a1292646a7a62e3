"""Camera and pose presets: what they hold, and what is said of one that cannot be used."""

from pathlib import Path

import pytest

from lira_ros.presets import IMAGE_TRANSPORTS, INPUTS, KINDS, PresetError, base_name, names, read

CONFIG = Path(__file__).resolve().parents[1] / "config"
SHIPPED = [(kind, name) for kind in KINDS for name in names(kind, CONFIG)]


@pytest.mark.parametrize(("kind", "name"), SHIPPED)
def test_every_shipped_preset_can_be_read(kind, name):
    preset = read(kind, name, CONFIG)
    assert (preset.name, preset.path) == (name, CONFIG / f"{kind}_{name}.yaml")
    assert preset.parameters["mapping_node"]
    assert all(topic.startswith("/") for topic in preset.topics.values())
    if preset.driver:
        assert preset.driver.startswith("ros2 launch ")
    expected = {"color/image", "color/camera_info", "depth/image", "depth/camera_info"}
    if kind == "camera":
        assert set(preset.topics) == (set() if name == "generic" else expected)
    else:
        assert not expected & set(preset.topics)


def test_the_cameras_of_the_makers_are_there():
    assert names("camera", CONFIG) == ["azure_kinect", "generic", "oak", "orbbec", "realsense", "zed"]
    assert {"tf", "rtabmap", "cuvslam"} <= set(names("pose", CONFIG))


def test_a_file_of_the_users_own(tmp_path):
    path = tmp_path / "mine.yml"
    path.write_text(
        "/**/lira_inputs:\n  ros__parameters:\n    driver: my driver\n    topics:\n"
        "      left/color/image: /left/rgb\n      imu: /imu/data\n"
        "/**/mapping_node:\n  ros__parameters:\n    mapping: {min_depth_m: 0.2}\n"
    )
    preset = read("camera", str(path), CONFIG)
    assert preset.driver == "my driver"
    assert preset.parameters == {"mapping_node": {"mapping.min_depth_m": 0.2}}
    assert preset.remappings() == {
        "left/color/image": "/left/rgb",
        "left/color/image/compressed": "/left/rgb/compressed",
        "imu": "/imu/data",
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("topics:\n  color/image: /rgb\n", "expected /**/<node>: at the beginning of a line, got 'topics'"),
        ("", "the file: expected names with values, got None"),
        ("{", "cannot be read"),
        ("/**/mapping_node:\n  camera: {}\n", "expected ros__parameters: and nothing else, got ['camera']"),
        ("/**/mapping_node:\n  ros__parameters: 3\n", "ros__parameters: expected names with values, got 3"),
        ("/**/lira_inputs:\n  ros__parameters:\n    topic: {}\n", "expected driver and topics, got topic"),
        ("/**/lira_inputs:\n  ros__parameters:\n    driver: [a]\n", "driver: expected a command, got ['a']"),
        ("/**/lira_inputs:\n  ros__parameters:\n    topics: [a]\n", "topics: expected names with values"),
        ("/**/lira_inputs:\n  ros__parameters:\n    topics: {rgb: /rgb}\n", "topics: 'rgb' is no input of lira"),
        ("/**/lira_inputs:\n  ros__parameters:\n    topics: {/color/image: /rgb}\n", "is no input of lira"),
        ("/**/lira_inputs:\n  ros__parameters:\n    topics: {color/image: /a b}\n", "the name of a topic, got '/a b'"),
        ("/**/lira_inputs:\n  ros__parameters:\n    topics: {color/image: 3}\n", "the name of a topic, got 3"),
        ("/**/lira_inputs:\n  ros__parameters:\n    topics: {color/image: ''}\n", "the name of a topic, got ''"),
    ],
)
def test_a_broken_file_is_named_with_what_was_expected(text, said, tmp_path):
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(PresetError) as raised:
        read("camera", str(path), CONFIG)
    assert str(path) in str(raised.value)
    assert said in str(raised.value)


@pytest.mark.parametrize("name", ["", "../lira", "Realsense", "lira"])
def test_an_unknown_name_lists_those_that_are_known(name):
    with pytest.raises(PresetError, match="camera: "):
        read("camera", name, CONFIG)


def test_inputs_are_known_by_their_base_name():
    assert base_name("a/b/depth/camera_info") == "depth/camera_info"
    assert base_name("color/image/compressed") == ""
    assert base_name("discolor/image") == ""
    assert set(IMAGE_TRANSPORTS) <= set(INPUTS)

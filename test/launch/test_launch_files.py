"""The launch files start the right processes for each combination of their arguments."""

import functools
import itertools
from pathlib import Path

import pytest
import yaml
from launch_recorder import REPOSITORY, Node, carry_out, install, load

from lira_ros.presets import PresetError, names
from lira_ros.reasoning.backends import BACKENDS

LAUNCH_FILES = ("lira.launch.py", "realsense.launch.py")
REQUIRED = ["mapping_node", "reasoning_node", "fusion_node"]
NODES = [*REQUIRED, "planning_node"]
CAMERAS = names("camera", REPOSITORY / "config")
POSES = names("pose", REPOSITORY / "config")


@pytest.fixture(autouse=True)
def _stand_ins(monkeypatch):
    install(monkeypatch)


def executables(context) -> list[str]:
    return [process.executable for process in context.processes if isinstance(process, Node)]


def node(context, executable: str) -> Node:
    return next(p for p in context.processes if isinstance(p, Node) and p.executable == executable)


def parameters_of(process: Node, name: str) -> dict:
    """Merge what the parameter files and dictionaries of a process say to one node, later ones over earlier ones."""
    merged: dict = {}
    for item in process.parameter_texts:
        if isinstance(item, dict):
            merged.update(item)
            continue
        for key, values in parsed(item).items():
            if key in ("/**", f"/**/{name}"):
                merged.update(flat(values["ros__parameters"]))
    return merged


@functools.cache
def parsed(text: str) -> dict:
    """Parse a parameter file once: the same few texts go to every process of every combination."""
    return yaml.safe_load(text) or {}


def flat(tree: dict, prefix: str = "") -> dict:
    result: dict = {}
    for name, value in tree.items():
        result.update(flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value})
    return result


@pytest.mark.parametrize("launch_file", LAUNCH_FILES)
def test_every_argument_is_described_and_each_is_worth_reading(launch_file):
    context = carry_out(launch_file)
    own = [argument.name for argument in load(REPOSITORY / "launch" / launch_file).ARGUMENTS]
    assert set(own) <= set(context.declared)
    assert len(own) <= 18
    for argument in context.declared.values():
        assert argument.description, argument.name
        assert argument.default_value is not None, f"{argument.name} must be given by the user"
        if argument.choices is not None:
            assert argument.default_value in argument.choices


def test_the_arguments_name_every_preset_and_every_back_end():
    declared = carry_out("lira.launch.py").declared
    for name, known in (("camera", CAMERAS), ("pose", POSES)):
        assert all(preset in declared[name].description for preset in known), name
    assert set(declared["reasoner"].choices) == set(BACKENDS)


def test_by_default_four_nodes_run_as_processes_of_their_own():
    context = carry_out("lira.launch.py")
    assert executables(context) == NODES
    assert {process.namespace for process in context.processes} == {"lira"}


@pytest.mark.parametrize(
    ("suite", "rviz", "respawn", "camera", "reasoner", "bag"),
    list(
        itertools.product(
            ("true", "false"), ("true", "false"), ("true", "false"), ("realsense", "generic"), ("compact", "oracle"),
            ("", "recording", "bag.mcap"),
        )
    ),
)  # fmt: skip
def test_every_combination_starts_what_it_names(tmp_path, suite, rviz, respawn, camera, reasoner, bag):
    path = str(tmp_path / bag) if bag else ""
    context = carry_out(
        "lira.launch.py", suite=suite, rviz=rviz, respawn=respawn, camera=camera, reasoner=reasoner, bag=path
    )
    core = ["suite"] if suite == "true" else list(REQUIRED)
    expected = [*core, "planning_node"]
    expected += ["replay_node"] if bag == "recording" else []
    expected += ["rviz2"] if rviz == "true" else []
    assert executables(context) == expected
    players = [process for process in context.processes if not isinstance(process, Node)]
    assert [process.cmd for process in players] == (
        [["ros2", "bag", "play", path, "--clock", "--delay", "5"]] if bag == "bag.mcap" else []
    )
    for executable in (*core, "planning_node"):
        process = node(context, executable)
        assert process.respawn == (respawn == "true")
        ends_all = respawn == "false" and executable in core
        assert bool(process.on_exit) == ends_all, "the end of a required node must end all, unless it respawns"
        assert parameters_of(process, "mapping_node")["use_sim_time"] is bool(bag)
        assert parameters_of(process, "reasoning_node")["reasoner.backend"] == reasoner
    depth = node(context, core[0]).remappings.get("depth/image")
    assert depth == {"realsense": "/camera/camera/aligned_depth_to_color/image_raw", "generic": None}[camera]


@pytest.mark.parametrize("suite", ["true", "false"])
def test_tracking_is_a_process_of_its_own_that_reads_the_same_images(suite):
    assert "tracking_node" not in executables(carry_out("lira.launch.py", suite=suite))
    context = carry_out("lira.launch.py", suite=suite, tracking="true")
    assert executables(context) == [*(["suite"] if suite == "true" else REQUIRED), "planning_node", "tracking_node"]
    tracking = node(context, "tracking_node")
    assert tracking.remappings["color/image"] == "/camera/camera/color/image_raw"
    assert parameters_of(tracking, "tracking_node")["restart_s"] == 2.0


@pytest.mark.parametrize("name", ["planning", "tracking", "web", "view"])
def test_each_further_node_has_its_argument_and_may_end_without_ending_the_others(name):
    executable = f"{name}_node"
    assert executable not in executables(carry_out("lira.launch.py", **{name: "false"}))
    process = node(carry_out("lira.launch.py", **{name: "true"}), executable)
    assert not process.on_exit
    assert not process.respawn
    assert process.remappings["color/image"] == "/camera/camera/color/image_raw"
    assert node(carry_out("lira.launch.py", respawn="true", **{name: "true"}), executable).respawn


def test_diagnostics_are_aggregated_when_asked_for():
    assert "aggregator_node" not in executables(carry_out("lira.launch.py"))
    aggregator = node(carry_out("lira.launch.py", diagnostics="true", bag="recording"), "aggregator_node")
    assert aggregator.package == "diagnostic_aggregator"
    assert aggregator.parameter_texts[-1] == {"use_sim_time": True}
    analyzers = yaml.safe_load(aggregator.parameter_texts[0])["/**"]["ros__parameters"]
    found = [name for item in analyzers.values() if isinstance(item, dict) for name in item["contains"]]
    # Every node that reports is found by exactly one analyzer.
    executables_of_ours = {path.stem for path in (REPOSITORY / "lira_ros" / "nodes").glob("*_node.py")}
    assert executables_of_ours <= set(found)
    assert len(found) == len(set(found))


@pytest.mark.parametrize("camera", [name for name in CAMERAS if name != "generic"])
def test_a_camera_brings_its_topics_and_its_parameters(camera):
    process = node(carry_out("lira.launch.py", camera=camera), "mapping_node")
    sections = yaml.safe_load((REPOSITORY / "config" / f"camera_{camera}.yaml").read_text("utf-8"))
    topics = sections["/**/lira_inputs"]["ros__parameters"]["topics"]
    assert set(topics) == {f"{kind}/{name}" for kind in ("color", "depth") for name in ("image", "camera_info")}
    for name, topic in topics.items():
        assert process.remappings[name] == topic
    assert process.remappings["color/image/compressed"] == topics["color/image"] + "/compressed"
    values = parameters_of(process, "mapping_node")
    for name, value in flat(sections["/**/mapping_node"]["ros__parameters"]).items():
        assert values[name] == value


@pytest.mark.parametrize("suite", ["true", "false"])
def test_the_graph_of_a_slam_reaches_the_mapping_node_with_its_parameters(suite):
    executable = "suite" if suite == "true" else "mapping_node"
    plain = node(carry_out("lira.launch.py", suite=suite), executable)
    assert "pose_graph" not in plain.remappings
    assert parameters_of(plain, "mapping_node")["correction.on_jump"] == "auto"
    rtabmap = node(carry_out("lira.launch.py", suite=suite, pose="rtabmap"), executable)
    assert rtabmap.remappings["pose_graph"] == "/rtabmap/mapPath"
    assert rtabmap.remappings["color/image"] == plain.remappings["color/image"]
    values = parameters_of(rtabmap, "mapping_node")
    assert (values["correction.graph_frame"], values["correction.on_jump"]) == ("base_link", "ignore")


@pytest.mark.parametrize(
    ("pose", "given", "frame"), [("tf", "", "map"), ("odometry", "", "odom"), ("odometry", "world", "world")]
)
def test_the_frame_of_the_map_is_that_of_the_pose_source_unless_it_is_given(pose, given, frame):
    context = carry_out("lira.launch.py", pose=pose, map_frame=given, rviz="true")
    assert parameters_of(node(context, "mapping_node"), "mapping_node")["map_frame"] == frame
    assert node(context, "rviz2").arguments[-2:] == ["-f", frame]


def test_base_camera_pose_and_the_file_of_the_user_win_in_this_order(tmp_path):
    # Each of the three says what those before it say as well, and one thing more than the next one.
    def written(name, **values):
        path = tmp_path / name
        lines = "".join(f"    {key}: {value}\n" for key, value in values.items())
        path.write_text(f"/**/mapping_node:\n  ros__parameters:\n{lines}")
        return str(path)

    camera = written("camera.yaml", pose_timeout_s=2.0, jpeg_quality=50, mesh_rate_hz=2.0)
    pose = written("pose.yaml", pose_timeout_s=3.0, jpeg_quality=60)
    mine = written("mine.yaml", pose_timeout_s=4.0)
    context = carry_out("lira.launch.py", camera=camera, pose=pose, params_file=mine)
    values = parameters_of(node(context, "mapping_node"), "mapping_node")
    assert (values["pose_timeout_s"], values["jpeg_quality"], values["mesh_rate_hz"]) == (4.0, 60, 2.0)
    assert values["points_rate_hz"] == 1.0  # of config/lira.yaml


def test_a_camera_of_the_users_own_is_a_file_of_the_same_form(tmp_path):
    mine = tmp_path / "two cameras.yaml"
    mine.write_text(
        "/**/lira_inputs:\n  ros__parameters:\n    topics:\n"
        "      front/color/image: /front/rgb\n      back/depth/image: back/depth\n"
        "/**/mapping_node:\n  ros__parameters:\n    camera_names: [front, back]\n"
    )
    process = node(carry_out("lira.launch.py", camera=str(mine)), "mapping_node")
    assert process.remappings == {
        "front/color/image": "/front/rgb",
        "front/color/image/compressed": "/front/rgb/compressed",
        "back/depth/image": "back/depth",
        "back/depth/image/compressedDepth": "back/depth/compressedDepth",
    }
    assert parameters_of(process, "mapping_node")["camera_names"] == ["front", "back"]


@pytest.mark.parametrize("launch_file", LAUNCH_FILES)
def test_every_executable_of_this_package_is_an_entry_point(launch_file):
    setup = (REPOSITORY / "setup.py").read_text(encoding="utf-8")
    seen = set()
    for suite in ("true", "false"):
        context = carry_out(launch_file, suite=suite, bag="recording", tracking="true", web="true", view="true")
        seen |= {p.executable for p in context.processes if isinstance(p, Node) and p.package == "lira_ros"}
    assert seen == {*NODES, "suite", "replay_node", "tracking_node", "web_node", "view_node"}
    for executable in seen:
        assert f'"{executable}"' in setup
        assert "def main(" in (REPOSITORY / "lira_ros" / "nodes" / f"{executable}.py").read_text(encoding="utf-8")


def test_the_executables_of_the_suite_keep_their_own_names():
    # A name given to the process of the suite would rename all nodes in it.
    for suite in ("true", "false"):
        assert all(process.name is None for process in carry_out("lira.launch.py", suite=suite).processes)


def test_a_bag_folder_is_told_from_a_recording_folder(tmp_path):
    (tmp_path / "metadata.yaml").touch()
    assert "replay_node" not in executables(carry_out("lira.launch.py", bag=str(tmp_path)))


def test_a_recording_is_replayed_from_its_start_in_the_frame_of_the_map_with_the_home_folder_filled_in():
    replay = node(carry_out("lira.launch.py", bag="~/walk", map_frame="world"), "replay_node")
    assert replay.parameter_texts[0] == {
        "recording": str(Path.home() / "walk"),
        "publish_clock": True,
        "wait_for_subscribers": True,
        "map_frame": "world",
    }


@pytest.mark.parametrize(("reasoner", "expected"), [("oracle", "room:default"), ("compact", "")])
def test_the_oracle_answers_from_the_recording_that_is_played(reasoner, expected):
    context = carry_out("lira.launch.py", bag="room:default", reasoner=reasoner)
    assert parameters_of(node(context, "reasoning_node"), "reasoning_node")["recording"] == expected


@pytest.mark.parametrize(("given", "expected"), [("auto", False), ("true", True), ("false", False)])
def test_simulated_time_can_be_forced(given, expected):
    context = carry_out("lira.launch.py", use_sim_time=given)
    assert parameters_of(context.processes[0], "mapping_node")["use_sim_time"] is expected


def test_compressed_images_are_read_below_the_topics_of_the_camera():
    remappings = node(carry_out("lira.launch.py"), "mapping_node").remappings
    assert remappings["color/image/compressed"] == "/camera/camera/color/image_raw/compressed"
    depth = "/camera/camera/aligned_depth_to_color/image_raw/compressedDepth"
    assert remappings["depth/image/compressedDepth"] == depth


def test_the_parameters_of_the_user_win(tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text("/**/reasoning_node:\n  ros__parameters:\n    reasoner:\n      backend: oracle\n")
    context = carry_out("lira.launch.py", params_file=str(mine), reasoner="compact")
    assert parameters_of(node(context, "reasoning_node"), "reasoning_node")["reasoner.backend"] == "oracle"


def test_the_map_frame_reaches_the_mapping_and_rviz():
    context = carry_out("lira.launch.py", map_frame="world", rviz="true")
    assert parameters_of(node(context, "mapping_node"), "mapping_node")["map_frame"] == "world"
    assert node(context, "rviz2").arguments[-2:] == ["-f", "world"]


@pytest.mark.parametrize("suite", ["true", "false"])
def test_each_of_several_robots_has_its_own_topics_transforms_and_clock(suite):
    context = carry_out("lira.launch.py", robot="robot1", suite=suite, bag="room:default", pose="rtabmap", rviz="true")
    processes = [process for process in context.processes if process.executable != "rviz2"]
    assert {process.namespace for process in processes} == {"robot1/lira"}
    own = {"/tf": "/robot1/tf", "/tf_static": "/robot1/tf_static", "/clock": "/robot1/clock"}
    for process in context.processes:
        assert own.items() <= process.remappings.items()
    mapping = node(context, "suite" if suite == "true" else "mapping_node").remappings
    assert mapping["color/image"] == "/robot1/camera/camera/color/image_raw"
    assert mapping["color/image/compressed"] == "/robot1/camera/camera/color/image_raw/compressed"
    assert mapping["pose_graph"] == "/robot1/rtabmap/mapPath"
    assert node(context, "replay_node").parameter_texts[0]["camera_namespace"] == "/robot1/camera/camera"
    configuration = Path(node(context, "rviz2").arguments[1])
    topics = [display["Topic"]["Value"] for display in displays(configuration) if "Topic" in display]
    assert all(name.startswith("/robot1/lira/") for name in topics)


def test_the_clock_stays_where_it_is_without_a_recording():
    remappings = node(carry_out("lira.launch.py", robot="robot1", use_sim_time="true"), "mapping_node").remappings
    assert "/clock" not in remappings  # of a simulator, which all robots share
    assert remappings["/tf"] == "/robot1/tf"


def test_a_bag_is_played_below_the_robot(tmp_path):
    context = carry_out("lira.launch.py", robot="robot1", bag=str(tmp_path / "walk.mcap"))
    command = next(process.cmd for process in context.processes if not isinstance(process, Node))
    rules = command[command.index("--remap") + 1 :]
    assert {"/tf:=/robot1/tf", "/tf_static:=/robot1/tf_static", "/clock:=/robot1/clock"} <= set(rules)
    assert "/camera/camera/color/image_raw:=/robot1/camera/camera/color/image_raw" in rules


@pytest.mark.parametrize(("namespace", "topic"), [("lira", "/lira/map/mesh"), ("robot1/lira", "/robot1/lira/map/mesh")])
def test_rviz_shows_the_topics_of_the_namespace(namespace, topic):
    context = carry_out("lira.launch.py", namespace=namespace, rviz="true")
    configuration = Path(node(context, "rviz2").arguments[1])
    topics = [display["Topic"]["Value"] for display in displays(configuration) if "Topic" in display]
    assert topic in topics
    assert all(name.startswith(f"/{namespace}/") for name in topics)
    if configuration.parent != REPOSITORY / "config":
        configuration.unlink()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"camera": "webcam"}, "camera: expected one of azure_kinect, generic, .* got 'webcam'"),
        ({"camera": "no/such.yaml"}, "camera: there is no file no/such.yaml"),
        ({"pose": "gps"}, "pose: expected one of cuvslam, .* got 'gps'"),
        ({"params_file": "no/mine.yaml"}, "params_file: there is no file no/mine.yaml"),
    ],
)
def test_a_preset_that_does_not_exist_is_named(arguments, said):
    with pytest.raises(PresetError, match=said):
        carry_out("lira.launch.py", **arguments)


def test_a_wrong_choice_is_refused():
    with pytest.raises(ValueError, match="reasoner"):
        carry_out("lira.launch.py", reasoner="guessing")


@pytest.mark.parametrize("launch_file", LAUNCH_FILES)
def test_the_fast_dds_profile_is_the_shipped_one_unless_the_user_has_one(launch_file):
    name = "FASTRTPS_DEFAULT_PROFILES_FILE"
    shipped = carry_out(launch_file, environment={}).environment[name]
    assert Path(shipped) == REPOSITORY / "config" / "fastdds.xml"
    assert Path(shipped).is_file()
    assert carry_out(launch_file, environment={name: "/mine.xml"}).environment[name] == "/mine.xml"


def test_the_log_level_reaches_every_node():
    for process in carry_out("lira.launch.py", log_level="debug").processes:
        assert process.arguments == ["--ros-args", "--log-level", "debug"]


def test_realsense_starts_the_driver_with_depth_registered_to_colour_and_lira_on_its_topics():
    context = carry_out("realsense.launch.py", profile="848x480x30", serial_no="'123'")
    driver, arguments = context.includes[0]
    assert driver.endswith("realsense2_camera/launch/rs_launch.py")
    assert arguments["align_depth.enable"] == "true"
    assert arguments["enable_sync"] == "true"
    assert arguments["pointcloud.enable"] == "false"
    assert arguments["rgb_camera.color_profile"] == arguments["depth_module.depth_profile"] == "848x480x30"
    assert arguments["serial_no"] == "'123'"
    assert executables(context) == NODES
    prefix = f"/{arguments['camera_namespace']}/{arguments['camera_name']}/"
    assert all(topic.startswith(prefix) for topic in node(context, "mapping_node").remappings.values())


def test_the_arguments_of_lira_can_be_given_to_the_realsense_launch_file():
    context = carry_out("realsense.launch.py", suite="true", namespace="robot1", rviz="true")
    assert executables(context) == ["suite", "planning_node", "rviz2"]
    assert node(context, "suite").namespace == "robot1"


@pytest.mark.parametrize(("given", "frame"), [("world", "world"), ("", "map")])
def test_a_fixed_camera_gets_a_constant_pose_in_the_map_frame(given, frame):
    context = carry_out("realsense.launch.py", fixed="true", map_frame=given)
    pose = node(context, "static_transform_publisher")
    assert pose.arguments == ["--z", "1.0", "--frame-id", frame, "--child-frame-id", "camera_link"]
    assert parameters_of(node(context, "mapping_node"), "mapping_node")["map_frame"] == frame


def test_a_slam_is_included_only_when_it_is_named():
    assert len(carry_out("realsense.launch.py").includes) == 2
    included = [path for path, _ in carry_out("realsense.launch.py", slam="/my/slam.launch.py").includes]
    assert "/my/slam.launch.py" in included


@pytest.mark.parametrize("launch_file", LAUNCH_FILES)
def test_the_real_launch_reads_the_file(launch_file, monkeypatch):
    monkeypatch.undo()
    pytest.importorskip("launch_ros", reason="launch_ros is not installed here (it is part of a ROS 2 installation)")
    from launch.launch_description_sources import get_launch_description_from_python_launch_file

    description = get_launch_description_from_python_launch_file(str(REPOSITORY / "launch" / launch_file))
    assert description.get_launch_arguments()


def displays(path: Path) -> list[dict]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))["Visualization Manager"]["Displays"]

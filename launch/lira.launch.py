"""Start lira: mapping, reasoning, fusion and planning, and on request the web page, viewers and a recording.

    ros2 launch lira_ros lira.launch.py                            # camera topics of a RealSense, pose from TF
    ros2 launch lira_ros lira.launch.py camera:=zed pose:=rtabmap  # another camera and SLAM: config/camera_*, pose_*
    ros2 launch lira_ros lira.launch.py camera:=my_camera.yaml     # your own camera, see config/camera_generic.yaml
    ros2 launch lira_ros lira.launch.py bag:=my_bag rviz:=true     # a rosbag2 bag or a recording folder
    ros2 launch lira_ros lira.launch.py --show-args

Parameters come from config/lira.yaml, then from the camera, then from the pose source, then from the arguments, then
from params_file; the later one wins. `lira doctor` says what is wrong when nothing comes out.
"""

import atexit
import shutil
import tempfile
from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, ExecuteProcess, OpaqueFunction, SetEnvironmentVariable, Shutdown
from launch.substitutions import EnvironmentVariable, LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterFile
from launch_ros.substitutions import FindPackageShare

from lira_ros import presets

CONFIG = PathJoinSubstitution([FindPackageShare("lira_ros"), "config"])
# The same folder while the arguments are declared, so that --show-args names the presets that are there.
PRESETS = Path(__file__).resolve().parents[1] / "config"

# ros2 bag play does not wait for subscribers; the nodes need about this long until they are active.
BAG_DELAY_S = 5
# Long enough for a DDS participant and a camera to be gone, short enough for a robot that waits.
RESPAWN_DELAY_S = 2.0
# Global by convention, so each robot of several needs its own (as nav2_bringup does it).
TRANSFORM_TOPICS = ("/tf", "/tf_static")
CLOCK_TOPIC = "/clock"
# Where replay_node plays a recording, as realsense2_camera would.
REPLAY_CAMERA = "/camera/camera"
# Without one of these nothing is understood: their end ends all. The others may come and go.
NODES = ("mapping_node", "reasoning_node", "fusion_node")
OPTIONAL_NODES = {"planning": "planning_node", "tracking": "tracking_node", "web": "web_node", "view": "view_node"}


def switch(name: str, default: str, description: str) -> DeclareLaunchArgument:
    """Return an argument that is true or false."""
    return DeclareLaunchArgument(name, default_value=default, choices=["true", "false"], description=description)


ARGUMENTS = (
    DeclareLaunchArgument("namespace", default_value="lira", description="Namespace of the nodes and their topics"),
    DeclareLaunchArgument(
        "robot",
        default_value="",
        description="Name of the robot, where several share a ROS domain: its nodes, its TF (/<robot>/tf), the topics "
        "of its camera and SLAM, and the clock of its recording are below /<robot>. Empty: where one robot has them",
    ),
    DeclareLaunchArgument(
        "camera",
        default_value="realsense",
        description="Camera whose topics are read, with the parameters that suit it: "
        f"{', '.join(presets.names('camera', PRESETS))}, or the path of a .yaml file of your own "
        "(as config/camera_generic.yaml, which says how). The file also says how the driver is to be started",
    ),
    DeclareLaunchArgument(
        "pose",
        default_value="tf",
        description="What says where the camera is, and corrects the map: "
        f"{', '.join(presets.names('pose', PRESETS))}, or the path of a .yaml file of your own. tf is any SLAM or "
        "odometry that publishes map -> camera in TF",
    ),
    DeclareLaunchArgument(
        "reasoner",
        default_value="compact",
        choices=["compact", "lisa", "vlm", "remote", "detector", "hybrid", "replay", "oracle"],
        description="Back end that proposes instances. compact needs no model; lisa, vlm, detector and hybrid need "
        "model files (lira models list), remote a server (reasoner.remote.url in params_file), replay a file of "
        "exchanges; oracle answers from the annotation of the recording in bag",
    ),
    DeclareLaunchArgument(
        "params_file",
        default_value="",
        description="YAML file with parameters of the nodes, of the form of config/lira.yaml; wins over all others",
    ),
    DeclareLaunchArgument(
        "map_frame",
        default_value="",
        description="Fixed frame of the map; empty: that of the pose source, map with most of them",
    ),
    DeclareLaunchArgument(
        "bag",
        default_value="",
        description="Recording to play: a rosbag2 bag, or a folder or room:default, played as a RealSense",
    ),
    DeclareLaunchArgument(
        "use_sim_time",
        default_value="auto",
        choices=["auto", "true", "false"],
        description="Take the time from /clock; auto does so while a recording is played",
    ),
    switch("suite", "false", "Run mapping, reasoning and fusion in one process: less memory, for small computers"),
    switch("planning", "true", "Offer goals beside instances, searches as an action, and grids for Nav2"),
    switch(
        "tracking",
        "false",
        "Follow the instances in every image with SAM 2 (lira models fetch sam2-hiera-large; needs a GPU)",
    ),
    switch("web", "false", "Serve the web page, on this machine only unless params_file says otherwise"),
    switch(
        "view",
        "false",
        "Send everything to Rerun (pip install rerun-sdk), or record it; see the parameters of view_node",
    ),
    switch("rviz", "false", "Show the map in RViz"),
    switch(
        "diagnostics",
        "false",
        "Start diagnostic_aggregator with config/diagnostics.yaml; leave it off where the robot runs one already",
    ),
    switch(
        "respawn",
        "false",
        "Start a node that ended again after 2 s; otherwise the end of mapping, reasoning or fusion ends all",
    ),
    DeclareLaunchArgument(
        "log_level",
        default_value="info",
        choices=["debug", "info", "warn", "error", "fatal"],
        description="Least severity of the messages shown",
    ),
)


def generate_launch_description() -> LaunchDescription:
    """Return the launch description."""
    profiles = "FASTRTPS_DEFAULT_PROFILES_FILE"
    return LaunchDescription(
        [
            *ARGUMENTS,
            # The buffers that Fast DDS has by default lose every other image. A profile of the user stays in force.
            SetEnvironmentVariable(
                profiles,
                EnvironmentVariable(profiles, default_value=PathJoinSubstitution([CONFIG, "fastdds.xml"])),
            ),
            OpaqueFunction(function=start),
        ]
    )


def start(context: LaunchContext) -> list:
    """Return the processes that the arguments ask for."""

    def argument(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    config = Path(CONFIG.perform(context))
    camera = presets.read("camera", argument("camera"), config)
    pose = presets.read("pose", argument("pose"), config)
    bag = str(Path(argument("bag")).expanduser()) if argument("bag") else ""
    robot = argument("robot").strip("/")
    namespace = "/".join(part for part in (robot, argument("namespace").strip("/")) if part)
    shared = [(topic, below(robot, topic)) for topic in (*TRANSFORM_TOPICS, *((CLOCK_TOPIC,) if bag else ())) if robot]
    inputs = [(name, below(robot, topic)) for name, topic in {**camera.remappings(), **pose.remappings()}.items()]
    map_frame = argument("map_frame") or pose.parameters.get("mapping_node", {}).get("map_frame", "map")
    # Read by launch_arguments.yaml. The oracle answers from the annotation of the recording that is played.
    context.launch_configurations["fixed_frame"] = map_frame
    context.launch_configurations["annotated_recording"] = bag if argument("reasoner") == "oracle" else ""
    sim_time = {"auto": bool(bag), "true": True, "false": False}[argument("use_sim_time")]
    # The later a file stands here, the more it has to say.
    parameters = [
        str(config / "lira.yaml"),
        str(camera.path),
        str(pose.path),
        ParameterFile(str(config / "launch_arguments.yaml"), allow_substs=True),
        *([user_parameters(argument("params_file"))] if argument("params_file") else []),
        {"use_sim_time": sim_time},
    ]
    respawn = argument("respawn") == "true"
    required = ("suite",) if argument("suite") == "true" else NODES
    optional = [executable for name, executable in OPTIONAL_NODES.items() if argument(name) == "true"]
    processes = [
        Node(
            package="lira_ros",
            executable=executable,
            namespace=namespace,
            parameters=parameters,
            remappings=[*inputs, *shared],
            arguments=["--ros-args", "--log-level", argument("log_level")],
            output="screen",
            emulate_tty=True,
            respawn=respawn,
            respawn_delay=RESPAWN_DELAY_S,
            on_exit=[Shutdown(reason=f"{executable} ended")] if executable in required and not respawn else None,
        )
        for executable in (*required, *optional)
    ]
    if bag:
        processes.append(
            player(Path(bag), namespace, map_frame, robot, [*camera.topics.values(), *pose.topics.values()])
        )
    if argument("rviz") == "true":
        processes.append(rviz(config / "lira.rviz", namespace, map_frame, sim_time, shared))
    if argument("diagnostics") == "true":
        processes.append(
            Node(
                package="diagnostic_aggregator",
                executable="aggregator_node",
                parameters=[str(config / "diagnostics.yaml"), {"use_sim_time": sim_time}],
                output="screen",
                respawn=respawn,
                respawn_delay=RESPAWN_DELAY_S,
            )
        )
    return processes


def below(robot: str, topic: str) -> str:
    """Return a topic below the name of a robot; a relative one is below the namespace of the node already."""
    return f"/{robot}{topic}" if robot and topic.startswith("/") else topic


def user_parameters(given: str) -> str:
    """Return the path of the user's parameter file; ROS would only say that it could not be opened."""
    path = Path(given).expanduser()
    if not path.is_file():
        raise presets.PresetError(f"params_file: there is no file {path}")
    return str(path)


def player(bag: Path, namespace: str, map_frame: str, robot: str, topics: list[str]) -> ExecuteProcess:
    """Return the process that plays a recording with its clock: ros2 bag play for bags, replay_node for the rest.

    ``topics``: what lira reads of it, which moves below the robot with TF and the clock.
    """
    moved = [(topic, below(robot, topic)) for topic in (*TRANSFORM_TOPICS, CLOCK_TOPIC, *topics) if robot]
    if bag.suffix in (".mcap", ".db3") or (bag / "metadata.yaml").is_file():
        rules = ["--remap", *(f"{old}:={new}" for old, new in moved)] if moved else []
        command = ["ros2", "bag", "play", str(bag), "--clock", "--delay", str(BAG_DELAY_S), *rules]
        return ExecuteProcess(cmd=command, output="screen")
    camera = {"camera_namespace": below(robot, REPLAY_CAMERA)} if robot else {}
    return Node(
        package="lira_ros",
        executable="replay_node",
        namespace=namespace,
        parameters=[
            {
                "recording": str(bag),
                "publish_clock": True,
                "wait_for_subscribers": True,
                "map_frame": map_frame,
                **camera,
            }
        ],
        remappings=moved[: len(TRANSFORM_TOPICS) + 1],
        output="screen",
        emulate_tty=True,
    )


def rviz(config: Path, namespace: str, map_frame: str, sim_time: bool, remappings: list[tuple[str, str]]) -> Node:
    """Return RViz with the topics of this namespace (an RViz configuration holds absolute names)."""
    if namespace.strip("/") != "lira":
        text = config.read_text(encoding="utf-8").replace("/lira/", f"/{namespace}/".replace("//", "/"))
        folder = Path(tempfile.mkdtemp(prefix="lira_rviz_"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        config = folder / "lira.rviz"
        config.write_text(text, encoding="utf-8")
    return Node(
        package="rviz2",
        executable="rviz2",
        arguments=["-d", str(config), "-f", map_frame],
        parameters=[{"use_sim_time": sim_time}],
        remappings=remappings,
        output="log",
    )

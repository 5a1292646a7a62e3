"""Start lira: mapping, reasoning and fusion, and on request RViz and a recording.

    ros2 launch lira_ros lira.launch.py                            # camera topics of a RealSense, pose from TF
    ros2 launch lira_ros lira.launch.py bag:=my_bag rviz:=true     # a rosbag2 bag or a recording folder
    ros2 launch lira_ros lira.launch.py --show-args

The pose comes from TF: something (SLAM, odometry, the bag) has to publish map -> camera. Another camera than the
presets: camera:=generic, and remap color/image, depth/image and color/camera_info with SetRemap in a launch file that
includes this one.
"""

import tempfile
from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, ExecuteProcess, OpaqueFunction, SetEnvironmentVariable, Shutdown
from launch.substitutions import EnvironmentVariable, LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterFile
from launch_ros.substitutions import FindPackageShare

CONFIG = PathJoinSubstitution([FindPackageShare("lira_ros"), "config"])

# Names of the inputs of mapping_node -> topics of the camera driver; its parameters are in config/camera_<camera>.yaml.
CAMERA_TOPICS = {
    "realsense": {
        "color/image": "/camera/camera/color/image_raw",
        "color/camera_info": "/camera/camera/color/camera_info",
        "depth/image": "/camera/camera/aligned_depth_to_color/image_raw",
        "depth/camera_info": "/camera/camera/aligned_depth_to_color/camera_info",
    },
    "generic": {},
}
# Where parameter camera.image_transport is "compressed", these are read below the topics of the images.
IMAGE_TRANSPORTS = {"color/image": "compressed", "depth/image": "compressedDepth"}
# SLAM that publishes its optimised graph as a path; parameters in config/pose_graph_<name>.yaml. Without one the map
# follows the jumps of map -> odom in TF.
POSE_GRAPH_TOPICS = {"none": {}, "rtabmap": {"pose_graph": "/rtabmap/mapPath"}}
# ros2 bag play does not wait for subscribers; the nodes need about this long until they are active.
BAG_DELAY_S = 5
NODES = ("mapping_node", "reasoning_node", "fusion_node")

ARGUMENTS = (
    DeclareLaunchArgument("namespace", default_value="lira", description="Namespace of the nodes and their topics"),
    DeclareLaunchArgument(
        "camera",
        default_value="realsense",
        choices=list(CAMERA_TOPICS),
        description="Camera whose topics are read; generic reads color/image, depth/image and color/camera_info",
    ),
    DeclareLaunchArgument(
        "reasoner",
        default_value="compact",
        choices=["compact", "oracle"],
        description="Back end that proposes instances; oracle answers from the annotation of the recording in bag",
    ),
    DeclareLaunchArgument(
        "pose_graph",
        default_value="none",
        choices=list(POSE_GRAPH_TOPICS),
        description="SLAM whose graph corrects the map; none follows the jumps of map -> odom and the service",
    ),
    DeclareLaunchArgument(
        "params_file",
        default_value="",
        description="YAML file with parameters of the nodes; wins over config/lira.yaml, the camera and the arguments",
    ),
    DeclareLaunchArgument("map_frame", default_value="map", description="Fixed frame of the map"),
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
    DeclareLaunchArgument("rviz", default_value="false", choices=["true", "false"], description="Show the map in RViz"),
    DeclareLaunchArgument(
        "suite",
        default_value="false",
        choices=["true", "false"],
        description="Run all nodes in one process: less memory, for small computers",
    ),
    DeclareLaunchArgument(
        "tracking",
        default_value="false",
        choices=["true", "false"],
        description="Follow the instances in every image with SAM 2 (lira models fetch sam2-hiera-large; needs a GPU)",
    ),
    DeclareLaunchArgument(
        "respawn",
        default_value="false",
        choices=["true", "false"],
        description="Start a node that ended again; otherwise the end of one ends all",
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
    bag = str(Path(argument("bag")).expanduser()) if argument("bag") else ""
    # The oracle answers from the annotation of the recording that is played; read by launch_arguments.yaml.
    context.launch_configurations["annotated_recording"] = bag if argument("reasoner") == "oracle" else ""
    sim_time = {"auto": bool(bag), "true": True, "false": False}[argument("use_sim_time")]
    # The later a file stands here, the more it has to say.
    parameters = [
        str(config / "lira.yaml"),
        str(config / f"camera_{argument('camera')}.yaml"),
        *([str(config / f"pose_graph_{argument('pose_graph')}.yaml")] if argument("pose_graph") != "none" else []),
        ParameterFile(str(config / "launch_arguments.yaml"), allow_substs=True),
        *([argument("params_file")] if argument("params_file") else []),
        {"use_sim_time": sim_time},
    ]
    respawn = argument("respawn") == "true"
    processes = [
        Node(
            package="lira_ros",
            executable=executable,
            namespace=argument("namespace"),
            parameters=parameters,
            remappings=[*remappings(argument("camera")), *POSE_GRAPH_TOPICS[argument("pose_graph")].items()],
            arguments=["--ros-args", "--log-level", argument("log_level")],
            output="screen",
            emulate_tty=True,
            respawn=respawn,
            respawn_delay=2.0,
            on_exit=None if respawn else [Shutdown(reason=f"{executable} ended")],
        )
        for executable in (
            *(("suite",) if argument("suite") == "true" else NODES),
            *(("tracking_node",) if argument("tracking") == "true" else ()),
        )
    ]
    if bag:
        processes.append(player(Path(bag), argument("namespace"), argument("map_frame")))
    if argument("rviz") == "true":
        processes.append(rviz(config / "lira.rviz", argument("namespace"), argument("map_frame"), sim_time))
    return processes


def remappings(camera: str) -> list[tuple[str, str]]:
    """Return the remappings of the inputs to the topics of a camera."""
    topics = CAMERA_TOPICS[camera]
    compressed = [
        (f"{name}/{transport}", f"{topics[name]}/{transport}")
        for name, transport in IMAGE_TRANSPORTS.items()
        if name in topics
    ]
    return [*topics.items(), *compressed]


def player(bag: Path, namespace: str, map_frame: str) -> ExecuteProcess:
    """Return the process that plays a recording with its clock: ros2 bag play for bags, replay_node for the rest."""
    if bag.suffix in (".mcap", ".db3") or (bag / "metadata.yaml").is_file():
        command = ["ros2", "bag", "play", str(bag), "--clock", "--delay", str(BAG_DELAY_S)]
        return ExecuteProcess(cmd=command, output="screen")
    return Node(
        package="lira_ros",
        executable="replay_node",
        namespace=namespace,
        parameters=[
            {"recording": str(bag), "publish_clock": True, "wait_for_subscribers": True, "map_frame": map_frame}
        ],
        output="screen",
        emulate_tty=True,
    )


def rviz(config: Path, namespace: str, map_frame: str, sim_time: bool) -> Node:
    """Return RViz with the topics of this namespace (an RViz configuration holds absolute names)."""
    if namespace.strip("/") != "lira":
        text = config.read_text(encoding="utf-8").replace("/lira/", f"/{namespace}/".replace("//", "/"))
        with tempfile.NamedTemporaryFile("w", prefix="lira_", suffix=".rviz", delete=False, encoding="utf-8") as copy:
            copy.write(text)
        config = Path(copy.name)
    return Node(
        package="rviz2",
        executable="rviz2",
        arguments=["-d", str(config), "-f", map_frame],
        parameters=[{"use_sim_time": sim_time}],
        output="log",
    )

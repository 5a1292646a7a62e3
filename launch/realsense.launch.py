"""Start a RealSense camera with depth aligned to colour, and lira on its topics.

    ros2 launch lira_ros realsense.launch.py fixed:=true rviz:=true         # first try: the camera stands still
    ros2 launch lira_ros realsense.launch.py slam:=/path/to/my_slam.launch.py

lira does not localise the camera: a SLAM or odometry must publish map -> camera_link in TF. Start one beside this, name
its launch file with slam:=, or leave the camera where it is and say fixed:=true. All arguments of lira.launch.py and of
realsense2_camera's rs_launch.py can be given as well.
"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, GroupAction, IncludeLaunchDescription
from launch.conditions import IfCondition
from launch.launch_description_sources import AnyLaunchDescriptionSource, PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution, PythonExpression
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

ARGUMENTS = (
    DeclareLaunchArgument(
        "profile",
        default_value="640x480x30",
        description="Width x height x rate of colour and depth",
    ),
    DeclareLaunchArgument(
        "serial_no", default_value="''", description="Serial number of the camera, needed when there are several"
    ),
    DeclareLaunchArgument(
        "initial_reset",
        default_value="true",
        choices=["true", "false"],
        description="Reset the camera first; costs some seconds and frees one that a crashed driver left open",
    ),
    DeclareLaunchArgument(
        "slam", default_value="", description="Launch file of a SLAM that publishes map -> camera_link; empty: none"
    ),
    DeclareLaunchArgument(
        "fixed",
        default_value="false",
        choices=["true", "false"],
        description="The camera does not move: publish a constant map -> camera_link, level and 1 m above the floor",
    ),
)


def generate_launch_description() -> LaunchDescription:
    """Return the launch description."""
    camera = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(
            PathJoinSubstitution([FindPackageShare("realsense2_camera"), "launch", "rs_launch.py"])
        ),
        launch_arguments={
            "camera_namespace": "camera",  # the camera preset of lira.launch.py expects /camera/camera/...
            "camera_name": "camera",
            "serial_no": LaunchConfiguration("serial_no"),
            "initial_reset": LaunchConfiguration("initial_reset"),
            "rgb_camera.color_profile": LaunchConfiguration("profile"),
            "depth_module.depth_profile": LaunchConfiguration("profile"),
            "align_depth.enable": "true",
            "enable_sync": "true",  # colour and depth of a frame set come with the same stamp
            "pointcloud.enable": "false",
        }.items(),
    )
    slam = IncludeLaunchDescription(
        AnyLaunchDescriptionSource(LaunchConfiguration("slam")),
        condition=IfCondition(PythonExpression(["'", LaunchConfiguration("slam"), "' != ''"])),
    )
    # As in lira.launch.py, empty means the frame of the pose source; whoever stands still has none but "map".
    fixed_frame = PythonExpression(["'", LaunchConfiguration("map_frame"), "' or 'map'"])
    fixed_pose = Node(
        package="tf2_ros",
        executable="static_transform_publisher",
        arguments=["--z", "1.0", "--frame-id", fixed_frame, "--child-frame-id", "camera_link"],
        condition=IfCondition(LaunchConfiguration("fixed")),
    )
    lira = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(PathJoinSubstitution([FindPackageShare("lira_ros"), "launch", "lira.launch.py"])),
        launch_arguments={"camera": "realsense"}.items(),
    )
    # A group of its own keeps the hundred arguments of rs_launch.py from reaching what is started after it.
    return LaunchDescription([*ARGUMENTS, GroupAction([camera]), GroupAction([slam]), lira, fixed_pose])

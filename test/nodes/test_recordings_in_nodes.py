"""A real recording through replay and mapping nodes gives the map that the recording itself gives."""

import numpy as np
from rclpy.parameter import Parameter
from scipy.spatial import cKDTree

from lira_ros.datasets import open_sequence
from lira_ros.mapping.configuration import MappingConfiguration
from lira_ros.mapping.mapper import Mapper
from lira_ros.nodes.mapping_node import MappingNode
from lira_ros.nodes.replay_node import ReplayNode

CAMERA = "/camera/camera"
REMAPPINGS = [
    f"color/image:={CAMERA}/color/image_raw",
    f"depth/image:={CAMERA}/aligned_depth_to_color/image_raw",
    f"color/camera_info:={CAMERA}/color/camera_info",
]
# The folder holds every third frame of the walk, the bag frames 56 to 89: those lie between these of the folder.
FOLDER_INDICES = range(16, 32)
R_BAG_FOLDER = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]], dtype=np.float32)


def test_a_bag_gives_the_map_of_the_folder_that_it_came_from(spinner, wait_for, shared_data):
    bag_path = shared_data / "ros2_bag_sample" / "hololens_as_realsense_mcap"
    bag, folder = open_sequence(bag_path), open_sequence(shared_data / "hololens_kitchen")
    assert len(bag) == 12

    arguments = ["--ros-args", *(item for remapping in REMAPPINGS for item in ("-r", remapping))]
    overrides = {"camera.sensor_reliable": True, "frame_queue_size": 100, "mapping.up": "+z", "flush_after_s": 3600.0}
    node = spinner.add(
        MappingNode(
            cli_args=arguments,
            parameter_overrides=[Parameter(name, value=value) for name, value in overrides.items()],
        )
    )
    wait_for(lambda: node.state == "active", 60, "the mapping node")
    overrides = {"recording": str(bag_path), "rate": 4.0, "wait_for_subscribers": True, "exit_at_end": False}
    spinner.add(ReplayNode(parameter_overrides=[Parameter(name, value=value) for name, value in overrides.items()]))

    def frames():
        return node.worker.submit(node._mapper.statistics).result(30)["frames"]

    wait_for(lambda: frames() == len(bag), 60, "all frames of the bag in the map")
    points, colors = node.worker.submit(node._mapper.points).result(30)

    # The nodes lose nothing: this is the map of the same messages without nodes.
    mapper = Mapper(MappingConfiguration(up="+z"))
    for frame in bag:
        mapper.add_frame(frame)
    expected, expected_colors = mapper.points()
    assert abs(len(points) - len(expected)) < 0.001 * len(expected)
    distance_m, nearest = cKDTree(expected).query(points)
    assert np.percentile(distance_m, 99) < 0.001
    difference = np.abs(colors.astype(int) - expected_colors[nearest]).max(axis=1)
    assert np.percentile(difference, 95) <= 2

    # And it lies where the folder says: the bag has the frames between those of the folder, and z up instead of y.
    mapper = Mapper(MappingConfiguration(up="+y"))
    for index in FOLDER_INDICES:
        mapper.add_frame(folder.frame(index))
    distance_m, _ = cKDTree(mapper.points()[0] @ R_BAG_FOLDER.T).query(points)
    median_m, high_m = np.percentile(distance_m, (50, 90))
    assert median_m < 0.005
    assert high_m < 0.03

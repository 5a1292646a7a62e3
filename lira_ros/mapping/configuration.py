"""Parameters of the mapping room."""

from __future__ import annotations

from dataclasses import dataclass

from lira_ros.configuration import parameter
from lira_ros.geometry.gravity import UP_CHOICES
from lira_ros.mapping.devices import DEVICE_CHOICES


@dataclass(frozen=True)
class MappingConfiguration:
    """What the map keeps, how finely, and from which frames."""

    voxel_size_m: float = parameter(
        0.02,
        "Edge of a voxel [m]; a paper cup needs 0.02, LIRA uses 0.04",
        minimum=0.004,
        maximum=0.5,
    )
    truncation_voxels: float = parameter(
        4.0, "Truncation distance on each side of a surface [voxels]", minimum=2.0, maximum=20.0
    )
    min_depth_m: float = parameter(
        0.3, "Nearest depth that is used [m]; 0.3 is the near limit of a RealSense D435", minimum=0.01, maximum=10.0
    )
    max_depth_m: float = parameter(
        4.0,
        "Farthest depth that is used [m]; beyond 4 m the noise of a depth camera exceeds 2.5 cm (Nguyen et al. 2012)",
        minimum=0.1,
        maximum=30.0,
    )
    drop_discontinuities: bool = parameter(True, "Drop depth at occlusion edges, where it mixes front and back")
    weighting: str = parameter(
        "depth_noise",
        "Weight of a measurement: constant (1; LIRA) or depth_noise ((2 m / z)^2, at most 4; nvblox, voxblox)",
        choices=("constant", "depth_noise"),
    )
    weight_cap: float = parameter(
        128.0, "Largest weight of a voxel within a fragment (128: PCL KinFu)", minimum=1.0, maximum=1e6
    )
    mesh_weight: float = parameter(
        1.5, "Least weight of voxels between which a surface is drawn", minimum=0.0, maximum=1000.0
    )
    keyframe_angle_deg: float = parameter(
        15.0, "Turn since the last keyframe that makes another one [degrees] (LIRA)", minimum=0.0, maximum=180.0
    )
    keyframe_distance_m: float = parameter(
        0.1, "Way since the last keyframe that makes another one [m] (LIRA)", minimum=0.0, maximum=10.0
    )
    fragment_keyframes: int = parameter(9, "Keyframes in a fragment (LIRA)", minimum=1, maximum=1000)
    integrate_every: int = parameter(
        1, "Integrate every n-th frame; keyframes are always integrated", minimum=1, maximum=1000
    )
    max_blocks: int = parameter(
        0,
        "Most blocks of 8x8x8 voxels of the map in memory (14 KiB each), 0 = as many as half of the machine's memory "
        "holds; far fragments go to disk before it is full, and new space is refused when what is near needs all",
        minimum=0,
        maximum=100_000_000,
    )
    memory_budget_mib: int = parameter(
        0,
        "Memory for fragments, their composition and its mesh [MiB]; beyond it the farthest fragments go to disk and "
        "come back when the camera is near. 0 = keep everything while it fits into half of the machine's memory",
        minimum=0,
        maximum=100_000_000,
    )
    device: str = parameter(
        "cpu",
        "Where frames are integrated and surfaces drawn: cpu, cuda (an NVIDIA GPU, needs numba-cuda), or auto (the "
        "GPU where one is found)",
        choices=DEVICE_CHOICES,
    )
    correction_distance_m: float = parameter(
        0.002,
        "A corrected pose moves a fragment when it shifts it by more than this [m] or turns it by more than "
        "correction_angle_deg; less does not show in the map",
        minimum=0.0,
        maximum=10.0,
    )
    correction_angle_deg: float = parameter(
        0.05, "Turn by which a corrected pose moves a fragment [degrees]", minimum=0.0, maximum=180.0
    )
    correction_tolerance_s: float = parameter(
        0.05,
        "Most time between a corrected pose and the frame that it is taken for [s]",
        minimum=0.0,
        maximum=10.0,
    )
    up: str = parameter(
        "auto",
        "Direction against gravity in the map frame (ROS maps: +z), or where it comes from: auto (the scene), imu, tf",
        choices=UP_CHOICES,
    )

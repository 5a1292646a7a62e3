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
    truncation_m: float = parameter(
        0.0,
        "Truncation distance in metres, at least 2 voxels; 0 = truncation_voxels (0.04: LIRA at any voxel size)",
        minimum=0.0,
        maximum=5.0,
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
    integration: str = parameter(
        "default",
        "Rules by which frames are fused: default (those of the parameters here), or open3d (those of Open3D's "
        "VoxelBlockGrid: equal blocks, distances and weights in a fragment; edges, weights and filter are not used)",
        choices=("default", "open3d"),
    )
    depth_filter: str = parameter(
        "surface_mean",
        "What is done to depth before it is fused: none (LIRA, Open3D), or surface_mean (mean inverse depth of the 3x3 "
        "pixels that lie on one surface, which keeps planes and edges; after the bilateral filter of KinectFusion)",
        choices=("none", "surface_mean"),
    )
    weighting: str = parameter(
        "constant",
        "Weight of a measurement: constant (1; LIRA), depth_noise ((2 m / z)^2, at most 4; nvblox, voxblox), incidence "
        "(cosine of the angle to the surface's normal; KinectFusion), or depth_noise_incidence (both)",
        choices=("constant", "depth_noise", "incidence", "depth_noise_incidence"),
    )
    behind_surface: str = parameter(
        "fading",
        "Weight behind a surface: full down to the truncation distance (LIRA, Open3D), or fading from one voxel behind "
        "it to nothing at the truncation distance, which saves thin walls (voxblox; Bylow et al. 2013)",
        choices=("full", "fading"),
    )
    free_space: str = parameter(
        "band",
        "Where free space is fused: band (blocks near the measured surface; LIRA, Open3D), or carve (also mapped "
        "blocks that are seen through, so that what was taken away goes; voxblox)",
        choices=("band", "carve"),
    )
    decay_half_life_s: float = parameter(
        0.0,
        "Time after which what was measured counts half when it is measured again [s], 0 = for ever (decay of nvblox)",
        minimum=0.0,
        maximum=1e6,
    )
    integration_threads: int = parameter(
        1, "Threads that fuse a frame; the map does not depend on their number", minimum=1, maximum=64
    )
    weight_cap: float = parameter(
        128.0, "Largest weight of a voxel within a fragment (128: PCL KinFu)", minimum=1.0, maximum=1e6
    )
    mesh_weight: float = parameter(
        0.5,
        "Least weight of voxels between which a surface is drawn; a measurement weighs 1 (see weighting)",
        minimum=0.0,
        maximum=1000.0,
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

    @property
    def truncation_distance_m(self) -> float:
        """Return the truncation distance [m]; raises ValueError below two voxels, where no surface is found."""
        if self.truncation_m == 0.0:
            return self.truncation_voxels * self.voxel_size_m
        if self.truncation_m < 2.0 * self.voxel_size_m:
            raise ValueError(
                f"truncation_m {self.truncation_m} must be at least 2 voxels, {2.0 * self.voxel_size_m:g} m"
            )
        return self.truncation_m

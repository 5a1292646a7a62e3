"""What can be set of the fusion of candidates into instances."""

from __future__ import annotations

from dataclasses import dataclass

from lira_ros.configuration import parameter, section
from lira_ros.reasoning.compute import DEVICE_CHOICES


@dataclass(frozen=True)
class LearnedConfiguration:
    """The network of the learned fusion."""

    weights: str = parameter(
        "", "Weights of the learned fusion (.safetensors of `lira train fusion`); empty = those that are shipped"
    )
    device: str = parameter("auto", "Where the network runs; auto = the GPU where there is one", choices=DEVICE_CHOICES)


@dataclass(frozen=True)
class TiffConfiguration:
    """LIRA's network of fusion, method tiff."""

    weights: str = parameter(
        "", "Weights of method tiff (.safetensors of `lira train fusion --model tiff`); empty = those that are shipped"
    )
    # LIRA's thresholds; its authors' note for the Extension data set has 0.4.
    min_confidence: float = parameter(
        0.6, "Confidence of the network from which a candidate takes part", minimum=0.0, maximum=1.0
    )
    neighbour_rule: str = parameter(
        "plus1",
        "Which voxels are neighbours in its sparse convolution: plus1, all that touch; quirk_cpu and quirk_gpu, as in "
        "LIRA's volume that is one voxel too small, by spconv's search on processors or on CUDA",
        choices=("plus1", "quirk_cpu", "quirk_gpu"),
    )
    back_end: str = parameter(
        "pytorch",
        "What computes the sparse convolution; spconv and torchsparse need CUDA and their package",
        choices=("pytorch", "spconv", "torchsparse"),
    )
    device: str = parameter("auto", "Where the network runs; auto = the GPU where there is one", choices=DEVICE_CHOICES)


@dataclass(frozen=True)
class FusionConfiguration:
    """Method, voxel grid, thresholds of publication and bounds of memory of the instance fusion."""

    method: str = parameter(
        "votes",
        "How candidates become instances. learned: a trained network compares candidates and instances and judges "
        "every voxel of a view; votes: overlap, name, colour and meaning decide what belongs together, and every view "
        "votes for and against every voxel; label_free: as votes, but at most eight views of an instance decide about "
        "its voxels by their consensus, without outliers (MLLM-For3D); geometry: overlap alone decides, masks are "
        "united and the older instance keeps a contested voxel (what LIRA does without its network; for comparison); "
        "tiff: LIRA's network and map, with voxels of 4 cm",
        choices=("learned", "votes", "label_free", "geometry", "tiff"),
    )
    learned: LearnedConfiguration = section(LearnedConfiguration)
    tiff: TiffConfiguration = section(TiffConfiguration)

    voxel_size_m: float = parameter(
        0.02, "Edge of the voxels of instances [m]; the same as the map's", minimum=0.005, maximum=0.2
    )
    max_depth_m: float = parameter(
        5.0,
        "Depth beyond this is not lifted into voxels [m]; sensor noise is about 4 cm there",
        minimum=0.5,
        maximum=20.0,
    )
    margin_m: float = parameter(
        0.05,
        "Room for pose errors [m]: how far a voxel may be from the measured surface and still be the same surface",
        minimum=0.0,
        maximum=0.5,
    )
    min_overlap: float = parameter(
        0.25,
        "Least overlap of a candidate with an instance, over what both views could see, to be the same thing",
        minimum=0.05,
        maximum=0.95,
    )
    merge_overlap: float = parameter(
        0.5, "Overlap of two instances in voxels from which they are one", minimum=0.1, maximum=1.0
    )
    min_support: float = parameter(
        0.5, "Share of the views of a voxel that must have put it into the instance", minimum=0.05, maximum=0.95
    )
    min_voxels: int = parameter(
        10, "Instances of fewer voxels are not published, candidates of fewer are not fused", minimum=1, maximum=100000
    )
    publish_existence: float = parameter(
        0.5, "Instances are published from this existence probability on", minimum=0.0, maximum=1.0
    )
    # 0.12 is the lower clamp of OctoMap (Hornung et al. 2013), where a voxel counts as certainly free.
    prune_existence: float = parameter(
        0.12, "Instances are forgotten below this existence probability", minimum=0.0, maximum=0.5
    )
    fragment_min_weight: float = parameter(
        2.0, "Observations from which a fragment's voxel may refine instances", minimum=0.0, maximum=1000.0
    )
    max_instances: int = parameter(
        500, "Most instances kept; unconfirmed ones not seen for longest are forgotten first", minimum=1, maximum=100000
    )
    max_instance_voxels: int = parameter(
        100000, "Most voxels kept for one instance; later ones are not taken up", minimum=100, maximum=10000000
    )
    max_keyframes: int = parameter(
        400,
        "Keyframes kept for candidates that come late, oldest forgotten first (0.8 MB each at 640x480)",
        minimum=1,
        maximum=100000,
    )
    max_keyframe_mib: int = parameter(
        512,
        "Most memory of the images of these keyframes [MiB]; the oldest are forgotten first, the newest is always kept",
        minimum=1,
        maximum=100000,
    )
    max_waiting: int = parameter(
        200, "Candidate sets kept that came before their keyframe; the oldest are dropped", minimum=0, maximum=100000
    )
    max_fragments: int = parameter(
        200, "Fragments kept to refine instances, oldest forgotten first", minimum=1, maximum=100000
    )

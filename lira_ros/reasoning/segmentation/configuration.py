"""What can be set of how boxes become masks."""

from __future__ import annotations

from dataclasses import dataclass

from lira_ros.configuration import parameter

SEGMENTER_CHOICES = ("auto", "model", "depth")


@dataclass(frozen=True)
class SegmentationConfiguration:
    """Who makes masks of boxes, and how much memory image features may take."""

    method: str = parameter(
        "auto",
        "model = a SAM, SAM 2 or SAM 3 by its card; depth = the surface inside the box, needs no model; auto = the "
        "model where its files are here, else depth",
        choices=SEGMENTER_CHOICES,
    )
    model: str = parameter("sam2-hiera-large", "Card of the segmentation model (lira models list), or a card file")
    feature_cache_mib: int = parameter(
        512, "Most memory of image features kept for further instructions [MiB]", minimum=0, maximum=100000
    )

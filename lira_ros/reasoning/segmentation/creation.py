"""Makes the segmenter that is configured."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from lira_ros.reasoning.contracts import ReasoningError
from lira_ros.reasoning.models.cards import ModelCard, ModelCardError, find_card
from lira_ros.reasoning.models.files import locate
from lira_ros.reasoning.segmentation.configuration import SegmentationConfiguration
from lira_ros.reasoning.segmentation.contracts import Segmenter
from lira_ros.reasoning.segmentation.depth import DepthSegmenter

if TYPE_CHECKING:
    from pathlib import Path

    from lira_ros.reasoning.compute import ComputeConfiguration
    from lira_ros.reasoning.segmentation.video_tracking import MaskTracker

_LOGGER = logging.getLogger(__name__)

FAMILIES = ("sam", "sam2", "sam3")


def create_segmenter(configuration: SegmentationConfiguration, compute: ComputeConfiguration) -> Segmenter:
    """Return a model by its card, or the segmenter by depth; method auto takes the model where its files are here.

    Raises ReasoningError for a card that is unknown or of something else, and, unless the method is auto, when files or
    libraries of the model are missing.
    """
    if configuration.method == "depth":
        return DepthSegmenter()
    card = find_card(configuration.model)
    if card.kind != "segmenter" or card.family not in FAMILIES:
        raise ModelCardError(
            f"masks.model: {card.name} is a {card.kind} of family {card.family}; expected a segmenter of family "
            f"{', '.join(FAMILIES)}"
        )
    try:
        return load_segmenter(card, locate(card), configuration, compute)
    except ReasoningError as error:
        if configuration.method == "model":
            raise
        _LOGGER.warning("Masks are cut out by colour and depth, not by %s: %s", card.name, error)
        return DepthSegmenter()


def load_segmenter(
    card: ModelCard, folder: Path, configuration: SegmentationConfiguration, compute: ComputeConfiguration
) -> Segmenter:
    """Return the segmenter of a card from the folder with its files; raises ReasoningError that names the folder."""
    from lira_ros.reasoning.models.pretrained import load_part, load_pretrained

    multimask = card.options.get("multimask", False)
    if not isinstance(multimask, bool):
        raise ModelCardError(f"model {card.name}: options.multimask: expected true or false, got {multimask!r}")
    cache_mib = configuration.feature_cache_mib
    if card.family == "sam3":
        model = load_pretrained("Sam3Model", folder)
        from lira_ros.reasoning.segmentation.sam3 import Sam3Segmenter

        return Sam3Segmenter(model, load_part("AutoTokenizer", folder), compute, cache_mib)
    if card.family == "sam2":
        model = load_pretrained("Sam2Model", folder)
        from lira_ros.reasoning.segmentation.sam2 import Sam2Segmenter

        return Sam2Segmenter(model, compute, cache_mib, multimask)
    model = load_pretrained("SamModel", folder)
    from lira_ros.reasoning.segmentation.sam import SamSegmenter

    return SamSegmenter(model, compute, cache_mib, multimask)


def create_mask_tracker(configuration: SegmentationConfiguration, compute: ComputeConfiguration) -> MaskTracker:
    """Return a tracker of masks with the SAM 2 of the configured card.

    Raises ReasoningError for a card of another family and when files or libraries are missing.
    """
    card = find_card(configuration.model)
    if card.family != "sam2":
        raise ModelCardError(f"masks.model: {card.name} is of family {card.family}; masks are followed by a sam2")
    folder = locate(card)
    from lira_ros.reasoning.models.pretrained import load_pretrained

    model = load_pretrained("Sam2VideoModel", folder)
    from lira_ros.reasoning.segmentation.video_tracking import MaskTracker

    return MaskTracker(model, compute)

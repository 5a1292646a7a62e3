"""Makes the region encoder that is configured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lira_ros.reasoning.contracts import ReasoningError
from lira_ros.reasoning.embeddings.appearance import AppearanceRegionEncoder
from lira_ros.reasoning.embeddings.configuration import EmbeddingConfiguration
from lira_ros.reasoning.embeddings.contracts import RegionEncoder
from lira_ros.reasoning.embeddings.text import TextRegionEncoder
from lira_ros.reasoning.models.cards import ModelCardError, find_card
from lira_ros.reasoning.models.files import locate

if TYPE_CHECKING:
    from lira_ros.reasoning.compute import ComputeConfiguration
    from lira_ros.reasoning.relevance import Relevance

# Only the vision halves: half of the memory, the same vectors as get_image_features() of the whole models.
_CLASSES = {
    "clip": ("CLIPVisionModelWithProjection", "CLIPImageProcessorPil"),
    "siglip": ("SiglipVisionModel", "SiglipImageProcessorPil"),
}


def create_region_encoder(
    configuration: EmbeddingConfiguration, compute: ComputeConfiguration, relevance: Relevance
) -> RegionEncoder:
    """Return the encoder of the configured method.

    Raises ReasoningError when the sentence encoder is not there, for a card of something else, and when files or
    libraries are missing.
    """
    if configuration.method == "appearance":
        return AppearanceRegionEncoder()
    if configuration.method == "text":
        if relevance.encoder is None:
            raise ReasoningError("embedding.method: text needs the sentence encoder, which is not installed")
        return TextRegionEncoder(relevance.encoder)
    card = find_card(configuration.model)
    if card.kind != "image_encoder" or card.family not in _CLASSES:
        raise ModelCardError(
            f"embedding.model: {card.name} is a {card.kind} of family {card.family}; expected an image_encoder of "
            f"family {', '.join(_CLASSES)}"
        )
    folder = locate(card)
    from lira_ros.reasoning.models.pretrained import load_part, load_pretrained

    model_class, processor_class = _CLASSES[card.family]
    model = load_pretrained(model_class, folder)
    from lira_ros.reasoning.embeddings.image import ImageRegionEncoder

    return ImageRegionEncoder(model, load_part(processor_class, folder), compute, card.name)

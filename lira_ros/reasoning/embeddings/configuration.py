"""What can be set of the embeddings that candidates carry."""

from __future__ import annotations

from dataclasses import dataclass

from lira_ros.configuration import parameter

EMBEDDING_CHOICES = ("appearance", "text", "image")


@dataclass(frozen=True)
class EmbeddingConfiguration:
    """What embedding a candidate gets, by which the fusion tells things apart."""

    method: str = parameter(
        "appearance",
        "appearance = colours inside the mask; text = the sentence encoder on colour and label; image = an image "
        "encoder (CLIP, SigLIP) on the region",
        choices=EMBEDDING_CHOICES,
    )
    model: str = parameter("clip-vit-large-patch14", "Card of the image encoder, for method image")

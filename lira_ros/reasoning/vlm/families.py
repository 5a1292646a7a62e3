"""The families of vision-language models: which class loads them, how they see, in which units they answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from lira_ros.reasoning.answers.contracts import BoxUnits
from lira_ros.reasoning.contracts import ReasoningError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class EncodedImage:
    """What a vision tower made of one picture.

    features: (tokens, channels), the embeddings that stand in the prompt, then those that deeper layers add to them
    (Qwen3-VL). grid_thw: frames, rows and columns of patches, None for families that do not need it. shown_size_px:
    width and height of the picture as the model saw it.
    """

    features: tuple[torch.Tensor, ...]
    grid_thw: tuple[int, int, int] | None
    shown_size_px: tuple[int, int]

    @property
    def tokens(self) -> int:
        """Return how many tokens of the prompt the picture takes."""
        return int(self.features[0].shape[0])

    @property
    def size_bytes(self) -> int:
        """Return how much memory the features take."""
        return sum(feature.numel() * feature.element_size() for feature in self.features)


@dataclass(frozen=True)
class VisualBudget:
    """Between how many tokens a picture may take; 0 = as the model's own files say."""

    min_tokens: int = 0
    max_tokens: int = 0


class Eyes(ABC):
    """Prepares pictures for one model and has them encoded."""

    @abstractmethod
    def __init__(self, folder: Path, model_configuration: Any, budget: VisualBudget) -> None:
        """Read the image settings of a folder; raises OSError or ValueError where they are missing or broken."""

    @abstractmethod
    def prepare(self, images: Sequence[NDArray[np.uint8]]) -> Mapping[str, torch.Tensor]:
        """Return what the vision tower takes for (H, W, 3) uint8 RGB pictures, float32 on the processor."""

    @abstractmethod
    def encode(self, model: Any, images: Sequence[NDArray[np.uint8]]) -> list[EncodedImage]:
        """Return the features of every picture, in one pass of the vision tower."""

    @abstractmethod
    def outputs(self, images: Sequence[EncodedImage]) -> dict[str, Any]:
        """Return the arguments by which the language model takes pictures that are encoded already."""


class QwenEyes(Eyes):
    """Qwen-VL: a picture of any size, scaled to whole patches.

    The library's Processor, which needs torchvision, is not used.
    """

    def __init__(self, folder: Path, model_configuration: Any, budget: VisualBudget) -> None:
        from lira_ros.reasoning.vlm.qwen_pictures import QwenImageProcessor

        self._processor = QwenImageProcessor.from_pretrained(folder, local_files_only=True)
        side_px = self._processor.patch_size * self._processor.merge_size
        size = dict(self._processor.size)
        if budget.min_tokens:
            size["shortest_edge"] = budget.min_tokens * side_px**2  # named edges, meant and used as pixels
        if budget.max_tokens:
            size["longest_edge"] = budget.max_tokens * side_px**2
        size["shortest_edge"] = min(size["shortest_edge"], size["longest_edge"])
        self._processor.size = type(self._processor.size)(**size)
        for name in ("patch_size", "spatial_merge_size", "temporal_patch_size"):
            prepared = getattr(self._processor, "merge_size" if name == "spatial_merge_size" else name)
            if prepared != getattr(model_configuration.vision_config, name):
                raise ReasoningError(
                    f"{folder / 'preprocessor_config.json'}: {name}: expected that of config.json, "
                    f"{getattr(model_configuration.vision_config, name)}, got {prepared}"
                )

    def prepare(self, images: Sequence[NDArray[np.uint8]]) -> Mapping[str, torch.Tensor]:
        """Return pixel_values (patches, channels x frames x height x width) and image_grid_thw (pictures, 3)."""
        return self._processor(list(images), input_data_format="channels_last", return_tensors="pt")

    def encode(self, model: Any, images: Sequence[NDArray[np.uint8]]) -> list[EncodedImage]:
        """Return the features of every picture."""
        prepared = self.prepare(images)
        grids = prepared["image_grid_thw"]
        seen = model.model.get_image_features(
            prepared["pixel_values"].to(model.device), grids.to(model.device), return_dict=True
        )
        deeper = getattr(seen, "deepstack_features", None) or ()
        patch_px = self._processor.patch_size
        return [
            EncodedImage(
                # Cloned: a view would keep the features of the whole batch in memory.
                tuple(
                    feature.clone() for feature in (seen.pooler_output[number], *(layer[number] for layer in deeper))
                ),
                (int(grid[0]), int(grid[1]), int(grid[2])),
                (int(grid[2]) * patch_px, int(grid[1]) * patch_px),
            )
            for number, grid in enumerate(grids)
        ]

    def outputs(self, images: Sequence[EncodedImage]) -> dict[str, Any]:
        """Return the features as generate() takes them, with what it needs for positions."""
        import torch
        from transformers.modeling_outputs import BaseModelOutputWithPooling

        seen = BaseModelOutputWithPooling(pooler_output=cast(Any, [image.features[0] for image in images]))
        layers = len(images[0].features) - 1
        # An attribute and not a field: the class of the output differs between the families.
        seen.deepstack_features = [[image.features[1 + layer] for image in images] for layer in range(layers)]
        return {
            "mm_encoder_outputs": {"image": seen},
            "image_grid_thw": torch.tensor([image.grid_thw for image in images], device=images[0].features[0].device),
        }


class LlavaOnevisionEyes(Eyes):
    """LLaVA-OneVision: the whole picture as one tile, and the picture cut into tiles of the same size."""

    def __init__(self, folder: Path, model_configuration: Any, budget: VisualBudget) -> None:
        from transformers.models.llava_onevision.image_processing_pil_llava_onevision import (
            LlavaOnevisionImageProcessorPil,
        )

        self._processor = LlavaOnevisionImageProcessorPil.from_pretrained(folder, local_files_only=True)
        if budget.max_tokens:
            vision = model_configuration.vision_config
            side_px = vision.image_size
            tile_tokens = (side_px // vision.patch_size) ** 2
            tiles = max(1, budget.max_tokens // tile_tokens - 1)
            known = sorted(self._processor.image_grid_pinpoints, key=lambda grid: grid[0] * grid[1])
            grids = [grid for grid in known if grid[0] * grid[1] <= tiles * side_px**2] or known[:1]
            # The model works out from the same list how the tiles of a picture lie.
            self._processor.image_grid_pinpoints = grids
            model_configuration.image_grid_pinpoints = grids

    def prepare(self, images: Sequence[NDArray[np.uint8]]) -> Mapping[str, torch.Tensor]:
        """Return pixel_values (pictures, tiles, 3, side, side) and image_sizes (pictures, 2), heights first."""
        return self._processor(list(images), input_data_format="channels_last", return_tensors="pt")

    def encode(self, model: Any, images: Sequence[NDArray[np.uint8]]) -> list[EncodedImage]:
        """Return the features of every picture."""
        prepared = self.prepare(images)
        seen = model.model.get_image_features(
            prepared["pixel_values"].to(model.device, model.dtype),
            prepared["image_sizes"].to(model.device),
            return_dict=True,
        )
        return [
            EncodedImage((feature.clone(),), None, (image.shape[1], image.shape[0]))
            for feature, image in zip(seen.pooler_output, images, strict=True)
        ]

    def outputs(self, images: Sequence[EncodedImage]) -> dict[str, Any]:
        """Return the features as generate() takes them, with what it needs for positions."""
        from transformers.modeling_outputs import BaseModelOutputWithPooling

        seen = BaseModelOutputWithPooling(pooler_output=cast(Any, [image.features[0] for image in images]))
        return {"mm_encoder_outputs": {"image": seen}}


@dataclass(frozen=True)
class Family:
    """A family: model_type as config.json names it, class and image token of transformers, its eyes and box units.

    token_types: the language model must be told which tokens are pictures (positions in three directions).
    """

    model_type: str
    class_name: str
    eyes: type[Eyes]
    box_units: BoxUnits
    token_types: bool


# Box units: QwenLM's own statements (Qwen2.5-VL: pixels of the resized picture; Qwen3-VL and later: 0 to 1000), and
# LLaVA's training data (0 to 1). A card may say otherwise.
FAMILIES = {
    family.model_type: family
    for family in (
        Family("qwen2_5_vl", "Qwen2_5_VLForConditionalGeneration", QwenEyes, BoxUnits.PIXELS, True),
        Family("qwen3_vl", "Qwen3VLForConditionalGeneration", QwenEyes, BoxUnits.RELATIVE_1000, True),
        Family("qwen3_5", "Qwen3_5ForConditionalGeneration", QwenEyes, BoxUnits.RELATIVE_1000, True),
        Family(
            "llava_onevision",
            "LlavaOnevisionForConditionalGeneration",
            LlavaOnevisionEyes,
            BoxUnits.RELATIVE_1,
            False,
        ),
    )
}


def find_family(name: str) -> Family:
    """Return a family by its name; raises ReasoningError for an unknown one, with those that exist."""
    if name not in FAMILIES:
        raise ReasoningError(f"family {name!r} of vision-language models is not known; there are {', '.join(FAMILIES)}")
    return FAMILIES[name]

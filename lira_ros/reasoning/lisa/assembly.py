"""Modules of transformers filled with the weights of a checkpoint, one weight at a time."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from lira_ros.reasoning.contracts import ReasoningError
from lira_ros.reasoning.lisa.checkpoint import CheckpointError, Part, check_part, linear_sizes, read_json
from lira_ros.reasoning.plain_text import plain_text

if TYPE_CHECKING:
    from transformers import CLIPVisionConfig, LlamaConfig, SamConfig


@dataclass(frozen=True)
class LoadReport:
    """What became of the keys of a checkpoint: how many were used, left out knowingly, and not known."""

    used: int
    dropped: tuple[str, ...]
    unexpected: tuple[str, ...]


@dataclass
class Modules:
    """The parts of a model.

    select_layer: which of CLIP's hidden states is taken. keep_class_token: CLIP's class token goes along. report: what
    became of the checkpoint's keys.
    """

    language: Any
    vision: Any
    sam: Any
    projector: nn.Module
    head: nn.Module
    clip_processor: Any
    select_layer: int = -2
    keep_class_token: bool = False
    report: LoadReport = field(default_factory=lambda: LoadReport(0, (), ()))


@contextlib.contextmanager
def memory_errors(what: str) -> Iterator[None]:
    """Turn running out of GPU memory into a ReasoningError that says what to lower."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise ReasoningError(
            f"the GPU ran out of memory while {what}: lower lisa.batch_size, lisa.max_new_tokens or "
            "lisa.feature_cache_mib, or hold the weights in fewer bits (compute.precision int8 or int4)"
        ) from error


def find_tower(folder: Path, vision_tower: Path | str | None, configuration: Mapping[str, Any]) -> Path:
    """Return the folder of the vision tower: the one given, the sub-folder clip, or the one that config.json names."""
    if vision_tower is not None:
        return Path(vision_tower)
    stated = str(configuration.get("mm_vision_tower") or configuration.get("vision_tower") or "")
    for place in [folder / "clip", *([Path(stated)] if stated else [])]:
        if (place / "config.json").is_file():
            return place
    raise CheckpointError(
        f"{folder}: the vision tower ({stated or 'a CLIP'}) is not in its sub-folder clip; copy it there"
    )


def assemble(
    language: LlamaConfig,
    vision: CLIPVisionConfig,
    sam: SamConfig,
    parts: Mapping[str, Part],
    sequences: Mapping[str, Part],
    device: torch.device,
    dtype: torch.dtype,
    quantization: str | None,
) -> Modules:
    """Make the modules of a model from their weights, which are copied to the device one by one.

    parts: weights of the "language model", the "vision tower" and "SAM"; sequences: of the "projector" and the
    "segmentation head". quantization: "int8" or "int4" for the language model, None = none.
    Raises CheckpointError naming weights that are missing or do not fit.
    """
    from transformers import CLIPVisionModel, LlamaForCausalLM, SamModel

    models = {}
    for name, kind, configuration in (
        ("language model", LlamaForCausalLM, language),
        ("vision tower", CLIPVisionModel, vision),
        ("SAM", SamModel, sam),
    ):
        optional = ("lm_head.weight",) if kind is LlamaForCausalLM and language.tie_word_embeddings else ()
        check_part(parts[name], wanted_weights(kind, configuration), name, optional)
        wanted = quantization if kind is LlamaForCausalLM else None
        models[name] = _fill(kind, configuration, parts[name], device, dtype, wanted)
    projector = _sequence(sequences["projector"], "projector", nn.GELU, device, dtype)
    head = _sequence(sequences["segmentation head"], "segmentation head", nn.ReLU, device, dtype)
    for name, module, inputs, outputs in (
        ("projector", projector, vision.hidden_size, language.hidden_size),
        ("segmentation head", head, language.hidden_size, prompt_size(sam)),
    ):
        if (module[0].in_features, module[-1].out_features) != (inputs, outputs):
            raise CheckpointError(
                f"{name}: expected {inputs} numbers in and {outputs} out, got {module[0].in_features} and "
                f"{module[-1].out_features}: the checkpoint and its vision tower do not belong together"
            )
    return Modules(models["language model"], models["vision tower"], models["SAM"], projector, head, None)


def prompt_size(sam: SamConfig) -> int:
    """Return how many numbers a prompt of SAM's mask decoder has."""
    encoder: Any = sam.prompt_encoder_config
    return int(encoder.hidden_size)


def wanted_weights(kind: Any, configuration: Any) -> Mapping[str, torch.Tensor]:
    """Return the weights that a module wants, without their numbers."""
    with torch.device("meta"):
        return dict(kind(configuration).state_dict())


def _fill(
    kind: Any, configuration: Any, part: Part, device: torch.device, dtype: torch.dtype, quantization: str | None
) -> Any:
    from transformers.utils import logging as transformers_logging

    # With accelerate every weight goes to the GPU on its own; without it they all pass through the main memory.
    direct = quantization is not None or (device.type != "cpu" and importlib.util.find_spec("accelerate") is not None)
    transformers_logging.disable_progress_bar()
    model = kind.from_pretrained(
        None,
        config=configuration,
        state_dict=part.weights,
        dtype=dtype,
        device_map={"": str(device)} if direct else None,
        quantization_config=_quantization(quantization, dtype) if quantization else None,
    )
    return model if direct else model.to(device)


def _quantization(quantization: str, dtype: torch.dtype) -> Any:
    from transformers import BitsAndBytesConfig

    # The head that picks the token stays whole: it is small, and every id depends on it.
    if quantization == "int8":
        # It says at every layer of every token that it multiplies in float16.
        logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=["lm_head"])
    if quantization == "int4":
        return BitsAndBytesConfig(
            load_in_4bit=True,
            # NF4 with quantized scales: Dettmers et al., QLoRA (2023), as LISA's own programs set it.
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
            llm_int8_skip_modules=["lm_head"],
        )
    raise ReasoningError(f"quantization: expected int8 or int4, got {quantization!r}")


def _sequence(
    part: Part, source: str, activation: type[nn.Module], device: torch.device, dtype: torch.dtype
) -> nn.Sequential:
    """Make a sequence of linear layers with an activation between them, at the positions of the checkpoint."""
    layers: list[nn.Module] = []
    with torch.device("meta"):
        for position, inputs, outputs in linear_sizes(part, source):
            while len(layers) < position:
                layers.append(activation())
            layers.append(nn.Linear(inputs, outputs))
        module = nn.Sequential(*layers)
    check_part(part, module.state_dict(), source)
    # Nothing here has computed buffers, so that the weights can take the places of the empty ones.
    module.load_state_dict({name: weight.to(device, dtype) for name, weight in part.weights.items()}, assign=True)
    return module


def clip_processor(folder: Path | None, side_px: int) -> Any:
    """Return what turns pictures into CLIP's input: as its folder says, else as CLIP was trained.

    Raises CheckpointError when the folder says something that cannot be done or does not fit the model.
    """
    from transformers import CLIPImageProcessorPil

    source = None if folder is None else folder / "preprocessor_config.json"
    if source is None or not source.is_file():
        return CLIPImageProcessorPil(size={"shortest_edge": side_px}, crop_size={"height": side_px, "width": side_px})
    read_json(source)
    try:
        processor = CLIPImageProcessorPil.from_pretrained(str(folder), local_files_only=True)
        shape = tuple(clip_pixels(processor, [np.zeros((side_px, 2 * side_px, 3), dtype=np.uint8)]).shape)
    # Any field may hold anything, and each stumbles in a way of its own.
    except Exception as error:
        raise CheckpointError(f"{source}: cannot be used: {plain_text(str(error), 200)}") from error
    if shape != (1, 3, side_px, side_px):
        raise CheckpointError(f"{source}: expected pictures of {side_px} px as the model takes them, got {shape[2:]}")
    return processor


def clip_pixels(processor: Any, images: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
    """Return CLIP's input (B, 3, side, side) float32 of (H, W, 3) uint8 RGB pictures."""
    # Told, as pictures of one or three rows look like channels to it.
    pixels: torch.Tensor = processor(images=list(images), input_data_format="channels_last", return_tensors="pt")[
        "pixel_values"
    ]
    return pixels

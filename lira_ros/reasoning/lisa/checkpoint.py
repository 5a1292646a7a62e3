"""Checkpoints of LISA and LIRA: their files, their key names, and the sizes that follow from the weights.

A merged checkpoint holds LLaVA's language model and projector, SAM under the names of segment_anything, and the layers
that turn a [SEG] state into a prompt for SAM; CLIP comes from a folder of its own. The weights are mapped, not read:
they take memory only where they are copied to in the end.
"""

from __future__ import annotations

import json
import math
import re
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lira_ros.reasoning.contracts import ReasoningError
from lira_ros.reasoning.plain_text import plain_text

if TYPE_CHECKING:
    import torch
    from transformers import CLIPVisionConfig, LlamaConfig, SamConfig

Weights = dict[str, "torch.Tensor"]

# Files of transformers, in the order in which they are looked for: what is mapped best first.
_INDEX_NAMES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
_SINGLE_NAMES = ("model.safetensors", "pytorch_model.bin")
_SHARD_NAME = re.compile(r"(model|pytorch_model)-(\d{5})-of-(\d{5})\.(safetensors|bin)")
# Names that a message lists before it counts the rest.
_NAMES_SHOWN = 8
# The longest names of LISA's keys have 90 characters, with what a message adds 150.
_MAX_NAME_CHARACTERS = 200

_PROJECTOR = "model.mm_projector."
_HEAD = "model.text_hidden_fcs.0."
_SAM = "model.visual_model."
_LANGUAGE = re.compile(r"(model\.(embed_tokens|layers\.\d+|norm)\..+|lm_head\..+)")
# What is left out knowingly: a buffer that is computed, and towers that come from their own folder.
_DROPPED = re.compile(r".*\.rotary_emb\.inv_freq|model\.vision_tower\..+")
# Parts of a whole CLIP that the vision tower does not need, and a buffer that is computed.
_CLIP_DROPPED = re.compile(r"(text_model|text_projection|visual_projection)\..+|logit_scale|.*\.position_ids")

# segment_anything -> transformers.
_SAM_RULES: tuple[tuple[str, str], ...] = (
    (r"image_encoder\.patch_embed\.proj\.", "vision_encoder.patch_embed.projection."),
    (r"image_encoder\.pos_embed$", "vision_encoder.pos_embed"),
    (r"image_encoder\.blocks\.(\d+)\.norm([12])\.", r"vision_encoder.layers.\1.layer_norm\2."),
    (r"image_encoder\.blocks\.(\d+)\.(attn|mlp)\.", r"vision_encoder.layers.\1.\2."),
    (r"image_encoder\.neck\.0\.", "vision_encoder.neck.conv1."),
    (r"image_encoder\.neck\.1\.", "vision_encoder.neck.layer_norm1."),
    (r"image_encoder\.neck\.2\.", "vision_encoder.neck.conv2."),
    (r"image_encoder\.neck\.3\.", "vision_encoder.neck.layer_norm2."),
    (r"prompt_encoder\.pe_layer\.positional_encoding_gaussian_matrix$", "shared_image_embedding.positional_embedding"),
    (r"prompt_encoder\.point_embeddings\.", "prompt_encoder.point_embed."),
    (r"prompt_encoder\.(no_mask_embed|not_a_point_embed)\.", r"prompt_encoder.\1."),
    (r"prompt_encoder\.mask_downscaling\.0\.", "prompt_encoder.mask_embed.conv1."),
    (r"prompt_encoder\.mask_downscaling\.1\.", "prompt_encoder.mask_embed.layer_norm1."),
    (r"prompt_encoder\.mask_downscaling\.3\.", "prompt_encoder.mask_embed.conv2."),
    (r"prompt_encoder\.mask_downscaling\.4\.", "prompt_encoder.mask_embed.layer_norm2."),
    (r"prompt_encoder\.mask_downscaling\.6\.", "prompt_encoder.mask_embed.conv3."),
    (r"mask_decoder\.(iou_token|mask_tokens)\.", r"mask_decoder.\1."),
    (r"mask_decoder\.transformer\.layers\.(\d+)\.norm(\d)\.", r"mask_decoder.transformer.layers.\1.layer_norm\2."),
    (r"mask_decoder\.transformer\.norm_final_attn\.", "mask_decoder.transformer.layer_norm_final_attn."),
    (r"mask_decoder\.transformer\.(layers|final_attn_token_to_image)\.", r"mask_decoder.transformer.\1."),
    (r"mask_decoder\.output_upscaling\.0\.", "mask_decoder.upscale_conv1."),
    (r"mask_decoder\.output_upscaling\.1\.", "mask_decoder.upscale_layer_norm."),
    (r"mask_decoder\.output_upscaling\.3\.", "mask_decoder.upscale_conv2."),
)
# A perceptron of SAM numbers its layers; transformers names the first and the last.
_SAM_PERCEPTRON = re.compile(
    r"(mask_decoder\.(?:output_hypernetworks_mlps\.\d+|iou_prediction_head))\.layers\.(\d+)\.(weight|bias)"
)
# How LLaMAs stretch their positions, and the numbers that belong to it.
_ROPE_FACTORS: dict[str, tuple[str, ...]] = {
    "default": (),
    "linear": ("factor",),
    "dynamic": ("factor",),
    "llama3": ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"),
}
# A point that belongs to a thing, one that does not, and the two corners of a box (segment_anything).
_SAM_POINT_KINDS = 4
# One matrix serves two modules of transformers.
SAM_SHARED = ("shared_image_embedding.positional_embedding", "prompt_encoder.shared_embedding.positional_embedding")
# segment_anything builds its mask decoder with eight heads and normalises there with PyTorch's default; neither leaves
# a trace in the weights. (transformers' default of 1e-6 moves mask logits by 8e-5.)
_SAM_DECODER_HEADS = 8
_SAM_DECODER_EPSILON = 1e-5


class CheckpointError(ReasoningError):
    """A checkpoint cannot be used: names the file or folder, what was expected and what came."""


@dataclass
class Part:
    """The weights of one module under its own names. origin: the names they have in the checkpoint, for messages."""

    weights: Weights = field(default_factory=dict)
    origin: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, key: str, weight: torch.Tensor) -> None:
        """Take a weight that the checkpoint calls ``key``."""
        self.weights[name] = weight
        self.origin[name] = key


@dataclass
class LisaWeights:
    """A merged checkpoint by module.

    dropped: keys that are left out knowingly. unexpected: keys that nothing here knows.
    """

    language: Part = field(default_factory=Part)
    projector: Part = field(default_factory=Part)
    head: Part = field(default_factory=Part)
    sam: Part = field(default_factory=Part)
    dropped: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()


def read_json(path: Path) -> dict[str, Any]:
    """Return a JSON object from a file; raises CheckpointError naming it."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: expected JSON, which cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: expected a JSON object, got {type(content).__name__}")
    return content


def read_weights(folder: Path) -> Weights:
    """Return the weights of a checkpoint folder by their names there, mapped into memory.

    Takes safetensors or pytorch_model files, split with an index or single. Raises CheckpointError naming the file that
    is missing, broken or holds anything but tensors.
    """
    weights: Weights = {}
    for path in _weight_files(folder):
        part = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
        repeated = sorted(set(part) & set(weights))
        if repeated:
            raise CheckpointError(f"{path}: {_listed(repeated)} came from another file of the folder already")
        weights.update(part)
    return weights


def sort_weights(weights: Mapping[str, torch.Tensor]) -> LisaWeights:
    """Give every key of a merged checkpoint to its module, under the names of transformers."""
    found = LisaWeights()
    dropped, unexpected = [], []
    depths = _perceptron_depths(key.removeprefix(_SAM) for key in weights if key.startswith(_SAM))
    for key, weight in weights.items():
        if _DROPPED.fullmatch(key):
            dropped.append(key)
        elif _LANGUAGE.fullmatch(key):
            found.language.add(key, key, weight)
        elif key.startswith(_PROJECTOR):
            found.projector.add(_numbered(key.removeprefix(_PROJECTOR)), key, weight)
        elif key.startswith(_HEAD):
            found.head.add(key.removeprefix(_HEAD), key, weight)
        elif key.startswith(_SAM) and (name := _sam_name(key.removeprefix(_SAM), depths)) is not None:
            found.sam.add(name, key, weight)
            if name == SAM_SHARED[0]:
                found.sam.add(SAM_SHARED[1], key, weight)
        else:
            unexpected.append(key)
    found.dropped = tuple(dropped)
    found.unexpected = tuple(plain_text(key, _MAX_NAME_CHARACTERS) for key in unexpected)
    return found


def sort_clip_weights(weights: Mapping[str, torch.Tensor]) -> tuple[Part, tuple[str, ...]]:
    """Return the weights of the vision tower of a CLIP checkpoint, and the keys that nothing here knows."""
    part, unexpected = Part(), []
    whole = any(key.startswith("vision_model.") for key in weights)
    for key, weight in weights.items():
        if _CLIP_DROPPED.fullmatch(key):
            continue
        if whole and not key.startswith("vision_model."):
            unexpected.append(key)
            continue
        part.add(key.removeprefix("vision_model."), key, weight)
    return part, tuple(plain_text(key, _MAX_NAME_CHARACTERS) for key in unexpected)


def language_configuration(configuration: Mapping[str, Any], part: Part, source: Path) -> LlamaConfig:
    """Return the configuration of the language model: sizes from the weights, the rest from config.json.

    source: the file of ``configuration``, for messages. Raises CheckpointError naming the field that is missing or
    contradicts the weights.
    """
    from transformers import LlamaConfig

    # A field without a value is one that is not stated.
    configuration = {name: value for name, value in configuration.items() if value is not None}
    vocabulary, hidden = _shape(part, "model.embed_tokens.weight", 2)
    layers = _count(part.weights, r"model\.layers\.(\d+)\..+")
    heads = _integer(configuration, "num_attention_heads", source)
    if hidden % heads:
        raise CheckpointError(f"{source}: num_attention_heads {heads} does not divide the {hidden} of the weights")
    key_heads = _shape(part, "model.layers.0.self_attn.k_proj.weight", 2)[0] * heads // hidden
    between = _shape(part, "model.layers.0.mlp.gate_proj.weight", 2)[0]
    for name, measured in (
        ("vocab_size", vocabulary),
        ("hidden_size", hidden),
        ("num_hidden_layers", layers),
        ("num_key_value_heads", key_heads),
        ("intermediate_size", between),
    ):
        stated = configuration.get(name, measured)
        if stated != measured:
            raise CheckpointError(f"{source}: {name} is {stated}, the weights have {measured}")
    tied = _choice(configuration, "tie_word_embeddings", (False, True), source)
    if tied and "lm_head.weight" in part.weights:
        # Files of PyTorch hold a shared table under both names.
        table, head = part.weights["model.embed_tokens.weight"], part.weights["lm_head.weight"]
        if table.shape != head.shape or not bool((table == head).all()):
            raise CheckpointError(f"{source}: tie_word_embeddings is true, but lm_head.weight is another table")
    # The name of the field changed between releases of LLaVA and transformers.
    positions = "max_sequence_length" if "max_position_embeddings" not in configuration else "max_position_embeddings"
    return LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=hidden,
        intermediate_size=between,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=key_heads,
        # What LLaMA had when a checkpoint does not say: 2048 positions, 1e-6, silu.
        max_position_embeddings=_integer({positions: 2048, **configuration}, positions, source),
        rms_norm_eps=_positive(configuration.get("rms_norm_eps", 1e-6), "rms_norm_eps", source),
        hidden_act=_choice(configuration, "hidden_act", _activations("silu"), source),
        rope_parameters=_rope(configuration, source),
        attention_bias="model.layers.0.self_attn.q_proj.bias" in part.weights,
        tie_word_embeddings=tied,
    )


def vision_selection(configuration: Mapping[str, Any], layers: int, source: Path) -> tuple[int, bool]:
    """Return which hidden state of the vision tower is taken, and whether its class token goes along.

    layers: of the tower. source: the file of ``configuration``. Raises CheckpointError naming the field.
    """
    layer = configuration.get("mm_vision_select_layer")
    # What LLaVA takes unless told otherwise: the last layer but one, without the class token.
    layer = -2 if layer is None else layer
    if isinstance(layer, bool) or not isinstance(layer, int) or not -layers - 1 <= layer <= layers:
        raise CheckpointError(
            f"{source}: mm_vision_select_layer: expected a layer from {-layers - 1} to {layers}, got {layer!r}"
        )
    return layer, _choice(configuration, "mm_vision_select_feature", ("patch", "cls_patch"), source) == "cls_patch"


def wraps_image(configuration: Mapping[str, Any], source: Path) -> bool:
    """Return whether prompts set marks round the picture; raises CheckpointError naming the field."""
    return bool(_choice(configuration, "mm_use_im_start_end", (True, False), source))


def _rope(configuration: Mapping[str, Any], source: Path) -> dict[str, Any]:
    """Return how positions are told, under the names of transformers 5."""
    name = "rope_scaling" if configuration.get("rope_scaling") else "rope_parameters"
    stated = configuration.get(name) or {}
    if not isinstance(stated, dict):
        raise CheckpointError(f"{source}: {name}: expected an object, got {stated!r}")
    rope = {"rope_theta": configuration.get("rope_theta", 10000.0), **stated}
    kind = rope.pop("rope_type", rope.pop("type", "default"))
    if kind not in _ROPE_FACTORS:
        raise CheckpointError(f"{source}: {name}: expected a type of {', '.join(_ROPE_FACTORS)}, got {kind!r}")
    wanted = ("rope_theta", *_ROPE_FACTORS[kind])
    numbers = {factor: _positive(rope.get(factor), factor, source) for factor in wanted}
    # Whole numbers stay whole, as the library wants counts to be.
    return {
        "rope_type": kind,
        **{factor: int(value) if value.is_integer() else value for factor, value in numbers.items()},
    }


def sam_configuration(part: Part) -> SamConfig:
    """Return the configuration of SAM as its weights tell it; raises CheckpointError naming a weight that is missing.

    Which blocks look at the whole image shows in their position tables: 2 N - 1 rows for N cells per side.
    """
    from transformers import SamConfig, SamMaskDecoderConfig, SamPromptEncoderConfig, SamVisionConfig

    hidden, channels, patch, _ = _shape(part, "vision_encoder.patch_embed.projection.weight", 4)
    depth = _count(part.weights, r"vision_encoder\.layers\.(\d+)\..+")
    first = "vision_encoder.layers.0."
    grid = _shape(part, "vision_encoder.pos_embed", 4)[1]
    rows = [_shape(part, f"vision_encoder.layers.{i}.attn.rel_pos_h", 2)[0] for i in range(depth)]
    everywhere = [i for i, count in enumerate(rows) if count == 2 * grid - 1]
    windows = {(count + 1) // 2 for i, count in enumerate(rows) if i not in everywhere}
    if len(windows) > 1:
        raise CheckpointError(f"SAM image encoder: expected windows of one size, got {sorted(windows)}")
    output = _shape(part, "vision_encoder.neck.conv1.weight", 4)[0]
    decoder = "mask_decoder.transformer.layers.0."
    narrow = _shape(part, decoder + "cross_attn_token_to_image.q_proj.weight", 2)[0]
    return SamConfig(
        vision_config=SamVisionConfig(
            hidden_size=hidden,
            output_channels=output,
            num_hidden_layers=depth,
            num_attention_heads=hidden // _shape(part, first + "attn.rel_pos_h", 2)[1],
            num_channels=channels,
            image_size=grid * patch,
            patch_size=patch,
            qkv_bias=first + "attn.qkv.bias" in part.weights,
            window_size=min(windows, default=grid),
            global_attn_indexes=everywhere,
            num_pos_feats=output // 2,
            mlp_dim=_shape(part, first + "mlp.lin1.weight", 2)[0],
        ),
        prompt_encoder_config=SamPromptEncoderConfig(
            hidden_size=output,
            image_size=grid * patch,
            patch_size=patch,
            mask_input_channels=_shape(part, "prompt_encoder.mask_embed.conv2.weight", 4)[0],
            num_point_embeddings=_SAM_POINT_KINDS,
        ),
        mask_decoder_config=SamMaskDecoderConfig(
            hidden_size=output,
            mlp_dim=_shape(part, decoder + "mlp.lin1.weight", 2)[0],
            num_hidden_layers=_count(part.weights, r"mask_decoder\.transformer\.layers\.(\d+)\..+"),
            num_attention_heads=_SAM_DECODER_HEADS,
            attention_downsample_rate=output // narrow,
            num_multimask_outputs=_shape(part, "mask_decoder.mask_tokens.weight", 2)[0] - 1,
            iou_head_depth=_count(part.weights, r"mask_decoder\.iou_prediction_head\.layers\.(\d+)\..+") + 2,
            iou_head_hidden_dim=_shape(part, "mask_decoder.iou_prediction_head.proj_in.weight", 2)[0],
            layer_norm_eps=_SAM_DECODER_EPSILON,
        ),
    )


def clip_configuration(folder: Path) -> CLIPVisionConfig:
    """Return the configuration of a vision tower from a folder with a CLIP or a CLIP vision model."""
    from transformers import CLIPVisionConfig

    source = folder / "config.json"
    content = read_json(source)
    content = content.get("vision_config", content)
    if not isinstance(content, dict):
        raise CheckpointError(f"{source}: vision_config: expected an object, got {content!r}")
    known = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "image_size", "patch_size")
    sizes: dict[str, Any] = {name: _integer(content, name, source) for name in known}
    if sizes["hidden_size"] % sizes["num_attention_heads"]:
        raise CheckpointError(
            f"{source}: num_attention_heads {sizes['num_attention_heads']} does not divide {sizes['hidden_size']}"
        )
    # What CLIP has when its folder does not say.
    epsilon = _positive(content.get("layer_norm_eps", 1e-5), "layer_norm_eps", source)
    activation = _choice(content, "hidden_act", _activations("quick_gelu"), source)
    return CLIPVisionConfig(**sizes, hidden_act=activation, layer_norm_eps=epsilon)


def check_part(part: Part, wanted: Mapping[str, torch.Tensor], source: str, optional: Iterable[str] = ()) -> None:
    """Compare the weights of a part with what its module wants; raises CheckpointError naming what does not fit.

    wanted: the module's weights, of which the shapes count. source: what is loaded, for the message.
    """
    missing = sorted(set(wanted) - set(part.weights) - set(optional))
    surplus = sorted(part.origin[name] for name in set(part.weights) - set(wanted))
    misfit = [
        f"{part.origin[name]} is {tuple(part.weights[name].shape)}, expected {tuple(weight.shape)}"
        for name, weight in wanted.items()
        if name in part.weights and part.weights[name].shape != weight.shape
    ]
    problems = [f"missing {_listed(missing)}"] if missing else []
    problems += [f"without a place {_listed(surplus)}"] if surplus else []
    problems += [f"of another shape {_listed(misfit)}"] if misfit else []
    if problems:
        raise CheckpointError(f"{source}: weights do not fit the model: {'; '.join(problems)}")


def linear_sizes(part: Part, source: str) -> list[tuple[int, int, int]]:
    """Return position, inputs and outputs of the linear layers of a part that is a sequence of them.

    Raises CheckpointError when there is none or one does not fit the next.
    """
    positions = sorted({int(name.split(".")[0]) for name in part.weights if name.split(".")[0].isdecimal()})
    if not positions:
        raise CheckpointError(f"{source}: missing {source} layers in the checkpoint")
    sizes: list[tuple[int, int, int]] = []
    for position in positions:
        outputs, inputs = _shape(part, f"{position}.weight", 2)
        if sizes and inputs != sizes[-1][2]:
            raise CheckpointError(f"{source}: layer {position} takes {inputs} numbers, got {sizes[-1][2]}")
        sizes.append((position, inputs, outputs))
    return sizes


def _weight_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: expected a folder with a checkpoint, there is none")
    for name in _INDEX_NAMES:
        index = folder / name
        if not index.is_file():
            continue
        weight_map = read_json(index).get("weight_map")
        if not isinstance(weight_map, dict) or not weight_map:
            raise CheckpointError(f"{index}: expected a weight_map that names the files, got {weight_map!r:.80}")
        names = sorted({str(value) for value in weight_map.values()})
        # An index comes from outside: it may name files beside itself, nothing else.
        outside = [
            file for file in names if Path(file).name != file or Path(file).suffix not in (".bin", ".safetensors")
        ]
        if outside:
            raise CheckpointError(f"{index}: expected names of .bin or .safetensors files, got {_listed(outside)}")
        missing = [file for file in names if not (folder / file).is_file()]
        if missing:
            raise CheckpointError(f"{folder}: {_listed(missing)} missing, which {name} names")
        return [folder / file for file in names]
    for name in _SINGLE_NAMES:
        if (folder / name).is_file():
            return [folder / name]
    return _shards_without_index(folder)


def _shards_without_index(folder: Path) -> list[Path]:
    """Return all the files into which weights were split, by the names that number them."""
    sets: dict[tuple[str, str, int], set[int]] = {}
    for path in folder.iterdir():
        match = _SHARD_NAME.fullmatch(path.name)
        if match:
            sets.setdefault((match[1], match[4], int(match[3])), set()).add(int(match[2]))
    if not sets:
        raise CheckpointError(f"{folder}: expected one of {', '.join(_INDEX_NAMES + _SINGLE_NAMES)}, none is there")
    # As with the other names: safetensors before files of PyTorch.
    stem, ending, count = min(sets)
    names = [f"{stem}-{number:05d}-of-{count:05d}.{ending}" for number in range(1, count + 1)]
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise CheckpointError(f"{folder}: {_listed(missing)} missing beside the other files of weights")
    return [folder / name for name in names]


def _read_safetensors(path: Path) -> Weights:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except (OSError, SafetensorError, ValueError) as error:
        raise CheckpointError(f"{path}: expected a safetensors file, which cannot be read: {error}") from error


def _read_torch(path: Path) -> Weights:
    import torch

    try:
        # Files from before PyTorch 1.6 are no archives and cannot be mapped.
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    # Bytes that are no pickle make the reader stumble in any way: IndexError, KeyError, UnpicklingError, ...
    except Exception as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{path}: expected a PyTorch file with tensors only: {first}") from error
    if not isinstance(content, dict) or not all(isinstance(item, torch.Tensor) for item in content.values()):
        raise CheckpointError(f"{path}: expected tensors by name, got {type(content).__name__} with other things")
    return {str(name): item for name, item in content.items()}


def _numbered(name: str) -> str:
    """LLaVA-v1 has one linear layer as projector, later ones a sequence; both become a sequence."""
    return name if name.split(".")[0].isdecimal() else f"0.{name}"


def _perceptron_depths(names: Iterable[str]) -> dict[str, int]:
    depths: dict[str, int] = {}
    for name in names:
        match = _SAM_PERCEPTRON.fullmatch(name)
        if match:
            depths[match[1]] = max(depths.get(match[1], 0), int(match[2]) + 1)
    return depths


def _sam_name(name: str, depths: Mapping[str, int]) -> str | None:
    match = _SAM_PERCEPTRON.fullmatch(name)
    if match:
        layer, last = int(match[2]), depths[match[1]] - 1
        place = "proj_in" if layer == 0 else "proj_out" if layer == last else f"layers.{layer - 1}"
        return f"{match[1]}.{place}.{match[3]}"
    for pattern, replacement in _SAM_RULES:
        renamed, count = re.subn("^" + pattern, replacement, name)
        if count:
            return renamed
    return None


def _shape(part: Part, name: str, dimensions: int) -> tuple[int, ...]:
    weight = part.weights.get(name)
    if weight is None:
        raise CheckpointError(f"the checkpoint misses a weight: {name} (as transformers calls it)")
    if weight.dim() != dimensions or not weight.numel():
        raise CheckpointError(f"{part.origin[name]}: expected {dimensions} dimensions, got {tuple(weight.shape)}")
    return tuple(weight.shape)


def _count(names: Iterable[str], pattern: str) -> int:
    """Return one more than the largest number that a pattern finds."""
    matches = (re.fullmatch(pattern, name) for name in names)
    return max((int(match[1]) + 1 for match in matches if match), default=0)


def _integer(content: Mapping[str, Any], name: str, source: Path) -> int:
    value = content.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise CheckpointError(f"{source}: {name}: expected a positive whole number, got {value!r}")
    return value


def _positive(value: Any, name: str, source: Path) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise CheckpointError(f"{source}: {name}: expected a positive number, got {value!r}")
    return float(value)


def _choice(content: Mapping[str, Any], name: str, choices: Sequence[Any], source: Path) -> Any:
    """Return what a field says, the first of the choices where it says nothing."""
    value = content.get(name)
    if value is None:
        return choices[0]
    if value not in choices or type(value) is not type(choices[0]):
        listed = ", ".join(str(choice) for choice in choices)
        raise CheckpointError(f"{source}: {name}: expected one of {listed}, got {value!r}")
    return value


def _activations(first: str) -> list[str]:
    from transformers.activations import ACT2FN

    return [first, *ACT2FN]


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return ", ".join(plain_text(name, _MAX_NAME_CHARACTERS) for name in names[:_NAMES_SHOWN]) + more

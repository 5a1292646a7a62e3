"""LISA checkpoints for the tests: of the golden data, and of random weights in sizes of their own."""

import json
import shutil
from pathlib import Path

import pytest

GOLDEN = Path(__file__).resolve().parents[3] / "shared" / "golden" / "lisa"
PROMPT = (
    "A chat between a curious human and an artificial intelligence assistant. The assistant gives helpful, detailed, "
    "and polite answers to the human's questions. USER: <im_start><image><im_end>\n{} ASSISTANT:"
)
_TEXT = [
    "white sink [SEG], beige curtain [SEG]. No object. Sure, it is the red chair beside the brown table.",
    "A chat between a curious human and an artificial intelligence assistant. USER: where can I sit? ASSISTANT:",
    "Please give all objects that are helpful in inferring final targets, as well as the category and color of these.",
]


def golden_folder():
    """Return the folder of the golden data; the test is skipped where it is absent."""
    if not GOLDEN.is_dir():
        pytest.skip("../shared/golden/lisa is not on this machine")
    return GOLDEN


def golden_case(name):
    """Return the arrays of a golden case by name."""
    from safetensors.numpy import load_file

    return load_file(golden_folder() / f"{name}.safetensors")


def golden_settings():
    """Return the golden config.json."""
    return json.loads((golden_folder() / "config.json").read_text())


def write_golden_checkpoint(folder, form="safetensors", shards=1, change=None):
    """Lay the golden weights out as a merged checkpoint with its CLIP beside it; change: called with the weights."""
    from safetensors.torch import load_file

    settings = golden_settings()
    weights = load_file(GOLDEN / "lisa_state_dict.safetensors")
    if change is not None:
        change(weights)
    clip = load_file(GOLDEN / "clip_vision_tower.safetensors")
    return write_checkpoint(
        folder, settings["lisa_config"], weights, settings["clip_vision_config"], clip, GOLDEN / "tokenizer.model",
        form, shards,
    )  # fmt: skip


def write_checkpoint(folder, configuration, weights, clip_configuration, clip, tokenizer, form="bin", shards=2):
    """Write a checkpoint as transformers 4.31 would: form bin or safetensors, single or in shards with an index."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(configuration))
    shutil.copyfile(tokenizer, folder / "tokenizer.model")
    write_weights(folder, weights, form, shards)
    (folder / "clip").mkdir()
    (folder / "clip" / "config.json").write_text(json.dumps(clip_configuration))
    write_weights(folder / "clip", clip, form, 1)
    return folder


def write_weights(folder, weights, form, shards):
    import torch
    from safetensors.torch import save_file

    stem, ending = ("model", "safetensors") if form == "safetensors" else ("pytorch_model", "bin")
    weights = {name: weight.contiguous().clone() for name, weight in weights.items()}
    names, index = list(weights), {}
    for number in range(shards):
        file = f"{stem}.{ending}" if shards == 1 else f"{stem}-{number + 1:05d}-of-{shards:05d}.{ending}"
        part = {name: weights[name] for name in names[number::shards]}
        save_file(part, folder / file) if form == "safetensors" else torch.save(part, folder / file)
        index.update(dict.fromkeys(part, file))
    if shards > 1:
        (folder / f"{stem}.{ending}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))


def train_tokenizer(path, pieces=420):
    """Write a Llama-like sentencepiece model, trained on a few sentences; returns the path."""
    import sentencepiece

    with open(path, "wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(_TEXT * 3), model_writer=file, vocab_size=pieces, model_type="bpe",
            byte_fallback=True, bos_id=1, eos_id=2, unk_id=0, pad_id=-1, split_digits=True,
            normalization_rule_name="identity", hard_vocab_limit=False, minloglevel=2,
            allow_whitespace_only_pieces=True, remove_extra_whitespaces=False,
        )  # fmt: skip
    return path


def small_configurations(vocabulary):
    """Return configurations of LLaMA, CLIP and SAM in sizes that no golden model has: shared keys, odd windows."""
    from transformers import (
        CLIPVisionConfig,
        LlamaConfig,
        SamConfig,
        SamMaskDecoderConfig,
        SamPromptEncoderConfig,
        SamVisionConfig,
    )

    language = LlamaConfig(
        vocab_size=vocabulary, hidden_size=48, intermediate_size=80, num_hidden_layers=3, num_attention_heads=6,
        num_key_value_heads=2, max_position_embeddings=640, rms_norm_eps=1e-6, tie_word_embeddings=False,
        rope_parameters={"rope_type": "linear", "rope_theta": 20000.0, "factor": 2.0},
    )  # fmt: skip
    vision = CLIPVisionConfig(
        hidden_size=24, intermediate_size=40, num_hidden_layers=3, num_attention_heads=2, image_size=56, patch_size=14
    )
    sam = SamConfig(
        vision_config=SamVisionConfig(
            hidden_size=40, output_channels=64, num_hidden_layers=4, num_attention_heads=5, image_size=96, patch_size=8,
            window_size=5, global_attn_indexes=[1, 3], num_pos_feats=32, mlp_dim=72,
        ),
        prompt_encoder_config=SamPromptEncoderConfig(
            hidden_size=64, image_size=96, patch_size=8, mask_input_channels=8
        ),
        mask_decoder_config=SamMaskDecoderConfig(
            hidden_size=64, mlp_dim=56, num_hidden_layers=2, num_attention_heads=8, num_multimask_outputs=3,
            iou_head_depth=4, iou_head_hidden_dim=48, layer_norm_eps=1e-5,
        ),
    )  # fmt: skip
    return language, vision, sam


# transformers -> segment_anything, as the published checkpoints have it.
_SAM_NAMES = [
    ("vision_encoder.layers.", "image_encoder.blocks."),
    ("vision_encoder.neck.conv1", "image_encoder.neck.0"),
    ("vision_encoder.neck.layer_norm1", "image_encoder.neck.1"),
    ("vision_encoder.neck.conv2", "image_encoder.neck.2"),
    ("vision_encoder.neck.layer_norm2", "image_encoder.neck.3"),
    ("vision_encoder.patch_embed.projection", "image_encoder.patch_embed.proj"),
    ("vision_encoder.", "image_encoder."),
    ("shared_image_embedding.positional_embedding", "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"),
    ("mask_embed.conv1", "mask_downscaling.0"),
    ("mask_embed.layer_norm1", "mask_downscaling.1"),
    ("mask_embed.conv2", "mask_downscaling.3"),
    ("mask_embed.layer_norm2", "mask_downscaling.4"),
    ("mask_embed.conv3", "mask_downscaling.6"),
    ("encoder.point_embed.", "encoder.point_embeddings."),
    ("upscale_conv1", "output_upscaling.0"),
    ("upscale_layer_norm", "output_upscaling.1"),
    ("upscale_conv2", "output_upscaling.3"),
    ("layer_norm", "norm"),
]


def original_sam_name(name, depths):
    """Return what segment_anything calls a weight of transformers; None for one that it has once and they twice."""
    if name.startswith("prompt_encoder.shared_embedding"):
        return None
    for perceptron, depth in depths.items():
        if name.startswith(f"mask_decoder.{perceptron}"):
            head, place, *rest = name.rsplit(".", 3 if ".layers." in name else 2)
            if place == "layers":
                return f"{head}.layers.{int(rest[0]) + 1}.{rest[1]}"
            return f"{head}.layers.{0 if place == 'proj_in' else depth - 1}.{rest[0]}"
    for new, old in _SAM_NAMES:
        name = name.replace(new, old)
    return name

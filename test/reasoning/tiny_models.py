"""Folders with tiny vision-language models of random weights, in the layout of the published ones."""

from __future__ import annotations

import json
from pathlib import Path

FAMILIES = ("qwen2_5_vl", "qwen3_vl", "qwen3_5", "llava_onevision")

# A chat template of the form that the published models have: turns between marks, images where they are named.
_TEMPLATE = """\
{%- for message in messages -%}
<|im_start|>{{ message.role }}
{% if message.content is string %}{{ message.content }}{% else %}{% for part in message.content -%}
{% if part.type == 'image' %}IMAGE{% else %}{{ part.text }}{% endif %}{% endfor %}{% endif %}<|im_end|>
{% endfor -%}
{%- if add_generation_prompt -%}
<|im_start|>assistant
{% if enable_thinking is not defined or enable_thinking %}THOUGHT{% endif %}{% endif -%}
"""

# What answers consist of, so that one token is worth several characters and a test needs few of them.
_CORPUS = [
    '{"objects":[{"label":"cup","color":"red","bbox_2d":[100,200,300,400],"point_2d":[150,250],"role":"target",'
    '"confidence":0.9,"constraint":{"type":"none","order":"largest","anchor":"table"},"reason":"on the table"}],'
    '"reason":"one red cup"}',
    'Request: "find the chair next to the white table" Answer with one JSON object and nothing else',
    "black gray white red orange brown beige yellow green blue purple pink silver gold copper other anchor context",
]


def tiny_vlm_folder(path: Path, family: str, seed: int = 0) -> Path:
    """Write a model of a family with its tokenizer and image settings into a folder; returns the folder."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    path.mkdir(parents=True, exist_ok=True)
    tokenizer = _tokenizer(llava=family == "llava_onevision", thinking=family == "qwen3_5")
    tokenizer.save_pretrained(path)
    model, image_processor = _MAKERS[family](tokenizer)
    with torch.no_grad():
        for parameter in model.parameters():
            # Larger than at the start of a training, so that the answers depend on the picture and on the words.
            if parameter.ndim > 1:
                parameter.normal_(0.0, 0.15)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(path)
    image_processor.save_pretrained(path)
    return path


def write_card(path: Path, name: str, family: str, **options) -> Path:
    """Write the card of a tiny model into a file; returns the file."""
    card = {
        "name": name,
        "kind": "vision_language",
        "family": family,
        "description": "random weights",
        "license": "none",
        "memory_gib": 0.001,
        "repositories": [
            {
                "hub_id": f"nobody/{name}",
                "revision": "main",
                "files": [{"path": file} for file in ("config.json", "model.safetensors", "tokenizer.json")],
            }
        ],
        "options": options,
    }
    path.write_text(json.dumps(card), encoding="utf-8")
    return path


def _tokenizer(llava: bool, thinking: bool):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    image, video = ("<image>", "<video>") if llava else ("<|image_pad|>", "<|video_pad|>")
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", image, video]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=special,
        show_progress=False,
    )
    tokenizer.train_from_iterator(_CORPUS, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    shown = image if llava else f"<|vision_start|>{image}<|vision_end|>"
    fast.chat_template = _TEMPLATE.replace("IMAGE", shown).replace("THOUGHT", "<think>\n" if thinking else "")
    return fast


def _ids(tokenizer):
    return {
        "image_token_id": tokenizer.convert_tokens_to_ids("<|image_pad|>"),
        "video_token_id": tokenizer.convert_tokens_to_ids("<|video_pad|>"),
        "vision_start_token_id": tokenizer.convert_tokens_to_ids("<|vision_start|>"),
        "vision_end_token_id": tokenizer.convert_tokens_to_ids("<|vision_end|>"),
    }


def _text(tokenizer, **more):
    # A few rows more than the tokenizer has words, as in the published models.
    return {
        "vocab_size": len(tokenizer) + 5,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": 8192,
        "bos_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "tie_word_embeddings": False,
        **more,
    }


def _qwen2_5_vl(tokenizer):
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    vision = {
        "depth": 2,
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_heads": 2,
        "out_hidden_size": 32,
        "patch_size": 14,
        "window_size": 56,
        "fullatt_block_indexes": [1],
    }
    rope = {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 10000.0}
    configuration = Qwen2_5_VLConfig(
        text_config=_text(tokenizer, rope_parameters=rope), vision_config=vision, **_ids(tokenizer)
    )
    return Qwen2_5_VLForConditionalGeneration(configuration), Qwen2VLImageProcessorPil()


def _qwen3_vl(tokenizer):
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

    vision = {
        "depth": 3,
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_heads": 2,
        "out_hidden_size": 32,
        "patch_size": 16,
        "num_position_embeddings": 64,
        "deepstack_visual_indexes": [0, 1],
    }
    rope = {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 10000.0, "mrope_interleaved": True}
    text = _text(tokenizer, rope_parameters=rope, head_dim=16)
    configuration = Qwen3VLConfig(text_config=text, vision_config=vision, **_ids(tokenizer))
    return Qwen3VLForConditionalGeneration(configuration), _qwen3_images()


def _qwen3_5(tokenizer):
    from transformers import Qwen3_5Config, Qwen3_5ForConditionalGeneration

    vision = {
        "depth": 2,
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_heads": 2,
        "out_hidden_size": 32,
        "patch_size": 16,
        "num_position_embeddings": 64,
    }
    rope = {
        "rope_type": "default",
        "mrope_section": [1, 1, 2],
        "rope_theta": 10000.0,
        "mrope_interleaved": True,
        "partial_rotary_factor": 0.5,
    }
    text = _text(
        tokenizer,
        rope_parameters=rope,
        head_dim=16,
        layer_types=["linear_attention", "full_attention"],
        linear_key_head_dim=8,
        linear_value_head_dim=8,
        linear_num_key_heads=2,
        linear_num_value_heads=2,
    )
    configuration = Qwen3_5Config(text_config=text, vision_config=vision, **_ids(tokenizer))
    return Qwen3_5ForConditionalGeneration(configuration), _qwen3_images()


def _qwen3_images():
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    return Qwen2VLImageProcessorPil(patch_size=16, image_mean=[0.5] * 3, image_std=[0.5] * 3)


def _llava_onevision(tokenizer):
    from transformers import LlavaOnevisionConfig, LlavaOnevisionForConditionalGeneration
    from transformers.models.llava_onevision.image_processing_pil_llava_onevision import LlavaOnevisionImageProcessorPil

    grids = [[56, 56], [56, 112], [112, 56], [112, 112], [112, 168], [168, 112], [168, 168]]
    vision = {
        "model_type": "siglip_vision_model",
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 56,
        "patch_size": 14,
        "vision_use_head": False,
    }
    configuration = LlavaOnevisionConfig(
        vision_config=vision,
        text_config={"model_type": "qwen2", **_text(tokenizer)},
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_index=tokenizer.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=grids,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
    )
    images = LlavaOnevisionImageProcessorPil(size={"height": 56, "width": 56}, image_grid_pinpoints=grids)
    return LlavaOnevisionForConditionalGeneration(configuration), images


_MAKERS = {
    "qwen2_5_vl": _qwen2_5_vl,
    "qwen3_vl": _qwen3_vl,
    "qwen3_5": _qwen3_5,
    "llava_onevision": _llava_onevision,
}

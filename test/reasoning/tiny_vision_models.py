"""Tiny segmenters, image encoders and detectors of random weights, in the layout of the published ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any


def sam() -> Any:
    """Return a SamModel for pictures of 64 px."""
    from transformers import SamConfig, SamModel

    return _spread(
        lambda: SamModel(
            SamConfig(
                vision_config={
                    "hidden_size": 16, "output_channels": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
                    "image_size": 64, "patch_size": 8, "window_size": 4, "global_attn_indexes": [0],
                    "num_pos_feats": 8, "mlp_dim": 32,
                },
                prompt_encoder_config={
                    "hidden_size": 16, "image_size": 64, "patch_size": 8, "mask_input_channels": 4,
                },
                mask_decoder_config={
                    "hidden_size": 16, "mlp_dim": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
                    "iou_head_hidden_dim": 16,
                },
            )
        )
    )  # fmt: skip


def _sam2_vision(width: int, side_px: int) -> dict[str, Any]:
    levels = [[side_px // step, side_px // step] for step in (4, 8, 16)]
    return {
        "backbone_config": {
            "model_type": "sam2_hiera_det_model", "hidden_size": 8, "num_attention_heads": 1,
            "image_size": [side_px, side_px], "blocks_per_stage": [1, 1, 1, 1], "embed_dim_per_stage": [8, 16, 32, 64],
            "num_attention_heads_per_stage": [1, 1, 1, 1], "window_size_per_stage": [4, 4, 4, 4],
            "global_attention_blocks": [], "window_positional_embedding_background_size": [4, 4],
        },
        "backbone_channel_list": [64, 32, 16, 8], "backbone_feature_sizes": levels, "fpn_hidden_size": width,
    }  # fmt: skip


def sam2() -> Any:
    """Return a Sam2Model for pictures of 64 px."""
    from transformers import Sam2Config, Sam2Model

    return _spread(
        lambda: Sam2Model(
            Sam2Config(
                vision_config=_sam2_vision(32, 64),
                prompt_encoder_config={
                    "hidden_size": 32, "image_size": 64, "patch_size": 16, "mask_input_channels": 4,
                },
                mask_decoder_config={
                    "hidden_size": 32, "mlp_dim": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
                    "iou_head_hidden_dim": 16,
                },
            )
        )
    )  # fmt: skip


def sam2_video() -> Any:
    """Return a Sam2VideoModel for pictures of 64 px."""
    from transformers import Sam2VideoConfig, Sam2VideoModel

    return _spread(
        lambda: Sam2VideoModel(
            Sam2VideoConfig(
                vision_config=_sam2_vision(128, 64),
                prompt_encoder_config={
                    "hidden_size": 128, "image_size": 64, "patch_size": 16, "mask_input_channels": 4,
                },
                mask_decoder_config={
                    "hidden_size": 128, "mlp_dim": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
                    "iou_head_hidden_dim": 16,
                },
                image_size=64, memory_attention_hidden_size=128, memory_attention_num_layers=1,
                memory_attention_feed_forward_hidden_size=32, memory_attention_rope_feat_sizes=[4, 4],
                memory_encoder_hidden_size=128, memory_encoder_output_channels=64, mask_downsampler_embed_dim=128,
                memory_fuser_num_layers=1, memory_fuser_embed_dim=128, memory_fuser_intermediate_dim=32,
            )
        )
    )  # fmt: skip


def sam3() -> Any:
    """Return a Sam3Model for pictures of 56 px and texts of 8 tokens."""
    from transformers import Sam3Config, Sam3Model

    small = {"hidden_size": 32, "num_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    return _spread(
        lambda: Sam3Model(
            Sam3Config(
                vision_config={
                    "backbone_config": {
                        "model_type": "sam3_vit_model", "hidden_size": 32, "intermediate_size": 32,
                        "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 56, "patch_size": 14,
                        "window_size": 2, "global_attn_indexes": [1], "pretrain_image_size": 28,
                    },
                    "fpn_hidden_size": 32, "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
                },
                text_config=_clip_text("clip_text_model"), geometry_encoder_config=small, detr_encoder_config=small,
                detr_decoder_config={**small, "num_queries": 12},
                mask_decoder_config={"hidden_size": 32, "num_upsampling_stages": 3, "num_attention_heads": 2},
            )
        )
    )  # fmt: skip


def _clip_text(model_type: str) -> dict[str, Any]:
    return {
        "model_type": model_type, "vocab_size": 300, "hidden_size": 32, "intermediate_size": 32,
        "projection_dim": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "max_position_embeddings": 16,
        "bos_token_id": 256, "eos_token_id": 257, "pad_token_id": 0,
    }  # fmt: skip


_VISION = {
    "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 32,
    "patch_size": 8, "projection_dim": 16,
}  # fmt: skip


def clip() -> Any:
    """Return a CLIPModel for pictures of 32 px."""
    from transformers import CLIPConfig, CLIPModel

    return _spread(
        lambda: CLIPModel(
            CLIPConfig(text_config=_clip_text("clip_text_model"), vision_config=_VISION, projection_dim=16)
        )
    )


def siglip() -> Any:
    """Return a SiglipModel for pictures of 32 px."""
    from transformers import SiglipConfig, SiglipModel

    text = {**_clip_text("siglip_text_model"), "projection_size": 32}
    vision = {key: value for key, value in _VISION.items() if key != "projection_dim"}
    return _spread(lambda: SiglipModel(SiglipConfig(text_config=text, vision_config=vision)))


def owlv2() -> Any:
    """Return an Owlv2ForObjectDetection for pictures of 32 px."""
    from transformers import Owlv2Config, Owlv2ForObjectDetection

    text = {key: value for key, value in _clip_text("owlv2_text_model").items() if key != "projection_dim"}
    vision = {key: value for key, value in _VISION.items() if key != "projection_dim"}
    return _spread(
        lambda: Owlv2ForObjectDetection(Owlv2Config(text_config=text, vision_config=vision, projection_dim=32))
    )


def grounding_dino() -> Any:
    """Return a GroundingDinoForObjectDetection."""
    from transformers import GroundingDinoConfig, GroundingDinoForObjectDetection

    return _spread(
        lambda: GroundingDinoForObjectDetection(
            GroundingDinoConfig(
                backbone_config={
                    "model_type": "swin", "embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 1, 1],
                    "window_size": 4, "image_size": 64, "out_indices": [2, 3, 4],
                },
                text_config={
                    "model_type": "bert", "vocab_size": 1100, "hidden_size": 16, "num_hidden_layers": 1,
                    "num_attention_heads": 2, "intermediate_size": 16, "max_position_embeddings": 64,
                },
                d_model=32, encoder_layers=1, decoder_layers=2, encoder_attention_heads=2, decoder_attention_heads=2,
                encoder_ffn_dim=32, decoder_ffn_dim=32, num_queries=20, num_feature_levels=4, max_text_len=64,
                encoder_n_points=2, decoder_n_points=2,
            )
        )
    )  # fmt: skip


def clip_tokenizer() -> Any:
    """Return a tokenizer of single bytes between <|startoftext|> and <|endoftext|>, padded with the first byte."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    names = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {name: number for number, name in enumerate([*names, "<|startoftext|>", "<|endoftext|>"])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<|startoftext|> $A <|endoftext|>",
        special_tokens=[("<|startoftext|>", len(names)), ("<|endoftext|>", len(names) + 1)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|startoftext|>", eos_token="<|endoftext|>", pad_token=names[0]
    )


def bert_tokenizer(words: tuple[str, ...]) -> Any:
    """Return a WordPiece tokenizer of whole words with the special ids that Grounding DINO counts on."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    pieces = {"[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, ".": 1012, "?": 1029}
    pieces.update({word: 200 + number for number, word in enumerate(words)})
    tokenizer = Tokenizer(models.WordPiece(vocab=pieces, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, cls_token="[CLS]", sep_token="[SEP]", pad_token="[PAD]", unk_token="[UNK]"
    )


def _spread(make: Callable[[], Any]) -> Any:
    """Make a model with weights larger than at the start of a training, so that its answers depend on what is asked."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)  # buffers are random, too
    model = make()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1 or name.endswith("class_embedding"):
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return model.eval()


def saved(model: Any, folder: Path, *parts: Any) -> Path:
    """Write a model and its tokenizer or image processor into a folder; returns the folder."""
    model.save_pretrained(folder)
    for part in parts:
        part.save_pretrained(folder)
    return folder


def write_card(path: Path, name: str, kind: str, family: str, **options: Any) -> Path:
    """Write the card of a tiny model into a file; returns the file."""
    import yaml

    card = {
        "name": name, "kind": kind, "family": family, "description": "random weights", "license": "none",
        "memory_gib": 0.01, "options": options,
        "repositories": [
            {"hub_id": f"tiny/{name}", "revision": "main",
             "files": [{"path": "config.json"}, {"path": "model.safetensors"}]}
        ],
    }  # fmt: skip
    path.write_text(yaml.safe_dump(card), encoding="utf-8")
    return path

"""Tiny segmenters, image encoders and detectors of random weights, in the layout of the published ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def sam() -> Any:
    """Return a SamModel for pictures of 64 px."""
    from transformers import SamConfig, SamModel

    return _spread(
        SamModel(
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
        Sam2Model(
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
        Sam2VideoModel(
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


def _spread(model: Any) -> Any:
    """Give a model weights larger than at the start of a training, so that its answers depend on what is asked."""
    import torch

    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
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

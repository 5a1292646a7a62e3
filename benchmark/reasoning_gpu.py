"""Measure reasoning models of real sizes with random weights: memory, and time per keyframe in batches.

Usage: python benchmark/reasoning_gpu.py [--shapes real|tiny] [--device auto|cuda|cpu] [--batch 1 4 9] [--tokens 60]
       [--models lisa vlm sam sam2] [--compile] [--rounds 3] [--output FILE.jsonl]

Prints a line of JSON for every measurement. lisa: LISA-7B (LLaMA 7B, CLIP ViT-L/14, SAM ViT-H); its peer is the
original's order of work in the same run: keys and values not kept, pictures through SAM one after the other. vlm:
Qwen3-VL-8B, a picture of 640x480; its peer is generate() without a cache. sam, sam2: SAM ViT-H and SAM 2 large on eight
boxes a keyframe; their peer is one box at a time, nothing kept. Weights are random: what is said and drawn means
nothing, the work is that of the real models. --compile adds the vlm with a static cache under torch.compile, which uses
CUDA graphs.

Shapes "tiny" are for a processor: they show that the script runs, and nothing else. Memory is the peak on the GPU; on a
processor it is not known and left out. The time is the fastest of the rounds after one that warms up.
"""

from __future__ import annotations

import argparse
import io
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece
import torch
from lisa_decoding import ENDLESS, INSTRUCTION, decode_without_cache

from lira_ros.geometry.camera import Camera
from lira_ros.geometry.frame import Frame, Keyframe
from lira_ros.reasoning.compute import ComputeConfiguration, choose_device
from lira_ros.reasoning.lisa.model import LisaModel
from lira_ros.reasoning.lisa.prompts import LisaStyle
from lira_ros.reasoning.lisa.tokenizer import LisaTokenizer
from lira_ros.reasoning.models.cards import find_card
from lira_ros.reasoning.segmentation.contracts import RegionPrompt
from lira_ros.reasoning.segmentation.sam import SamSegmenter
from lira_ros.reasoning.segmentation.sam2 import Sam2Segmenter

WIDTH_PX, HEIGHT_PX = 640, 480
BOXES = 8
# Vocabulary of LLaMA with LISA's tokens.
LLAMA_VOCABULARY = 32004


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", choices=("real", "tiny"), default="real")
    parser.add_argument("--device", choices=("auto", "cuda", "cpu"), default="auto")
    parser.add_argument("--precision", choices=("float32", "bfloat16", "float16"), default="bfloat16")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 4, 9], help="keyframes at once")
    parser.add_argument("--tokens", type=int, default=60, help="tokens of an answer")
    parser.add_argument("--models", nargs="+", default=["lisa", "vlm", "sam", "sam2"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--compile", action="store_true", help="also the vlm with a static cache, compiled")
    parser.add_argument("--output", type=Path, help="file to which the lines are written as well")
    return parser.parse_args(argv)


class Meter:
    """Runs work, and notes its time and the memory that it took."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.device = choose_device(options.device)
        self.dtype = getattr(torch, options.precision)
        self.lines: list[str] = []

    def report(self, **values: Any) -> None:
        """Print a measurement, and write it to the file that was asked for."""
        device = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "cpu"
        line = json.dumps(
            {**values, "shapes": self.options.shapes, "precision": self.options.precision, "device": device}
        )
        print(line, flush=True)
        self.lines.append(line)
        if self.options.output:
            self.options.output.write_text("\n".join(self.lines) + "\n")

    def measure(self, work: Callable[[], object]) -> dict[str, float]:
        """Return the fastest time [s] and, on a GPU, the peak of its memory [GiB] since it was empty."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        times = []
        for _ in range(self.options.rounds + 1):
            self._wait()
            start = time.perf_counter()
            work()
            self._wait()
            times.append(time.perf_counter() - start)
        measured = {"time_s": round(min(times[1:]), 4)}
        if self.device.type == "cuda":
            measured["peak_gib"] = round(torch.cuda.max_memory_allocated(self.device) / 2**30, 2)
        return measured

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def keyframes(count: int) -> list[Keyframe]:
    """Return keyframes of noise; every call makes new ones, so that nothing is found in a cache."""
    generator = np.random.default_rng(count)
    camera = Camera(WIDTH_PX, HEIGHT_PX, 600.0, 600.0, 319.5, 239.5)
    depth_m = np.full((HEIGHT_PX, WIDTH_PX), 2.0, dtype=np.float32)
    return [
        Keyframe(
            number + 1,
            Frame(
                time.monotonic_ns(),
                generator.integers(0, 256, (HEIGHT_PX, WIDTH_PX, 3), dtype=np.uint8),
                depth_m,
                camera,
                np.eye(4),
            ),
            np.array([0.0, 0.0, 1.0]),
            0.0,
        )
        for number in range(count)
    ]


def small_tokenizer(folder: Path) -> LisaTokenizer:
    """Return a tokenizer trained on the prompts alone: how text is cut matters little for the time."""
    style = LisaStyle.from_card(find_card("lira-7b"))
    text = style.prompt(style.question.replace("{instruction}", INSTRUCTION))
    trained = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([*text.split(". "), INSTRUCTION] * 20),
        model_writer=trained,
        model_type="bpe",
        vocab_size=400,
        byte_fallback=True,
        hard_vocab_limit=False,
        unk_id=0,
        bos_id=1,
        eos_id=2,
        minloglevel=2,
    )
    (folder / "tokenizer.model").write_bytes(trained.getvalue())
    return LisaTokenizer(folder / "tokenizer.model")


def lisa_configurations(shapes: str, vocabulary: int) -> tuple[Any, Any, Any]:
    """Return the configurations of LLaMA, CLIP and SAM: those of LISA-7B, or small ones."""
    from transformers import CLIPVisionConfig, LlamaConfig, SamConfig

    if shapes == "real":
        language = LlamaConfig(vocab_size=LLAMA_VOCABULARY)  # the library's defaults are LLaMA 7B
        vision = CLIPVisionConfig(
            hidden_size=1024, intermediate_size=4096, num_hidden_layers=24, num_attention_heads=16, patch_size=14
        )
        sam = sam_huge()
    else:
        language = LlamaConfig(
            vocab_size=vocabulary, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4
        )
        vision = CLIPVisionConfig(
            hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=4, patch_size=14
        )
        sam = SamConfig(
            vision_config={
                "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "image_size": 256, "mlp_dim": 64,
                "output_channels": 32, "window_size": 6, "global_attn_indexes": [1], "num_pos_feats": 16,
            },
            prompt_encoder_config={"hidden_size": 32, "image_size": 256},
            mask_decoder_config={"hidden_size": 32, "mlp_dim": 64, "iou_head_hidden_dim": 32},
        )  # fmt: skip
    sam.mask_decoder_config.layer_norm_eps = 1e-5  # segment_anything's, which LISA's weights were trained with
    return language, vision, sam


def sam_huge() -> Any:
    """Return the configuration of SAM ViT-H (segment_anything, build_sam_vit_h)."""
    from transformers import SamConfig

    vision = {
        "hidden_size": 1280, "num_hidden_layers": 32, "num_attention_heads": 16, "mlp_dim": 5120,
        "global_attn_indexes": [7, 15, 23, 31],
    }  # fmt: skip
    return SamConfig(vision_config=vision)


def lisa(meter: Meter) -> None:
    """Measure whole answers for keyframes, ours and in the original's order of work."""
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = small_tokenizer(Path(folder))
    tokenizer.eos_id = ENDLESS
    configurations = lisa_configurations(meter.options.shapes, tokenizer.size)
    model = LisaModel.random(*configurations, tokenizer, device=meter.device, dtype=meter.dtype)
    style = LisaStyle.from_card(find_card("lira-7b"))
    prompt = style.prompt(style.question.replace("{instruction}", INSTRUCTION))
    weights_gib = round(sum(model.weight_bytes().values()) / 2**30, 2)

    def measure_batch(count: int) -> None:
        pictures = [keyframe.frame.color for keyframe in keyframes(count)]
        prompts = [prompt] * count
        ours = meter.measure(lambda: model.generate(pictures, prompts, meter.options.tokens, "squash"))
        sight = meter.measure(lambda: model.encode(pictures, "squash"))

        def original() -> None:
            encoded = [model.encode([picture], "squash")[0] for picture in pictures]
            decode_without_cache(model, encoded, prompts, meter.options.tokens)

        theirs = meter.measure(original)
        meter.report(
            model="lisa-7b", keyframes=count, tokens=meter.options.tokens, weights_gib=weights_gib, **ours,
            time_per_keyframe_s=round(ours["time_s"] / count, 4), encoding_s=sight["time_s"],
            original_order_s=theirs["time_s"], original_peak_gib=theirs.get("peak_gib"),
            ratio=round(theirs["time_s"] / ours["time_s"], 1),
        )  # fmt: skip

    for count in meter.options.batch:
        measure_batch(count)


def vlm_configuration(shapes: str) -> Any:
    """Return the configuration of Qwen3-VL-8B (its published config.json), or a small one."""
    from transformers import Qwen3VLConfig

    real = shapes == "real"
    text = {
        "vocab_size": 151936 if real else 512, "hidden_size": 4096 if real else 64,
        "intermediate_size": 12288 if real else 128, "num_hidden_layers": 36 if real else 2,
        "num_attention_heads": 32 if real else 4, "num_key_value_heads": 8 if real else 2,
        "head_dim": 128 if real else 16, "max_position_embeddings": 32768,
        "rope_parameters": {
            "rope_type": "default", "mrope_section": [24, 20, 20] if real else [2, 3, 3], "rope_theta": 5000000.0,
            "mrope_interleaved": True,
        },
    }  # fmt: skip
    vision = {
        "depth": 27 if real else 2, "hidden_size": 1152 if real else 32, "intermediate_size": 4304 if real else 64,
        "num_heads": 16 if real else 2, "out_hidden_size": 4096 if real else 64, "patch_size": 16,
        "num_position_embeddings": 2304 if real else 64, "deepstack_visual_indexes": [8, 16, 24] if real else [0],
    }  # fmt: skip
    top = text["vocab_size"]
    return Qwen3VLConfig(
        text_config=text, vision_config=vision, image_token_id=top - 1, video_token_id=top - 2,
        vision_start_token_id=top - 3, vision_end_token_id=top - 4,
    )  # fmt: skip


@torch.inference_mode()
def vlm(meter: Meter) -> None:
    """Measure greedy answers to a picture of 640x480 and a prompt of 200 tokens."""
    from transformers import GenerationConfig, Qwen3VLForConditionalGeneration

    configuration = vlm_configuration(meter.options.shapes)
    torch.manual_seed(0)
    torch.set_default_dtype(meter.dtype)
    with meter.device:
        model = Qwen3VLForConditionalGeneration(configuration).eval()
    torch.set_default_dtype(torch.float32)
    rows, columns = HEIGHT_PX // 16, WIDTH_PX // 16  # patches; two by two become a token
    seen = rows * columns // 4
    image_id = configuration.image_token_id
    generator = torch.Generator().manual_seed(0)
    words = torch.randint(10, configuration.text_config.vocab_size - 10, (200,), generator=generator)
    picture = torch.tensor([configuration.vision_start_token_id, *[image_id] * seen, configuration.vision_end_token_id])
    ids = torch.cat([words[:100], picture, words[100:]]).to(meter.device)
    weights_gib = round(sum(part.numel() * part.element_size() for part in model.parameters()) / 2**30, 2)
    channels = 3 * configuration.vision_config.temporal_patch_size * configuration.vision_config.patch_size**2
    for count in meter.options.batch:
        inputs = {
            "input_ids": ids.repeat(count, 1),
            "attention_mask": torch.ones_like(ids).repeat(count, 1),
            "mm_token_type_ids": (ids == image_id).int().repeat(count, 1),
            "pixel_values": torch.rand(count * rows * columns, channels, device=meter.device, dtype=meter.dtype),
            "image_grid_thw": torch.tensor([[1, rows, columns]] * count, device=meter.device),
        }

        def answer(inputs: dict[str, torch.Tensor] = inputs, **options: Any) -> object:
            tokens = meter.options.tokens
            settings = GenerationConfig(
                do_sample=False, min_new_tokens=tokens, max_new_tokens=tokens, pad_token_id=0, eos_token_id=1, **options
            )
            return model.generate(**inputs, generation_config=settings)

        measured = {"kept": meter.measure(answer), "again": meter.measure(lambda: answer(use_cache=False))}
        if meter.options.compile:
            measured["compiled"] = meter.measure(lambda: answer(cache_implementation="static"))
        ours = measured["kept"]
        meter.report(
            model="qwen3-vl-8b", keyframes=count, tokens=meter.options.tokens, weights_gib=weights_gib, **ours,
            time_per_keyframe_s=round(ours["time_s"] / count, 4), without_cache_s=measured["again"]["time_s"],
            ratio=round(measured["again"]["time_s"] / ours["time_s"], 1),
            **({"compiled_s": measured["compiled"]["time_s"]} if "compiled" in measured else {}),
        )  # fmt: skip


def segmenter(meter: Meter, name: str) -> SamSegmenter | Sam2Segmenter:
    """Return SAM ViT-H or SAM 2 large of random weights that keeps no features, or a small one."""
    from transformers import Sam2Config, Sam2Model, SamModel

    compute = ComputeConfiguration(meter.device.type, meter.options.precision)
    torch.manual_seed(0)
    if name == "sam":
        configuration = sam_huge() if meter.options.shapes == "real" else lisa_configurations("tiny", 400)[2]
        return SamSegmenter(SamModel(configuration), compute, 0)
    # The library's defaults are SAM 2 tiny; large is Hiera-L (facebookresearch/sam2, sam2_hiera_l.yaml).
    large = {
        "model_type": "sam2_hiera_det_model", "hidden_size": 144, "num_attention_heads": 2,
        "blocks_per_stage": [2, 6, 36, 4],
        "embed_dim_per_stage": [144, 288, 576, 1152], "num_attention_heads_per_stage": [2, 4, 8, 16],
        "window_size_per_stage": [8, 4, 16, 8], "global_attention_blocks": [23, 33, 43],
    }  # fmt: skip
    if meter.options.shapes == "tiny":
        return Sam2Segmenter(Sam2Model(small_sam2()), compute, 0)
    vision = {"backbone_config": large, "backbone_channel_list": [1152, 576, 288, 144]}
    return Sam2Segmenter(Sam2Model(Sam2Config(vision_config=vision)), compute, 0)


def small_sam2() -> Any:
    """Return the configuration of a SAM 2 for pictures of 64 px."""
    from transformers import Sam2Config

    hiera = {
        "model_type": "sam2_hiera_det_model", "hidden_size": 8, "num_attention_heads": 1, "image_size": [64, 64],
        "blocks_per_stage": [1, 1, 1, 1], "embed_dim_per_stage": [8, 16, 32, 64],
        "num_attention_heads_per_stage": [1, 1, 1, 1], "window_size_per_stage": [4, 4, 4, 4],
        "global_attention_blocks": [], "window_positional_embedding_background_size": [4, 4],
    }  # fmt: skip
    vision = {
        "backbone_config": hiera, "backbone_channel_list": [64, 32, 16, 8], "fpn_hidden_size": 32,
        "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
    }  # fmt: skip
    prompts = {"hidden_size": 32, "image_size": 64, "mask_input_channels": 4}
    decoder = {"hidden_size": 32, "mlp_dim": 32, "num_attention_heads": 2, "iou_head_hidden_dim": 16}
    return Sam2Config(vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=decoder)


def masks(meter: Meter, name: str) -> None:
    """Measure the masks of eight boxes a keyframe, together and one by one."""
    makes_masks = segmenter(meter, name)
    boxes = [RegionPrompt((20.0 + 70 * i, 40.0, 80.0 + 70 * i, 400.0)) for i in range(BOXES)]

    def measure_batch(count: int) -> None:
        asked = [(keyframe, boxes) for keyframe in keyframes(count)]
        together = meter.measure(lambda: makes_masks.segment(asked))
        alone = meter.measure(
            lambda: [makes_masks.segment([(keyframe, [box])]) for keyframe, prompts in asked for box in prompts]
        )
        meter.report(
            model=name, keyframes=count, boxes=BOXES, **together,
            time_per_keyframe_s=round(together["time_s"] / count, 4), one_by_one_s=alone["time_s"],
            ratio=round(alone["time_s"] / together["time_s"], 1),
        )  # fmt: skip

    for count in meter.options.batch:
        measure_batch(count)


def main(argv: list[str] | None = None) -> None:
    options = arguments(argv)
    meter = Meter(options)
    if options.shapes == "real" and meter.device.type == "cpu":
        print("No GPU: models of real sizes would take minutes a token here. --shapes tiny shows that all runs.")
        return
    if meter.device.type == "cpu":
        torch.set_num_threads(1)
    for name in options.models:
        if name == "lisa":
            lisa(meter)
        elif name == "vlm":
            vlm(meter)
        else:
            masks(meter, name)
        if meter.device.type == "cuda":
            torch.cuda.empty_cache()


if __name__ == "__main__":
    main()

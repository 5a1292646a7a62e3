"""Measure reasoning models of real sizes with random weights: memory, and time per keyframe in batches.

Usage: python benchmark/reasoning_gpu.py [--shapes real|tiny] [--device auto|cuda|cpu] [--batch 1 4 9] [--tokens 60]
       [--models parity lisa vlm sam sam2] [--compile] [--rounds 3] [--output FILE.jsonl]

Prints a line of JSON for every measurement. parity: a tiny LISA (with the weights of ../shared/golden/lisa where they
are), Qwen3-VL, SAM and SAM 2 on the device in float32 and bfloat16, against the processor in float32. lisa: LISA-7B
(LLaMA 7B, CLIP ViT-L/14, SAM ViT-H); its peer is the original's order of work in the same run: keys and values not
kept, pictures through SAM one after the other. vlm: Qwen3-VL-8B, a picture of 640x480; its peer is generate() without a
cache. sam, sam2: SAM ViT-H and SAM 2 large on eight boxes a keyframe; their peer is one box at a time, nothing kept.
Weights are random: what is said and drawn means nothing, the work is that of the real models. What the memory of the
device cannot hold is said in a line of its own.

--compile adds what torch.compile makes of it, which uses CUDA graphs on a GPU: language models that write with a static
cache, and SAM's image encoders.

Shapes "tiny" are for a processor: they show that the script runs, and nothing else. Memory is the peak on the GPU; on a
processor it is not known and left out. The time is the fastest of the rounds after one that warms up.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import gc
import io
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece
import torch
from lisa_decoding import ENDLESS, INSTRUCTION, decode_with_cache, decode_without_cache, tiny_model

from lira_ros.geometry.camera import Camera
from lira_ros.geometry.frame import Frame, Keyframe
from lira_ros.reasoning.compute import ComputeConfiguration, choose_device
from lira_ros.reasoning.contracts import ReasoningError
from lira_ros.reasoning.lisa.model import EncodedImage, LisaModel
from lira_ros.reasoning.lisa.prompts import LisaStyle
from lira_ros.reasoning.lisa.tokenizer import LisaTokenizer
from lira_ros.reasoning.models.cards import find_card
from lira_ros.reasoning.segmentation.contracts import RegionPrompt
from lira_ros.reasoning.segmentation.sam import SamSegmenter
from lira_ros.reasoning.segmentation.sam2 import Sam2Segmenter

MODELS = ("parity", "lisa", "vlm", "sam", "sam2")
WIDTH_PX, HEIGHT_PX = 640, 480
BOXES = 8
# Tokens whose equality is compared: behind the first that differs all others do.
WRITTEN_TOKENS = 10
# Vocabulary of LLaMA with LISA's tokens.
LLAMA_VOCABULARY = 32004


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", choices=("real", "tiny"), default="real")
    parser.add_argument("--device", choices=("auto", "cuda", "cpu"), default="auto")
    parser.add_argument("--precision", choices=("float32", "bfloat16", "float16"), default="bfloat16")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 4, 9], help="keyframes at once")
    parser.add_argument("--tokens", type=int, default=60, help="tokens of an answer")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--compile", action="store_true", help="also under torch.compile")
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
            {"shapes": self.options.shapes, "precision": self.options.precision, "device": device, **values}
        )
        print(line, flush=True)
        self.lines.append(line)
        if self.options.output:
            self.options.output.write_text("\n".join(self.lines) + "\n")

    @contextlib.contextmanager
    def within_memory(self, **values: Any) -> Iterator[None]:
        """Report what the memory of the device cannot hold, and go on with the next."""
        try:
            yield
        except (torch.OutOfMemoryError, ReasoningError) as error:
            self.report(**values, problem=str(error)[:200])
        self.free()

    def free(self) -> None:
        """Give the memory of what is used no longer back to the device."""
        if self.device.type == "cuda":
            gc.collect()
            torch.cuda.empty_cache()

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


def parity(meter: Meter) -> None:
    """Compare tiny models on the device with the processor in float32."""
    exact = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    # Both cut float32 to 10 bits, which is not what is compared here.
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    try:
        with tempfile.TemporaryDirectory() as folder:
            for name, compare in (
                ("lisa", lisa_on_device(Path(folder))),
                ("qwen3-vl", vlm_on_device(Path(folder))),
                ("sam", segmenter_on_device("sam")),
                ("sam2", segmenter_on_device("sam2")),
            ):
                for precision in ("float32", "bfloat16"):
                    found = compare(meter.device, precision)
                    meter.report(model=f"parity {name}", **found, shapes="tiny", precision=precision)
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = exact


Compare = Callable[[torch.device, str], dict[str, float]]


def lisa_on_device(folder: Path) -> Compare:
    """Return what compares a LISA on a device: logits and masks of a given answer, and the tokens it writes."""
    reference = tiny_model(folder)
    pictures = [keyframe.frame.color for keyframe in keyframes(2)]
    style = LisaStyle.from_card(find_card("lira-7b"))
    prompts = [style.prompt(style.question.replace("{instruction}", text)) for text in (INSTRUCTION, "find the sink")]
    given = [f"{prompt} white sink [SEG], beige curtain [SEG]." for prompt in prompts]

    def answers(model: LisaModel) -> tuple[np.ndarray, np.ndarray, list[list[int]]]:
        forced = model.teacher_forced(pictures, given, "squash")
        written = model.generate(pictures, prompts, WRITTEN_TOKENS, "squash")
        logits, masks = (
            np.concatenate([getattr(answer, name).ravel() for answer in forced]) for name in ("logits", "mask_logits")
        )
        return logits, masks, [answer.generated_ids.tolist() for answer in written]

    expected = answers(reference)

    def compare(device: torch.device, precision: str) -> dict[str, float]:
        model = copy.copy(reference)
        for name in ("_language", "_vision", "_sam", "_projector", "_head"):
            part = copy.deepcopy(getattr(reference, name)).to(device, getattr(torch, precision))
            setattr(model, name, part)
        # Phases stay in float32, as they do when a checkpoint is loaded.
        model._language.model.rotary_emb = copy.deepcopy(reference._language.model.rotary_emb).to(device)
        model._positions = reference._positions.to(device, getattr(torch, precision))
        found = answers(model)
        written = found[2], expected[2]
        return {
            "logits_difference": float(np.abs(found[0] - expected[0]).max()),
            "mask_pixels_that_differ": float(np.mean((found[1] > 0) != (expected[1] > 0))),
            "answers_with_the_same_tokens": float(np.mean([one == other for one, other in zip(*written, strict=True)])),
        }

    return compare


@torch.no_grad()
def stirred(model: Any) -> Any:
    """Give a model weights with which it depends on what it sees: a fresh one says nearly the same of everything."""
    generator = torch.Generator().manual_seed(0)
    for weight in model.parameters():
        if weight.ndim > 1:
            weight.normal_(0.0, 0.15, generator=generator)
    return model


def vlm_on_device(folder: Path) -> Compare:
    """Return what compares a Qwen3-VL on a device: logits of a prompt with a picture, and the tokens that follow."""
    from transformers import Qwen3VLForConditionalGeneration

    configuration = vlm_configuration("tiny")
    reference = stirred(Qwen3VLForConditionalGeneration(configuration).eval())
    reference.save_pretrained(folder / "vlm")
    inputs = vlm_inputs(configuration, 2)

    @torch.inference_mode()
    def answers(model: Any, device: torch.device) -> tuple[np.ndarray, np.ndarray]:
        placed = {name: value.to(device) for name, value in inputs.items()}
        ids = model.generate(**placed, generation_config=vlm_generation(WRITTEN_TOKENS))
        return model(**placed).logits.float().cpu().numpy(), ids.cpu().numpy()

    expected = answers(reference, torch.device("cpu"))

    def compare(device: torch.device, precision: str) -> dict[str, float]:
        model = Qwen3VLForConditionalGeneration.from_pretrained(folder / "vlm", dtype=precision).eval().to(device)
        found = answers(model, device)
        return {
            "logits_difference": float(np.abs(found[0] - expected[0]).max()),
            "answers_with_the_same_tokens": float(np.mean((found[1] == expected[1]).all(axis=1))),
        }

    return compare


def segmenter_on_device(name: str) -> Compare:
    """Return what compares a SAM or SAM 2 on a device: masks and their qualities."""
    asked = [(keyframe, eight_boxes()) for keyframe in keyframes(2)]

    def answers(device: torch.device, precision: str) -> tuple[np.ndarray, np.ndarray]:
        found = segmenter(name, "tiny", ComputeConfiguration(device.type, precision)).segment(asked)
        regions = [region for regions in found for region in regions]
        return np.array([region.mask for region in regions]), np.array([region.quality for region in regions])

    expected = answers(torch.device("cpu"), "float32")

    def compare(device: torch.device, precision: str) -> dict[str, float]:
        found = answers(device, precision)
        return {
            "mask_pixels_that_differ": float(np.mean(found[0] != expected[0])),
            "share_of_masks": float(expected[0].mean()),
            "quality_difference": float(np.abs(found[1] - expected[1]).max()),
        }

    return compare


def encoder_times(meter: Meter, encoder: Any, side_px: int, count: int) -> dict[str, float]:
    """Return the time of an image encoder as it is, and compiled where that is asked for."""
    if not meter.options.compile:
        return {}
    dtype = next(encoder.parameters()).dtype
    squares = torch.rand(count, 3, side_px, side_px, device=meter.device, dtype=dtype)
    compiled = torch.compile(encoder, mode="reduce-overhead")
    with torch.inference_mode():
        return {
            "encoder_s": meter.measure(lambda: encoder(squares))["time_s"],
            "encoder_compiled_s": meter.measure(lambda: compiled(squares))["time_s"],
        }


@torch.inference_mode()
def lisa_writing_times(
    meter: Meter, model: LisaModel, encoded: list[EncodedImage], prompts: list[str]
) -> dict[str, float]:
    """Return the time of the language model alone, ours and with a static cache under torch.compile."""
    if not meter.options.compile:
        return {}
    tokens = meter.options.tokens
    settings = vlm_generation(tokens)
    settings.cache_implementation = "static"

    def compiled() -> object:
        ids = [model.tokenizer.encode_prompt(prompt) for prompt in prompts]
        embeddings, mask = model._embed(encoded, ids, tokens)
        return model._language.generate(
            inputs_embeds=embeddings, attention_mask=mask.long(), generation_config=settings
        )

    return {
        "writing_s": meter.measure(lambda: decode_with_cache(model, encoded, prompts, tokens))["time_s"],
        "writing_compiled_s": meter.measure(compiled)["time_s"],
    }


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
            **lisa_writing_times(meter, model, model.encode(pictures, "squash"), prompts),
            **encoder_times(meter, model._sam.vision_encoder, model.side_px, count),
        )  # fmt: skip

    for count in meter.options.batch:
        with meter.within_memory(model="lisa-7b", keyframes=count):
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


def vlm_inputs(configuration: Any, count: int) -> dict[str, torch.Tensor]:
    """Return a picture of 640x480 and a prompt of 200 tokens, as often as asked for."""
    vision = configuration.vision_config
    rows, columns = HEIGHT_PX // vision.patch_size, WIDTH_PX // vision.patch_size  # two by two become a token
    image_id = configuration.image_token_id
    generator = torch.Generator().manual_seed(0)
    words = torch.randint(10, configuration.text_config.vocab_size - 10, (200,), generator=generator)
    seen = [image_id] * (rows * columns // 4)
    picture = torch.tensor([configuration.vision_start_token_id, *seen, configuration.vision_end_token_id])
    ids = torch.cat([words[:100], picture, words[100:]])
    channels = 3 * vision.temporal_patch_size * vision.patch_size**2
    return {
        "input_ids": ids.repeat(count, 1),
        "attention_mask": torch.ones_like(ids).repeat(count, 1),
        "mm_token_type_ids": (ids == image_id).int().repeat(count, 1),
        "pixel_values": torch.rand(count * rows * columns, channels, generator=generator),
        "image_grid_thw": torch.tensor([[1, rows, columns]] * count),
    }


def vlm_generation(tokens: int) -> Any:
    """Return settings that write exactly so many tokens, the likeliest ones."""
    from transformers import GenerationConfig

    return GenerationConfig(
        do_sample=False, min_new_tokens=tokens, max_new_tokens=tokens, pad_token_id=0, eos_token_id=1
    )


@torch.inference_mode()
def vlm(meter: Meter) -> None:
    """Measure greedy answers to a picture of 640x480 and a prompt of 200 tokens."""
    from transformers import Qwen3VLForConditionalGeneration

    configuration = vlm_configuration(meter.options.shapes)
    torch.manual_seed(0)
    torch.set_default_dtype(meter.dtype)
    try:
        with meter.device:
            model = Qwen3VLForConditionalGeneration(configuration).eval()
    finally:
        torch.set_default_dtype(torch.float32)
    weights_gib = round(sum(part.numel() * part.element_size() for part in model.parameters()) / 2**30, 2)

    def measure_batch(count: int) -> None:
        inputs = {name: value.to(meter.device) for name, value in vlm_inputs(configuration, count).items()}
        inputs["pixel_values"] = inputs["pixel_values"].to(meter.dtype)

        def answer(use_cache: bool = True, static: bool = False) -> object:
            settings = vlm_generation(meter.options.tokens)
            settings.use_cache, settings.cache_implementation = use_cache, "static" if static else None
            return model.generate(**inputs, generation_config=settings)

        ours, again = meter.measure(answer), meter.measure(lambda: answer(use_cache=False))
        compiled = {}
        if meter.options.compile:
            compiled = {"compiled_s": meter.measure(lambda: answer(static=True))["time_s"]}
        meter.report(
            model="qwen3-vl-8b", keyframes=count, tokens=meter.options.tokens, weights_gib=weights_gib, **ours,
            time_per_keyframe_s=round(ours["time_s"] / count, 4), without_cache_s=again["time_s"],
            ratio=round(again["time_s"] / ours["time_s"], 1), **compiled,
        )  # fmt: skip

    for count in meter.options.batch:
        with meter.within_memory(model="qwen3-vl-8b", keyframes=count):
            measure_batch(count)


def segmenter(name: str, shapes: str, compute: ComputeConfiguration) -> SamSegmenter | Sam2Segmenter:
    """Return SAM ViT-H or SAM 2 large of random weights that keeps no features, or a small one."""
    from transformers import Sam2Config, Sam2Model, SamModel

    torch.manual_seed(0)
    if name == "sam":
        configuration = sam_huge() if shapes == "real" else lisa_configurations("tiny", 400)[2]
        model = SamModel(configuration)
        return SamSegmenter(model if shapes == "real" else stirred(model), compute, 0)
    # The library's defaults are SAM 2 tiny; large is Hiera-L (facebookresearch/sam2, sam2_hiera_l.yaml).
    large = {
        "model_type": "sam2_hiera_det_model", "hidden_size": 144, "num_attention_heads": 2,
        "blocks_per_stage": [2, 6, 36, 4],
        "embed_dim_per_stage": [144, 288, 576, 1152], "num_attention_heads_per_stage": [2, 4, 8, 16],
        "window_size_per_stage": [8, 4, 16, 8], "global_attention_blocks": [23, 33, 43],
    }  # fmt: skip
    if shapes == "tiny":
        return Sam2Segmenter(stirred(Sam2Model(small_sam2())), compute, 0)
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


def eight_boxes() -> list[RegionPrompt]:
    """Return boxes side by side."""
    return [RegionPrompt((20.0 + 70 * i, 40.0, 80.0 + 70 * i, 400.0)) for i in range(BOXES)]


def masks(meter: Meter, name: str) -> None:
    """Measure the masks of eight boxes a keyframe, together and one by one."""
    makes_masks = segmenter(
        name, meter.options.shapes, ComputeConfiguration(meter.device.type, meter.options.precision)
    )

    def measure_batch(count: int) -> None:
        asked = [(keyframe, eight_boxes()) for keyframe in keyframes(count)]
        together = meter.measure(lambda: makes_masks.segment(asked))
        alone = meter.measure(
            lambda: [makes_masks.segment([(keyframe, [box])]) for keyframe, prompts in asked for box in prompts]
        )
        meter.report(
            model=name, keyframes=count, boxes=BOXES, **together,
            time_per_keyframe_s=round(together["time_s"] / count, 4), one_by_one_s=alone["time_s"],
            ratio=round(alone["time_s"] / together["time_s"], 1),
            **encoder_times(meter, makes_masks._model.vision_encoder, makes_masks._side_px, count),
        )  # fmt: skip

    for count in meter.options.batch:
        with meter.within_memory(model=name, keyframes=count):
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
        with meter.within_memory(model=name):
            if name == "parity":
                parity(meter)
            elif name == "lisa":
                lisa(meter)
            elif name == "vlm":
                vlm(meter)
            else:
                masks(meter, name)


if __name__ == "__main__":
    main()

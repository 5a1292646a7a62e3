"""LISA (Lai et al., CVPR 2024) and LIRA's fine-tuned variant on building blocks of transformers.

A picture becomes CLIP tokens within the prompt of a LLaMA; where the language model says [SEG], the state that said so
becomes the one prompt of SAM's mask decoder. Written anew from the published method; decoding keeps keys and values,
takes prompts of unequal length at once, and every step's state is that of one token, so that no position is counted.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from lira_ros.reasoning.contracts import ReasoningError
from lira_ros.reasoning.lisa.assembly import (
    LoadReport,
    Modules,
    assemble,
    clip_pixels,
    clip_processor,
    find_tower,
    memory_errors,
    prompt_size,
    wanted_weights,
)
from lira_ros.reasoning.lisa.checkpoint import (
    SAM_SHARED,
    CheckpointError,
    Part,
    clip_configuration,
    language_configuration,
    read_json,
    read_weights,
    sam_configuration,
    sort_clip_weights,
    sort_weights,
    vision_selection,
    wraps_image,
)
from lira_ros.reasoning.lisa.images import PAD, PREPROCESSINGS, logits_at_picture, prepare_image, sam_pixels
from lira_ros.reasoning.lisa.tokenizer import IMAGE_ID, LisaTokenizer

if TYPE_CHECKING:
    from transformers import CLIPVisionConfig, LlamaConfig, SamConfig

_LOG = logging.getLogger(__name__)

# Where a token's [SEG] state lies: LISA takes the state that predicted it, later models (Sa2VA) that of the token.
SEG_STATE_OFFSETS = (-1, 0)
# Masks that the decoder makes at once: the up-scaled features of one take 32 x 256 x 256 numbers in SAM.
_MASKS_AT_ONCE = 32


@dataclass(frozen=True)
class EncodedImage:
    """What CLIP and SAM made of a picture; the same for every prompt.

    clip: (P, d) features before the projector. sam: (C, g, g) embedding. size: height and width of the picture [px].
    filled: how much of SAM's square it fills [px].
    """

    clip: torch.Tensor
    sam: torch.Tensor
    size: tuple[int, int]
    filled: tuple[int, int]

    @property
    def bytes(self) -> int:
        """Return how much memory the features take."""
        return self.clip.numel() * self.clip.element_size() + self.sam.numel() * self.sam.element_size()


@dataclass(frozen=True)
class LisaAnswer:
    """What the model said of a picture, and the mask of every [SEG] in it, in order; S of them.

    output_ids: (L,) int64, the prompt with IMAGE_ID for the picture and what was generated, up to the end token.
    prompt_length: how many of them are the prompt. text: what was generated, without the end token. labels: the text
    before each [SEG], back to the one before. finished: the model ended by itself, not by the bound.
    token_probabilities: (G,) of the generated tokens. label_probabilities: (S,) geometric mean over the tokens of a
    label, 1 when forced. low_res_masks: (S, h, w) logits as SAM makes them. mask_logits: (S, H, W) at the size of the
    picture; the mask is where they are positive. mask_qualities: (S,) as SAM estimates them, which LISA does not train.
    seg_hidden: (S, D) states of the language model. embeddings: (S, C) SAM's prompts.
    logits: (G, V) of the generated tokens, or (L', V) of all when forced; hidden_states: (L', D) when forced, with the
    picture's tokens in the place of IMAGE_ID. Arrays are float32 unless stated.
    """

    output_ids: NDArray[np.int64]
    prompt_length: int
    text: str
    labels: tuple[str, ...]
    finished: bool
    token_probabilities: NDArray[np.float32]
    label_probabilities: NDArray[np.float32]
    low_res_masks: NDArray[np.float32]
    mask_logits: NDArray[np.float32]
    mask_qualities: NDArray[np.float32]
    seg_hidden: NDArray[np.float32]
    embeddings: NDArray[np.float32]
    logits: NDArray[np.float32] | None = None
    hidden_states: NDArray[np.float32] | None = None

    @property
    def generated_ids(self) -> NDArray[np.int64]:
        """Return the ids behind the prompt."""
        return self.output_ids[self.prompt_length :]


@dataclass
class DecodingCounts:
    """How much the language model was made to compute so far.

    passes: calls of the decoder. positions: token positions that went through it, over all rows. tokens: that were
    generated.
    """

    passes: int = 0
    positions: int = 0
    tokens: int = 0


@dataclass(frozen=True)
class _Segments:
    """States at the [SEG]s of a batch: (S, D), and to which row each belongs."""

    states: torch.Tensor
    rows: list[int]


class LisaModel:
    """A LISA or LIRA checkpoint, ready to answer. Not thread-safe: one thread at a time.

    tokenizer: LisaTokenizer. counts: work of the language model so far. report: what became of the checkpoint's keys.
    wraps_image: prompts set <im_start> and <im_end> round the picture.
    """

    def __init__(self, modules: Modules, tokenizer: LisaTokenizer, seg_state_offset: int, wraps_image: bool) -> None:
        if seg_state_offset not in SEG_STATE_OFFSETS:
            raise ReasoningError(f"seg_state_offset: expected one of {SEG_STATE_OFFSETS}, got {seg_state_offset}")
        self._modules = modules
        self._language = modules.language.eval().requires_grad_(False)
        self._vision = modules.vision.eval().requires_grad_(False)
        self._sam = modules.sam.eval().requires_grad_(False)
        self._projector = modules.projector.eval().requires_grad_(False)
        self._head = modules.head.eval().requires_grad_(False)
        self._seg_state_offset = seg_state_offset
        self.tokenizer = tokenizer
        self.wraps_image = wraps_image
        self.report = modules.report
        self.counts = DecodingCounts()
        vocabulary = self._language.config.vocab_size
        if tokenizer.size > vocabulary:
            raise CheckpointError(
                f"the tokenizer has {tokenizer.size} tokens, the language model {vocabulary}: "
                "they do not belong together"
            )
        # In float32 whatever the weights are: rounded phases would blur where things are.
        positions = self._sam.get_image_wide_positional_embeddings
        weight = self._sam.shared_image_embedding.positional_embedding
        kept = weight.data
        weight.data = kept.float()
        with torch.no_grad():
            self._positions = positions().to(kept.dtype)
        weight.data = kept

    @classmethod
    def load(
        cls,
        folder: Path | str,
        vision_tower: Path | str | None = None,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        quantization: str | None = None,
        seg_state_offset: int = -1,
    ) -> LisaModel:
        """Read a merged checkpoint.

        folder: config.json, tokenizer.model with what belongs to it, weights as safetensors or pytorch_model files.
        vision_tower: folder of the CLIP; None = the sub-folder clip, or the folder that config.json names.
        quantization: "int8" or "int4" for the linear layers of the language model (bitsandbytes), the rest stays in
        ``dtype``; None = none. seg_state_offset: one of SEG_STATE_OFFSETS.
        Raises ReasoningError naming the file, key or field that is missing, broken or does not fit.
        """
        folder, device = Path(folder), torch.device(device)
        configuration = read_json(folder / "config.json")
        tokenizer = LisaTokenizer.load(folder)
        stated = configuration.get("seg_token_idx")
        if stated not in (None, tokenizer.seg_id):
            raise CheckpointError(
                f"{folder / 'config.json'}: seg_token_idx is {stated}, but the tokenizer's [SEG] is {tokenizer.seg_id}"
            )
        weights = sort_weights(read_weights(folder))
        tower = find_tower(folder, vision_tower, configuration)
        clip, unexpected = sort_clip_weights(read_weights(tower))
        unexpected = (*weights.unexpected, *unexpected)
        if unexpected:
            _LOG.warning("%s: %d keys are not known and not used: %s", folder, len(unexpected), ", ".join(unexpected))
        # All that can be wrong with the small files shows before the large ones are copied to the device.
        language = language_configuration(configuration, weights.language, folder / "config.json")
        vision = clip_configuration(tower)
        selection = vision_selection(configuration, vision.num_hidden_layers, folder / "config.json")
        marks = wraps_image(configuration, folder / "config.json")
        processor = clip_processor(tower, cast(int, vision.image_size))
        with memory_errors("loading the model"):
            modules = assemble(
                language,
                vision,
                sam_configuration(weights.sam),
                {"language model": weights.language, "vision tower": clip, "SAM": weights.sam},
                {"projector": weights.projector, "segmentation head": weights.head},
                device,
                dtype,
                quantization,
            )
        modules.clip_processor = processor
        modules.select_layer, modules.keep_class_token = selection
        parts = (weights.language, weights.projector, weights.head, weights.sam, clip)
        used = sum(len(set(part.origin.values())) for part in parts)
        modules.report = LoadReport(used, weights.dropped, unexpected)
        return cls(modules, tokenizer, seg_state_offset, marks)

    @classmethod
    def random(
        cls,
        language: LlamaConfig,
        vision: CLIPVisionConfig,
        sam: SamConfig,
        tokenizer: LisaTokenizer,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        quantization: str | None = None,
        seg_state_offset: int = -1,
        seed: int = 0,
    ) -> LisaModel:
        """Make a model of given sizes with random weights, for tests and measurements.

        The projector and the [SEG] layers are those of LISA for these sizes. Weights are drawn on the device, with the
        spread of LLaMA's initialisation (0.02), norms around one.
        """
        from transformers import CLIPVisionModel, LlamaForCausalLM, SamModel

        device = torch.device(device)
        generator = torch.Generator(device).manual_seed(seed)
        hidden, output = language.hidden_size, prompt_size(sam)

        def draw(shapes: Mapping[str, torch.Tensor]) -> Part:
            part = Part()
            for name, shape in shapes.items():
                weight = torch.empty(shape.shape, dtype=dtype, device=device).normal_(0.0, 0.02, generator=generator)
                part.add(name, name, weight + 1.0 if "norm" in name and name.endswith("weight") else weight)
            return part

        wanted = {
            "language model": wanted_weights(LlamaForCausalLM, language),
            "vision tower": wanted_weights(CLIPVisionModel, vision),
            "SAM": wanted_weights(SamModel, sam),
        }
        with torch.device("meta"):
            projector = nn.Sequential(nn.Linear(vision.hidden_size, hidden))
            head = nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, output))
        with memory_errors("making the model"):
            parts = {name: draw(shapes) for name, shapes in wanted.items()}
            first, second = SAM_SHARED
            parts["SAM"].weights[second] = parts["SAM"].weights[first]
            modules = assemble(
                language,
                vision,
                sam,
                parts,
                {"projector": draw(projector.state_dict()), "segmentation head": draw(head.state_dict())},
                device,
                dtype,
                quantization,
            )
        modules.clip_processor = clip_processor(None, modules.vision.config.image_size)
        return cls(modules, tokenizer, seg_state_offset, True)

    @property
    def device(self) -> torch.device:
        """Return where the model computes."""
        return self._language.model.embed_tokens.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """Return in which numbers the model computes what is not quantized."""
        return self._language.model.embed_tokens.weight.dtype

    @property
    def side_px(self) -> int:
        """Return the side of SAM's square [px]."""
        return int(self._sam.config.vision_config.image_size)

    @property
    def hidden_size(self) -> int:
        """Return the length of a [SEG] state."""
        return int(self._language.config.hidden_size)

    def weight_bytes(self) -> dict[str, int]:
        """Return how much memory the weights of each part take."""
        parts = {
            "language": self._language,
            "vision": self._vision,
            "sam": self._sam,
            "projector": self._projector,
            "head": self._head,
        }
        return {
            name: sum(weight.numel() * weight.element_size() for weight in part.parameters())
            for name, part in parts.items()
        }

    @torch.inference_mode()
    def encode(self, images: Sequence[NDArray[np.uint8]], preprocessing: str = PAD) -> list[EncodedImage]:
        """Run CLIP and SAM's image encoder over pictures in one batch.

        images: (H, W, 3) uint8 RGB, sizes may differ. preprocessing: one of PREPROCESSINGS.
        Raises ReasoningError for an unknown preprocessing, an impossible picture, or when memory does not suffice.
        """
        if preprocessing not in PREPROCESSINGS:
            raise ReasoningError(f"preprocessing: expected one of {', '.join(PREPROCESSINGS)}, got {preprocessing!r}")
        for image in images:
            if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
                raise ReasoningError(f"image: expected (H, W, 3) uint8, got {image.shape} {image.dtype}")
        if not images:
            return []
        prepared = [prepare_image(image, preprocessing, self.side_px) for image in images]
        squares = [sam_pixels(image, self.side_px) for image in prepared]
        pixels = clip_pixels(self._modules.clip_processor, prepared)
        with memory_errors("encoding pictures"):
            states = self._vision(pixels.to(self.device, self.dtype), output_hidden_states=True).hidden_states
            clip = states[self._modules.select_layer][:, 0 if self._modules.keep_class_token else 1 :]
            square = torch.stack([square for square, _ in squares]).to(self.device, self.dtype)
            sam = self._sam.vision_encoder(square).last_hidden_state
        return [
            # Copies, so that keeping one picture does not keep its whole batch.
            EncodedImage(clip[index].clone(), sam[index].clone(), image.shape[:2], squares[index][1])
            for index, image in enumerate(images)
        ]

    def generate(
        self,
        images: Sequence[NDArray[np.uint8]],
        prompts: Sequence[str],
        max_new_tokens: int = 512,
        preprocessing: str = PAD,
        keep_logits: bool = False,
        should_stop: Callable[[], bool] | None = None,
    ) -> list[LisaAnswer]:
        """Answer one prompt per picture, all in one batch; prompts may differ in length.

        images: (H, W, 3) uint8 RGB. prompts: whole prompts with one ``<image>`` (see prompts.py). Decoding is greedy.
        max_new_tokens: bound of the answer. keep_logits: keep (G, V) logits. should_stop: asked before every token.
        Raises ReasoningError when the answer was stopped, does not fit the context, or memory does not suffice.
        """
        if len(images) != len(prompts):
            raise ReasoningError(f"expected one prompt per picture, got {len(prompts)} for {len(images)}")
        encoded = self.encode(images, preprocessing)
        return self.answer(encoded, prompts, max_new_tokens, keep_logits, should_stop)

    @torch.inference_mode()
    def answer(
        self,
        images: Sequence[EncodedImage],
        prompts: Sequence[str],
        max_new_tokens: int = 512,
        keep_logits: bool = False,
        should_stop: Callable[[], bool] | None = None,
    ) -> list[LisaAnswer]:
        """Answer one prompt per encoded picture; as generate()."""
        if max_new_tokens < 1:
            raise ReasoningError(f"max_new_tokens: expected at least 1, got {max_new_tokens}")
        if not images:
            return []
        prompt_ids = [self.tokenizer.encode_prompt(prompt) for prompt in prompts]
        with memory_errors("generating an answer"):
            embeddings, mask = self._embed(images, prompt_ids, max_new_tokens)
            tokens, states, logits, probabilities = self._decode(
                embeddings, mask, max_new_tokens, keep_logits, should_stop or (lambda: False)
            )
        if not torch.isfinite(states).all():
            raise ReasoningError(
                f"the language model's states are not finite in {self.dtype}: bfloat16 or float32 hold larger numbers "
                "(compute.precision)"
            )
        generated = [_until(row, self.tokenizer.eos_id) for row in tokens.tolist()]
        self.counts.tokens += sum(map(len, generated))
        places = [
            (row, step)
            for row, ids in enumerate(generated)
            for step, number in enumerate(ids)
            if number == self.tokenizer.seg_id
        ]
        # states[:, step] is the one that predicted the token of a step, the next one is that of the token itself.
        picked = [states[row, step + 1 + self._seg_state_offset] for row, step in places]
        segments = _Segments(
            torch.stack(picked) if picked else states.new_zeros(0, states.shape[-1]), [row for row, _ in places]
        )
        return self._answers(
            images,
            prompt_ids,
            generated,
            segments,
            [row[: len(ids)] for row, ids in zip(probabilities, generated, strict=True)],
            [None if logits is None else row[: len(ids)] for row, ids in zip(logits, generated, strict=True)]
            if logits is not None
            else [None] * len(images),
            [None] * len(images),
        )

    @torch.inference_mode()
    def teacher_forced(
        self, images: Sequence[NDArray[np.uint8]], conversations: Sequence[str], preprocessing: str = PAD
    ) -> list[LisaAnswer]:
        """Return what the model makes of conversations whose answers are given, in one pass over each whole text.

        images: one (H, W, 3) uint8 RGB per conversation. conversations: prompts with the answer behind them. The
        answers carry logits and hidden states of every position; all ids count as the prompt.
        """
        if len(images) != len(conversations):
            raise ReasoningError(f"expected one conversation per picture, got {len(conversations)} for {len(images)}")
        if not images:
            return []
        distinct = {id(image): image for image in images}
        encodings = dict(zip(distinct, self.encode(list(distinct.values()), preprocessing), strict=True))
        encoded = [encodings[id(image)] for image in images]
        ids = [self.tokenizer.encode_prompt(text) for text in conversations]
        with memory_errors("reading conversations"):
            embeddings, mask = self._embed(encoded, ids, 0)
            states = self._run(embeddings, mask)
            logits = self._language.lm_head(states).float()
        picked, rows, all_states, all_logits = [], [], [], []
        for row, numbers in enumerate(ids):
            start = int((~mask[row]).sum())
            all_states.append(states[row, start:])
            all_logits.append(logits[row, start:])
            picture = numbers.index(IMAGE_ID)
            for index, number in enumerate(numbers):
                if number == self.tokenizer.seg_id:
                    place = index + (len(encoded[row].clip) - 1 if index > picture else 0) + self._seg_state_offset
                    picked.append(states[row, start + place])
                    rows.append(row)
        segments = _Segments(torch.stack(picked) if picked else states.new_zeros(0, states.shape[-1]), rows)
        nothing = [torch.zeros(0)] * len(ids)
        return self._answers(encoded, ids, [[] for _ in ids], segments, nothing, all_logits, all_states)

    def _embed(
        self, images: Sequence[EncodedImage], prompt_ids: Sequence[list[int]], max_new_tokens: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (B, L, D) embeddings, padded on the left, and (B, L) which of them count."""
        rows = []
        table = self._language.model.embed_tokens
        projected = self._projector(torch.cat([image.clip for image in images]))
        pictures = projected.split([len(image.clip) for image in images])
        for picture, ids in zip(pictures, prompt_ids, strict=True):
            place = ids.index(IMAGE_ID)
            text = table(torch.tensor(ids[:place] + ids[place + 1 :], device=self.device))
            rows.append(torch.cat([text[:place], picture, text[place:]]))
        length = max(len(row) for row in rows)
        limit = int(self._language.config.max_position_embeddings)
        if length + max_new_tokens > limit:
            raise ReasoningError(
                f"a prompt of {length} tokens and an answer of up to {max_new_tokens} do not fit the {limit} tokens "
                "that the model takes: shorten the instruction or lower lisa.max_new_tokens"
            )
        embeddings = torch.zeros(len(rows), length, rows[0].shape[-1], device=self.device, dtype=rows[0].dtype)
        mask = torch.zeros(len(rows), length, dtype=torch.bool, device=self.device)
        for index, row in enumerate(rows):
            embeddings[index, length - len(row) :] = row
            mask[index, length - len(row) :] = True
        return embeddings, mask

    def _run(
        self, embeddings: torch.Tensor, mask: torch.Tensor, cache: Any = None, padded: bool | None = None
    ) -> torch.Tensor:
        """Return the states (B, L, D) of new positions behind those in the cache; mask covers both.

        padded: whether the mask leaves anything out; None = look, which waits for the GPU.
        """
        if padded is None:
            padded = not bool(mask.all())
        count = embeddings.shape[1]
        positions = (mask.long().cumsum(-1) - 1).clamp(min=0)[:, -count:]
        self.counts.passes += 1
        self.counts.positions += embeddings.shape[0] * count
        states: torch.Tensor = self._language.model(
            inputs_embeds=embeddings,
            # Without padding the plain causal pass is the same, and faster.
            attention_mask=mask.long() if padded else None,
            position_ids=positions,
            past_key_values=cache,
            use_cache=cache is not None,
        ).last_hidden_state
        return states

    def _decode(
        self,
        embeddings: torch.Tensor,
        mask: torch.Tensor,
        max_new_tokens: int,
        keep_logits: bool,
        should_stop: Callable[[], bool],
    ) -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor] | None, torch.Tensor]:
        """Generate greedily: tokens (B, T), states (B, T + 1, D), logits per row or None, probabilities (B, T)."""
        from transformers import DynamicCache

        cache = DynamicCache(config=self._language.config)
        tokenizer = self.tokenizer
        finished = torch.zeros(len(embeddings), dtype=torch.bool, device=self.device)
        tokens: list[torch.Tensor] = []
        probabilities, kept = [], []
        padded = not bool(mask.all())
        states = [self._run(embeddings, mask, cache, padded)[:, -1]]
        start = time.perf_counter()
        for _ in range(max_new_tokens):
            if should_stop():
                raise ReasoningError(
                    f"the answer was stopped after {len(tokens)} tokens and {time.perf_counter() - start:.1f} s"
                )
            logits = self._language.lm_head(states[-1]).float()
            chosen = logits.argmax(-1)
            probabilities.append(logits.softmax(-1).gather(1, chosen[:, None])[:, 0])
            if keep_logits:
                kept.append(logits)
            tokens.append(torch.where(finished, tokenizer.pad_id, chosen))
            finished = finished | (tokens[-1] == tokenizer.eos_id)
            # The state behind the last token is only needed where [SEG] is read from its own state.
            if finished.all() or (len(tokens) == max_new_tokens and self._seg_state_offset == -1):
                break
            mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
            embedded = self._language.model.embed_tokens(tokens[-1][:, None])
            states.append(self._run(embedded, mask, cache, padded)[:, -1])
        return (
            torch.stack(tokens, dim=1),
            torch.stack(states, dim=1),
            list(torch.stack(kept, dim=1)) if keep_logits else None,
            torch.stack(probabilities, dim=1),
        )

    def _answers(
        self,
        images: Sequence[EncodedImage],
        prompt_ids: Sequence[list[int]],
        generated: Sequence[list[int]],
        segments: _Segments,
        probabilities: Sequence[torch.Tensor],
        logits: Sequence[torch.Tensor | None],
        states: Sequence[torch.Tensor | None],
    ) -> list[LisaAnswer]:
        with memory_errors("making masks"):
            embeddings, low_res, qualities = self._segment(images, segments)
            answers = []
            for index, image in enumerate(images):
                mine = [place for place, row in enumerate(segments.rows) if row == index]
                masks = low_res[mine]
                ids = [*prompt_ids[index], *generated[index]]
                certainties = _array(probabilities[index])
                said = generated[index] or prompt_ids[index][prompt_ids[index].index(IMAGE_ID) + 1 :]
                spans = self._label_spans(said)
                finished = bool(said) and said[-1] == self.tokenizer.eos_id
                answers.append(
                    LisaAnswer(
                        output_ids=np.array(ids, dtype=np.int64),
                        prompt_length=len(prompt_ids[index]),
                        text=self.tokenizer.decode(said[:-1] if finished else said),
                        labels=tuple(self.tokenizer.decode(said[first:last]) for first, last in spans),
                        finished=finished,
                        token_probabilities=certainties,
                        label_probabilities=np.array(
                            [_geometric_mean(certainties[first:last]) for first, last in spans], dtype=np.float32
                        ),
                        low_res_masks=_array(masks),
                        mask_logits=_array(logits_at_picture(masks, self.side_px, image.filled, image.size)),
                        mask_qualities=_array(qualities[mine]),
                        seg_hidden=_array(segments.states[mine]),
                        embeddings=_array(embeddings[mine]),
                        logits=None if (row := logits[index]) is None else _array(row),
                        hidden_states=None if (row := states[index]) is None else _array(row),
                    )
                )
        return answers

    def _segment(
        self, images: Sequence[EncodedImage], segments: _Segments
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return SAM's prompts (S, C), its mask logits (S, h, w) and their qualities (S,)."""
        embeddings = self._head(segments.states)
        side = 4 * images[0].sam.shape[-1]
        masks = [embeddings.new_zeros(0, side, side)]
        qualities = [embeddings.new_zeros(0)]
        dense = self._sam.prompt_encoder.no_mask_embed.weight.reshape(1, -1, 1, 1)
        for first in range(0, len(segments.rows), _MASKS_AT_ONCE):
            rows = segments.rows[first : first + _MASKS_AT_ONCE]
            features = torch.stack([images[row].sam for row in rows])
            low_res, quality = self._sam.mask_decoder(
                image_embeddings=features,
                image_positional_embeddings=self._positions.expand(len(rows), -1, -1, -1),
                sparse_prompt_embeddings=embeddings[first : first + len(rows), None, None],
                dense_prompt_embeddings=dense.expand_as(features),
                multimask_output=False,
            )
            masks.append(low_res[:, 0, 0])
            qualities.append(quality[:, 0, 0])
        return embeddings, torch.cat(masks), torch.cat(qualities)

    def _label_spans(self, ids: Sequence[int]) -> list[tuple[int, int]]:
        """Return where the text before each [SEG] is: by position, so that no wording shifts it to another mask."""
        spans, first = [], 0
        for index, number in enumerate(ids):
            if number == self.tokenizer.seg_id:
                spans.append((first, index))
                first = index + 1
        return spans


def _until(ids: list[int], end: int) -> list[int]:
    return ids[: ids.index(end) + 1] if end in ids else ids


def _array(tensor: torch.Tensor) -> NDArray[np.float32]:
    return np.asarray(tensor.float().cpu().numpy(), dtype=np.float32)


def _geometric_mean(values: NDArray[np.float32]) -> float:
    return float(np.exp(np.log(np.maximum(values, np.finfo(np.float32).tiny)).mean())) if len(values) else 1.0

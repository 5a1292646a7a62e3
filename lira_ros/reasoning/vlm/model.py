"""A local vision-language model: loaded from a folder, asked about pictures in batches, held to a schema."""

from __future__ import annotations

import json
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from lira_ros.reasoning.compute import QUANTIZED
from lira_ros.reasoning.contracts import ReasoningError
from lira_ros.reasoning.plain_text import plain_text
from lira_ros.reasoning.vlm.families import EncodedImage, Family, VisualBudget, find_family
from lira_ros.reasoning.vlm.structured_output import StructuredOutput, StructuredOutputError

_LOGGER = logging.getLogger(__name__)

_MAX_ERROR_CHARACTERS = 400
_MAX_NAMED_KEYS = 5
# What transformers raises for files that are missing, broken or of something else.
_LOADING_ERRORS = (OSError, ValueError, KeyError, TypeError, RuntimeError, AttributeError, ImportError, SafetensorError)
# Prompts whose tokens are remembered; nobody has more instructions at once.
REMEMBERED_PROMPTS = 64


class VisionLanguageModel:
    """A vision-language model that answers questions about pictures greedily, with a key-value cache.

    unconstrained: why answers are not held to a schema, "" when they are. tokens_written: of all answers so far.
    Not thread-safe: it has one owner.
    """

    def __init__(
        self, model: Any, tokenizer: Any, family: Family, folder: Path, budget: VisualBudget | None = None
    ) -> None:
        """Take a loaded model; ``load`` makes one from a folder."""
        self.family = family
        self._model = model
        self._tokenizer = tokenizer
        self._folder = folder
        self._eyes = family.eyes(folder, model.config, budget or VisualBudget())
        self._image_id = int(getattr(model.config, "image_token_id", None) or model.config.image_token_index)
        self._template = _chat_template(folder, tokenizer)
        self._eos_ids = _eos_ids(model, tokenizer)
        self._pad_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else self._eos_ids[0]
        # What a folder says of sampling and penalties is left out: answers are greedy, and the same for the same input.
        model.generation_config = transformers.GenerationConfig(
            do_sample=False, eos_token_id=self._eos_ids, pad_token_id=self._pad_id
        )
        self._prompts: OrderedDict[tuple[str, str, bool], tuple[list[int], list[int]]] = OrderedDict()
        self.tokens_written = 0
        self.unconstrained = ""
        self._structured: StructuredOutput | None = None
        try:
            rows = int(model.get_output_embeddings().weight.shape[0])
            self._structured = StructuredOutput(tokenizer, rows, self._eos_ids)
        except StructuredOutputError as error:
            self._give_up_structure(error)

    @classmethod
    def load(
        cls,
        folder: Path | str,
        family: str,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        quantization: str = "",
        budget: VisualBudget | None = None,
    ) -> VisionLanguageModel:
        """Load a model from a folder in the layout of its publisher; nothing is fetched, no code of the folder is run.

        quantization: "int8" or "int4" (bitsandbytes; dtype is that of what is not quantized), "" = none.
        Raises ReasoningError that names the file which is missing, broken or of another family.
        """
        folder = Path(folder)
        known = find_family(family)
        _check_files(folder, known)
        arguments: dict[str, Any] = {}
        if quantization in QUANTIZED:
            arguments["quantization_config"] = _quantization(quantization, dtype)
            arguments["device_map"] = {"": device}
        transformers.utils.logging.disable_progress_bar()
        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True, padding_side="left")
            model, report = getattr(transformers, known.class_name).from_pretrained(
                folder, dtype=dtype, local_files_only=True, use_safetensors=True, output_loading_info=True, **arguments
            )
        except _LOADING_ERRORS as error:
            raise _unloadable(folder, known, error) from error
        missing = sorted(report["missing_keys"])
        if missing:
            # transformers would go on with random numbers in their place.
            named = ", ".join(missing[:_MAX_NAMED_KEYS])
            raise ReasoningError(f"{folder}: {len(missing)} weights of {known.class_name} are missing: {named}")
        if report["unexpected_keys"]:
            _LOGGER.info("%s: weights that are not used: %s", folder, sorted(report["unexpected_keys"]))
        try:
            if not arguments:
                model.to(device)
            return cls(model.eval(), tokenizer, known, folder, budget)
        except _LOADING_ERRORS as error:
            if isinstance(error, ReasoningError):
                raise
            raise _unloadable(folder, known, error) from error

    @torch.inference_mode()
    def encode(self, images: Sequence[NDArray[np.uint8]]) -> list[EncodedImage]:
        """Return the features of (H, W, 3) uint8 RGB pictures, for any number of questions about them.

        Raises ReasoningError for a picture that the family cannot take.
        """
        try:
            return self._eyes.encode(self._model, images) if images else []
        except ValueError as error:
            sizes = ", ".join(f"{image.shape[1]} x {image.shape[0]}" for image in images)
            raise ReasoningError(f"{self.family.model_type}: cannot take pictures of {sizes} px: {error}") from error

    @torch.inference_mode()
    def answer(
        self,
        images: Sequence[NDArray[np.uint8] | EncodedImage],
        system: str,
        users: Sequence[str],
        schema: Mapping[str, Any] | None = None,
        max_new_tokens: int = 1024,
        text_first: bool = True,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> list[str]:
        """Return the answer to each question about each picture, all in one batch; one picture for each question.

        images: (H, W, 3) uint8 RGB, or what ``encode`` returned. schema: JSON schema to which the answers are held,
        where the tokenizer allows it (``unconstrained``); an answer of max_new_tokens is cut off all the same.
        text_first: the question stands before the picture. should_stop: asked before every token; the answers end
        where they are. Raises ReasoningError for pictures or questions that cannot be used.
        """
        if len(images) != len(users):
            raise ValueError(f"answer: {len(users)} questions about {len(images)} pictures")
        if not users:
            return []
        raw = self.encode([image for image in images if not isinstance(image, EncodedImage)])
        encoded_now = iter(raw)
        seen = [image if isinstance(image, EncodedImage) else next(encoded_now) for image in images]
        prompts = [
            self.prompt_ids(system, user, image.tokens, text_first) for user, image in zip(users, seen, strict=True)
        ]
        length = max(len(prompt) for prompt in prompts)
        device = self._model.device
        # Padded on the left, so that all answers begin at the same place.
        ids = torch.tensor([[self._pad_id] * (length - len(prompt)) + prompt for prompt in prompts], device=device)
        mask = torch.tensor([[0] * (length - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=device)
        arguments = self._eyes.outputs(seen)
        if self.family.token_types:
            arguments["mm_token_type_ids"] = (ids == self._image_id).int()
        written = self._model.generate(
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=max_new_tokens,
            logits_processor=self._processors(schema, len(users)),
            stopping_criteria=transformers.StoppingCriteriaList([_Stop(should_stop)]),
            **arguments,
        )
        self.tokens_written += int((written[:, length:] != self._pad_id).sum())
        return list(self._tokenizer.batch_decode(written[:, length:], skip_special_tokens=True))

    @property
    def device(self) -> torch.device:
        """Return where the model runs."""
        device: torch.device = self._model.device
        return device

    def prompt_ids(self, system: str, user: str, image_tokens: int, text_first: bool = True) -> list[int]:
        """Return the tokens of a prompt with one picture, whose mark is repeated for each of its tokens.

        Raises ReasoningError when the prompt holds another number of pictures, as a question does that smuggles in the
        mark of one. A prompt is kept: an instruction asks with the same one about every keyframe.
        """
        key = (system, user, text_first)
        kept = self._prompts.pop(key, None)
        before, after = self._prompt_around_image(system, user, text_first) if kept is None else kept
        self._prompts[key] = (before, after)
        while len(self._prompts) > REMEMBERED_PROMPTS:
            self._prompts.popitem(last=False)
        return [*before, *[self._image_id] * image_tokens, *after]

    def _prompt_around_image(self, system: str, user: str, text_first: bool) -> tuple[list[int], list[int]]:
        parts = [{"type": "text", "text": user}, {"type": "image"}]
        messages = [
            {"role": "system", "content": [{"type": "text", "text": system}]},
            {"role": "user", "content": parts if text_first else parts[::-1]},
        ]
        text = self._tokenizer.apply_chat_template(
            messages,
            chat_template=self._template,
            tokenize=False,
            add_generation_prompt=True,
            # Models that think by default answer in a tenth of the tokens without.
            enable_thinking=False,
        )
        if text.rstrip().endswith("<think>"):
            # A model that always thinks, as Qwen3-VL-Thinking: its template knows no switch. An empty thought, as the
            # others write it, keeps the answer out of the thought, where the schema would force it.
            text = f"{text.rstrip()}\n\n</think>\n\n"
        ids = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        if ids.count(self._image_id) != 1:
            raise ReasoningError(
                f"{self._folder}: expected the mark of one picture in a prompt, got {ids.count(self._image_id)}: the "
                "chat template is not that of a vision-language model, or the question names a control token"
            )
        place = ids.index(self._image_id)
        return ids[:place], ids[place + 1 :]

    def _processors(self, schema: Mapping[str, Any] | None, rows: int) -> transformers.LogitsProcessorList:
        processors = transformers.LogitsProcessorList([_Finite()])
        if schema is not None and self._structured is not None:
            try:
                processors.append(self._structured.processor(schema, rows))
            except StructuredOutputError as error:
                self._give_up_structure(error)
        return processors

    def _give_up_structure(self, error: Exception) -> None:
        self._structured = None
        self.unconstrained = plain_text(str(error), _MAX_ERROR_CHARACTERS)
        _LOGGER.warning("%s: answers are not held to the schema, only read: %s", self._folder, self.unconstrained)


class _Finite(transformers.LogitsProcessor):
    """Refuses numbers that overflowed: the schema would make an answer of them that looks like one."""

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        if not bool(torch.isfinite(scores).all()):
            raise ReasoningError(
                "the model's numbers are not finite: bfloat16 or float32 hold larger ones (compute.precision)"
            )
        return scores


class _Stop(transformers.StoppingCriteria):
    """Ends an answer when somebody wants it ended."""

    def __init__(self, should_stop: Callable[[], bool]) -> None:
        self._should_stop = should_stop

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor, **kwargs: Any) -> torch.BoolTensor:
        return torch.full((len(input_ids),), self._should_stop(), dtype=torch.bool, device=input_ids.device)  # type: ignore[return-value]


def _check_files(folder: Path, family: Family) -> None:
    """Raise ReasoningError naming the first file of a folder that is missing or broken."""
    if not folder.is_dir():
        raise ReasoningError(f"{folder}: expected a folder with a {family.model_type} model, there is none")
    settings = _read_json(folder / "config.json")
    if settings.get("model_type") != family.model_type:
        raise ReasoningError(
            f"{folder / 'config.json'}: model_type: expected {family.model_type!r}, got {settings.get('model_type')!r}"
        )
    for name in ("tokenizer.json", "tokenizer_config.json", "preprocessor_config.json", "generation_config.json"):
        if (folder / name).exists():
            _read_json(folder / name)
    index = folder / "model.safetensors.index.json"
    if index.exists():
        parts = _read_json(index).get("weight_map")
        if not isinstance(parts, dict) or not all(isinstance(name, str) for name in parts.values()):
            raise ReasoningError(f"{index}: weight_map: expected file names by weight, got {type(parts).__name__}")
        names = sorted(set(parts.values()))
    else:
        names = ["model.safetensors"]
    for name in names:
        path = folder / name
        if path.parent != folder or not path.is_file():
            raise ReasoningError(f"{path}: the file with weights is missing")
        try:
            with safe_open(path, framework="pt"):
                pass
        except (SafetensorError, OSError) as error:
            raise ReasoningError(f"{path}: expected a safetensors file, got a broken one: {error}") from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ReasoningError(f"{path}: the file is missing") from error
    except (OSError, ValueError, RecursionError) as error:
        raise ReasoningError(f"{path}: expected JSON: {error}") from error
    if not isinstance(content, dict):
        raise ReasoningError(f"{path}: expected a JSON object, got {type(content).__name__}")
    return content


def _unloadable(folder: Path, family: Family, error: Exception) -> ReasoningError:
    said = plain_text(f"{type(error).__name__}: {error}", _MAX_ERROR_CHARACTERS)
    return ReasoningError(f"{folder}: cannot load it as {family.class_name}: {said}")


def _chat_template(folder: Path, tokenizer: Any) -> str:
    """Return the template for prompts with pictures; publishers put it beside the tokenizer's own, in one of two files.

    Templates run in the sandbox of transformers.
    """
    path = folder / "chat_template.json"
    if path.exists() and not (folder / "chat_template.jinja").exists():
        template = _read_json(path).get("chat_template")
    else:
        template = tokenizer.chat_template
    if not isinstance(template, str):
        raise ReasoningError(f"{folder}: expected a chat template (chat_template.jinja or .json), there is none")
    return template


def _eos_ids(model: Any, tokenizer: Any) -> list[int]:
    """Return the tokens that end an answer, that of the tokenizer first."""
    stated = model.generation_config.eos_token_id
    ids = [tokenizer.eos_token_id, *(stated if isinstance(stated, list) else [stated])]
    found = list(dict.fromkeys(int(number) for number in ids if number is not None))
    if not found:
        raise ReasoningError("generation_config.json: eos_token_id: expected the token that ends an answer, got none")
    return found


def _quantization(precision: str, dtype: torch.dtype) -> transformers.BitsAndBytesConfig:
    """Return how bitsandbytes holds the language model; the vision tower is small and suffers most, so it stays."""
    kept = ["lm_head", "model.visual", "model.vision_tower", "model.multi_modal_projector"]
    if precision == "int8":
        return transformers.BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=kept)
    return transformers.BitsAndBytesConfig(
        load_in_4bit=True,
        # NormalFloat is the better 4-bit type for normally distributed weights (QLoRA, section 3).
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=dtype,
        llm_int8_skip_modules=kept,
    )

"""The vlm back end: a vision-language model names instances with boxes, a segmenter makes masks of them."""

from __future__ import annotations

import importlib.util
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from lira_ros.geometry.frame import Keyframe
from lira_ros.reasoning.answers.contracts import AnswerError, BoxUnits, StructuredAnswer
from lira_ros.reasoning.answers.parsing import parse_answer
from lira_ros.reasoning.answers.prompts import retry_prompt, system_prompt, user_prompt
from lira_ros.reasoning.answers.proposal import region_prompts, sightings_from_answer
from lira_ros.reasoning.answers.schema import answer_schema
from lira_ros.reasoning.compute import QUANTIZED, ComputeConfiguration, choose_device, choose_dtype
from lira_ros.reasoning.contracts import BatchReasoner, CandidateSet, Exchange, ReasoningError, Task
from lira_ros.reasoning.embeddings.configuration import EmbeddingConfiguration
from lira_ros.reasoning.feature_cache import FeatureCache
from lira_ros.reasoning.models.cards import ModelCard, ModelCardError, find_card
from lira_ros.reasoning.models.files import locate
from lira_ros.reasoning.plain_text import plain_text
from lira_ros.reasoning.relevance import Relevance
from lira_ros.reasoning.segmentation.configuration import SegmentationConfiguration
from lira_ros.reasoning.segmentation.contracts import Segmenter
from lira_ros.reasoning.sightings import candidates_from_sightings
from lira_ros.reasoning.vlm.configuration import VlmConfiguration
from lira_ros.reasoning.vlm.families import EncodedImage, VisualBudget, find_family

if TYPE_CHECKING:
    from lira_ros.reasoning.embeddings.contracts import RegionEncoder
    from lira_ros.reasoning.vlm.model import VisionLanguageModel

_MIB = 1 << 20
_OPTIONS = frozenset({"box_units", "min_visual_tokens", "max_visual_tokens"})
# An answer is kept for a person and for replaying; an answer at its bound has about 5000 characters.
_MAX_EXCHANGE_CHARACTERS = 20_000
_MAX_ERROR_CHARACTERS = 300


@dataclass
class _Question:
    """A task on its way: what was asked and said of it, and what was understood or went wrong."""

    task: Task
    prompt: str
    exchanges: list[Exchange] = field(default_factory=list)
    answer: StructuredAnswer | None = None
    problem: str = ""


def create_vlm_reasoner(
    configuration: VlmConfiguration,
    compute: ComputeConfiguration,
    masks: SegmentationConfiguration,
    embedding: EmbeddingConfiguration,
    relevance: Relevance,
) -> VlmReasoner:
    """Load the models that are configured.

    Raises ReasoningError when a card is of another kind, files are missing or broken, or a library or the GPU is.
    """
    card = find_card(configuration.model)
    if card.kind != "vision_language":
        raise ModelCardError(
            f"vlm.model: expected a card of the kind vision_language, got {card.name} of the kind {card.kind}"
        )
    family = find_family(card.family)
    units = box_units_of(card)
    budget = visual_budget_of(card, configuration)
    device = choose_device(compute.device)
    dtype = choose_dtype(compute.precision, device)
    for library in ("transformers", "llguidance"):
        if importlib.util.find_spec(library) is None:
            raise ReasoningError(f"the vlm back end needs {library}, which is not installed here: make setup")
    folder = locate(card)
    from lira_ros.reasoning.embeddings.creation import create_region_encoder
    from lira_ros.reasoning.segmentation.creation import create_segmenter
    from lira_ros.reasoning.vlm.model import VisionLanguageModel

    quantization = compute.precision if compute.precision in QUANTIZED else ""
    model = VisionLanguageModel.load(folder, family.model_type, device, dtype, quantization, budget)
    segmenter = create_segmenter(masks, compute)
    encoder = create_region_encoder(embedding, compute, relevance)
    return VlmReasoner(model, segmenter, encoder, units, configuration, card.name)


def box_units_of(card: ModelCard) -> BoxUnits:
    """Return the units of a card, else of its family; raises ModelCardError for unknown units and options."""
    unknown = sorted(set(card.options) - _OPTIONS)
    if unknown:
        known = ", ".join(sorted(_OPTIONS))
        raise ModelCardError(f"{card.name}: options: unknown {', '.join(unknown)}; there are {known}")
    stated = card.options.get("box_units", find_family(card.family).box_units.value)
    try:
        return BoxUnits(stated)
    except ValueError as error:
        known = ", ".join(units.value for units in BoxUnits)
        raise ModelCardError(f"{card.name}: options.box_units: expected one of {known}, got {stated!r}") from error


def visual_budget_of(card: ModelCard, configuration: VlmConfiguration) -> VisualBudget:
    """Return the budget that is configured, else that of the card; raises ModelCardError for an impossible one."""
    bounds = []
    for name, configured in (
        ("min_visual_tokens", configuration.min_visual_tokens),
        ("max_visual_tokens", configuration.max_visual_tokens),
    ):
        stated = card.options.get(name, 0)
        if not isinstance(stated, int) or isinstance(stated, bool) or stated < 0:
            raise ModelCardError(f"{card.name}: options.{name}: expected a count of tokens, got {stated!r}")
        bounds.append(configured or stated)
    least, most = bounds
    # What a person configures wins over the other bound of the card.
    if most and least > most:
        if configuration.min_visual_tokens and configuration.max_visual_tokens:
            raise ReasoningError(f"vlm.min_visual_tokens: expected at most vlm.max_visual_tokens, {most}, got {least}")
        least, most = (least, least) if configuration.min_visual_tokens else (most, most)
    return VisualBudget(least, most)


class VlmReasoner(BatchReasoner):
    """Asks about several keyframes at once; a picture is encoded once for all instructions.

    An answer that cannot be read is asked for once more, with what was wrong; then the task fails, so that it can be
    asked again later: it never counts as "nothing there".
    """

    any_language = True

    def __init__(
        self,
        model: VisionLanguageModel,
        segmenter: Segmenter,
        encoder: RegionEncoder,
        box_units: BoxUnits,
        configuration: VlmConfiguration,
        name: str,
    ) -> None:
        self.name = f"vlm {name}"
        self.batch_size = configuration.batch_size
        self._model = model
        self._segmenter = segmenter
        self._encoder = encoder
        self._units = box_units
        self._configuration = configuration
        self._system = system_prompt(box_units)
        self._schema = answer_schema(box_units)
        self._features: FeatureCache[EncodedImage] = FeatureCache(
            configuration.feature_cache_mib * _MIB, lambda image: image.size_bytes
        )
        self._closing = threading.Event()
        self._answers = self._retries = self._failures = self._mended = self._without_mask = 0

    def propose_batch(self, tasks: Sequence[Task]) -> list[CandidateSet | ReasoningError]:
        """Answer tasks ``batch_size`` at a time, of one or several instructions."""
        results: list[CandidateSet | ReasoningError] = []
        while len(results) < len(tasks):
            results += self._propose(tasks[len(results) : len(results) + self.batch_size])
        return results

    def diagnose(self) -> dict[str, object]:
        """Return counts of answers, retries and failures, and how answers are held to their form."""
        return {
            "model": self.name,
            "device": str(self._model.device),
            "segmenter": self._segmenter.name,
            "answers held to the schema": self._model.unconstrained or "yes",
            "answers": self._answers,
            "answers read in part": self._mended,
            "retries": self._retries,
            "failures": self._failures,
            "instances without a mask": self._without_mask,
            "tokens written": self._model.tokens_written,
            "features kept [MiB]": round(self._features.held_bytes / _MIB, 1),
            "features reused": self._features.hits,
            "batch size": self.batch_size,
        }

    def close(self) -> None:
        """Stop an answer that is being written; the memory goes with the reasoner."""
        self._closing.set()

    def _propose(self, tasks: Sequence[Task]) -> list[CandidateSet | ReasoningError]:
        start_s = time.perf_counter()
        questions = [_Question(task, user_prompt(task.instruction.text)) for task in tasks]
        try:
            self._ask(questions)
            again = [question for question in questions if question.answer is None]
            for question in again:
                question.prompt = retry_prompt(question.task.instruction.text, question.problem)
            if again and not self._closing.is_set():
                self._retries += len(again)
                self._ask_again(again)
            results = self._conclude(questions, start_s)
        except ReasoningError as error:
            # What fails for all of them: a picture, the memory, the segmenter. Each gets an error of its own.
            results = [ReasoningError(str(error), (*question.exchanges, *error.exchanges)) for question in questions]
        self._answers += sum(isinstance(result, CandidateSet) for result in results)
        self._failures += sum(isinstance(result, ReasoningError) for result in results)
        return results

    def _ask_again(self, questions: Sequence[_Question]) -> None:
        """Ask a second time; when that fails, the answers to others that are there already still count."""
        try:
            self._ask(questions)
        except ReasoningError as error:
            for question in questions:
                question.problem = f"{question.problem}; asked again: {error}"

    def _ask(self, questions: Sequence[_Question]) -> None:
        """Ask about all questions in one batch and read the answers into them."""
        start_s = time.perf_counter()
        try:
            images = self._encode([question.task.keyframe for question in questions])
            texts = self._model.answer(
                images,
                self._system,
                [question.prompt for question in questions],
                self._schema,
                self._configuration.max_new_tokens,
                self._configuration.instruction_first,
                self._closing.is_set,
            )
        except RuntimeError as error:
            if isinstance(error, ReasoningError):
                raise
            raise self._explain(error) from error
        latency_s = time.perf_counter() - start_s
        for question, image, text in zip(questions, images, texts, strict=True):
            frame = question.task.keyframe.frame
            question.problem = ""
            try:
                question.answer = parse_answer(
                    text, frame.camera.width_px, frame.camera.height_px, self._units, image.shown_size_px
                )
                self._mended += bool(question.answer.problems)
            except AnswerError as error:
                question.problem = str(error)
            asked = f"{self._system}\n[keyframe {question.task.keyframe.id}]\n{question.prompt}"
            problem = question.problem or "; ".join(question.answer.problems if question.answer else ())
            question.exchanges.append(Exchange(asked, text[:_MAX_EXCHANGE_CHARACTERS], problem, latency_s))

    def _encode(self, keyframes: Sequence[Keyframe]) -> list[EncodedImage]:
        """Return the features of keyframes; those that are not kept are encoded in one batch, each once."""
        return self._features.of(keyframes, lambda new: self._model.encode([keyframe.frame.color for keyframe in new]))

    def _conclude(self, questions: Sequence[_Question], start_s: float) -> list[CandidateSet | ReasoningError]:
        """Make masks for all that was understood, in one go, and candidates of them."""
        understood = [question for question in questions if question.answer is not None and question.answer.instances]
        regions = (
            self._segmenter.segment(
                [
                    (question.task.keyframe, region_prompts(question.answer))
                    for question in understood
                    if question.answer
                ]
            )
            if understood
            else []
        )
        masks = {id(question): found for question, found in zip(understood, regions, strict=True)}
        results: list[CandidateSet | ReasoningError] = []
        for question in questions:
            exchanges = tuple(question.exchanges)
            if question.answer is None:
                said = (
                    f"{self.name}: the answer for keyframe {question.task.keyframe.id} could not be read, asked twice"
                )
                results.append(ReasoningError(f"{said}: {question.problem}", exchanges))
                continue
            keyframe, instances = question.task.keyframe, question.answer.instances
            made = masks.get(id(question), [])
            embeddings = (
                self._encoder.encode(
                    keyframe,
                    [region.mask for region in made],
                    [instance.label for instance in instances],
                    [instance.color for instance in instances],
                )
                if instances
                else np.zeros((0, 0), dtype=np.float32)
            )
            joined = sightings_from_answer(question.answer, made, embeddings)
            self._without_mask += joined.without_mask
            results.append(
                CandidateSet(
                    keyframe.id,
                    keyframe.frame.stamp_ns,
                    question.task.instruction.id,
                    self.name,
                    time.perf_counter() - start_s,
                    candidates_from_sightings(keyframe, joined.sightings),
                    exchanges,
                )
            )
        return results

    def _explain(self, error: RuntimeError) -> ReasoningError:
        """Return a sentence for what went wrong in the model; smaller batches are asked once memory ran out."""
        import torch

        said = plain_text(str(error), _MAX_ERROR_CHARACTERS)
        if not isinstance(error, torch.OutOfMemoryError):
            return ReasoningError(f"{self.name}: the model failed: {said}")
        self._features.clear()
        torch.cuda.empty_cache()
        before, self.batch_size = self.batch_size, max(1, self.batch_size // 2)
        return ReasoningError(
            f"{self.name}: the memory of the device is not enough for {before} keyframes at once (now "
            f"{self.batch_size}; lower vlm.max_visual_tokens or take compute.precision int8 or int4): {said}"
        )

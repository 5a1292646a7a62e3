"""The lisa back end: one model reads the instruction, looks at the keyframe and draws the masks."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lira_ros.geometry.frame import Keyframe
from lira_ros.reasoning.compute import QUANTIZED, ComputeConfiguration, choose_device, choose_dtype
from lira_ros.reasoning.contracts import (
    BatchReasoner,
    CandidateSet,
    Exchange,
    Instruction,
    ReasoningError,
    Role,
    Task,
)
from lira_ros.reasoning.feature_cache import FeatureCache
from lira_ros.reasoning.lisa.answers import check_answer, name_mask
from lira_ros.reasoning.lisa.configuration import LisaConfiguration
from lira_ros.reasoning.lisa.prompts import LisaStyle
from lira_ros.reasoning.models.cards import ModelCardError, find_card
from lira_ros.reasoning.models.files import locate
from lira_ros.reasoning.relevance import Relevance
from lira_ros.reasoning.roles import assign_role
from lira_ros.reasoning.sightings import Sighting, candidates_from_sightings

if TYPE_CHECKING:
    from lira_ros.reasoning.lisa.model import EncodedImage, LisaAnswer, LisaModel

_MIB = 1 << 20


def create_lisa_reasoner(
    configuration: LisaConfiguration, compute: ComputeConfiguration, relevance: Relevance
) -> LisaReasoner:
    """Load the checkpoint that is configured.

    Raises ReasoningError when its card is not that of a LISA, files are missing, or a library or the GPU is.
    """
    card = find_card(configuration.model)
    if card.kind != "lisa":
        raise ModelCardError(f"lisa.model: expected a card of the kind lisa, got {card.name} of the kind {card.kind}")
    style = LisaStyle.from_card(card)
    device = choose_device(compute.device)
    dtype = choose_dtype(compute.precision, device)
    folder = locate(card)
    from lira_ros.reasoning.lisa.model import LisaModel

    towers = [folder / repository.part for repository in card.repositories if repository.part]
    quantization = compute.precision if compute.precision in QUANTIZED else None
    model = LisaModel.load(folder, towers[0] if towers else None, device, dtype, quantization, style.seg_state_offset)
    return LisaReasoner(model, style, relevance, configuration, card.name)


class LisaReasoner(BatchReasoner):
    """Answers several keyframes at once; pictures are encoded once for all instructions.

    model: a LisaModel. style: of its card. name: of the model.
    """

    def __init__(
        self, model: LisaModel, style: LisaStyle, relevance: Relevance, configuration: LisaConfiguration, name: str
    ) -> None:
        self.name = f"lisa {name}"
        self.batch_size = configuration.batch_size
        # Where masks are of all that may help, the grammar says which of them is meant.
        self.any_language = style.answer == "target"
        self._model = model
        self._style = style
        self._relevance = relevance
        self._configuration = configuration
        self._features: FeatureCache[EncodedImage] = FeatureCache(
            configuration.feature_cache_mib * _MIB, lambda value: value.bytes
        )
        self._closing = threading.Event()
        self._failures = 0

    def propose_batch(self, tasks: Sequence[Task]) -> list[CandidateSet | ReasoningError]:
        """Answer tasks ``batch_size`` at a time, of one or several instructions."""
        results: list[CandidateSet | ReasoningError] = []
        for first in range(0, len(tasks), self.batch_size):
            results += self._answer(tasks[first : first + self.batch_size])
        self._failures += sum(isinstance(result, ReasoningError) for result in results)
        return results

    def diagnose(self) -> dict[str, object]:
        """Return counts of the model's work, of the kept features and of failures."""
        counts, report = self._model.counts, self._model.report
        return {
            "model": self.name,
            "device": str(self._model.device),
            "decoder passes": counts.passes,
            "tokens generated": counts.tokens,
            "answers that failed": self._failures,
            "features kept [MiB]": round(self._features.held_bytes / _MIB, 1),
            "features reused": self._features.hits,
            "unknown weights": len(report.unexpected),
        }

    def close(self) -> None:
        """Stop an answer that is being generated; the memory goes with the reasoner."""
        self._closing.set()

    def _answer(self, tasks: Sequence[Task]) -> list[CandidateSet | ReasoningError]:
        start = time.perf_counter()
        model, style = self._model, self._style
        questions = [model.tokenizer.without_tokens(style.question_of(task.instruction)) for task in tasks]
        prompts = [style.prompt(question, model.wraps_image) for question in questions]
        try:
            pictures = self._encode([task.keyframe for task in tasks])
            answers = model.answer(
                pictures, prompts, self._configuration.max_new_tokens, should_stop=self._closing.is_set
            )
        except ReasoningError as error:
            latency_s = (time.perf_counter() - start) / len(tasks)
            # Each gets an error of its own: they are raised and kept one by one.
            return [
                ReasoningError(str(error), (Exchange(question, "", str(error), latency_s),)) for question in questions
            ]
        latency_s = (time.perf_counter() - start) / len(tasks)
        return [
            self._conclude(task, question, answer, latency_s)
            for task, question, answer in zip(tasks, questions, answers, strict=True)
        ]

    def _encode(self, keyframes: Sequence[Keyframe]) -> list[EncodedImage]:
        """Return the features of keyframes; those that are not kept are encoded in one batch, each once."""
        return self._features.of(
            keyframes,
            lambda new: self._model.encode([keyframe.frame.color for keyframe in new], self._style.preprocessing),
        )

    def _conclude(
        self, task: Task, question: str, answer: LisaAnswer, latency_s: float
    ) -> CandidateSet | ReasoningError:
        try:
            problem = check_answer(
                answer.text, len(answer.labels), answer.finished, may_be_silent=self._style.answer == "target"
            )
        except ReasoningError as error:
            return ReasoningError(str(error), (Exchange(question, answer.text, str(error), latency_s),))
        candidates = candidates_from_sightings(task.keyframe, self._sightings(task.instruction, answer))
        if self._style.answer == "instances":
            constraint = task.instruction.constraint
            candidates = tuple(
                dataclasses.replace(
                    item,
                    role=assign_role(self._relevance, constraint, _names(item.label), item.attributes)[0],
                )
                for item in candidates
            )
        return CandidateSet(
            keyframe_id=task.keyframe.id,
            stamp_ns=task.keyframe.frame.stamp_ns,
            instruction_id=task.instruction.id,
            model=self.name,
            latency_s=latency_s,
            candidates=candidates,
            exchanges=(Exchange(question, answer.text, problem, latency_s),),
        )

    def _sightings(self, instruction: Instruction, answer: LisaAnswer) -> list[Sighting]:
        asked_for_target = self._style.answer == "target"
        phrase = instruction.constraint.phrase
        threshold = float(np.log(self._style.mask_threshold / (1.0 - self._style.mask_threshold)))
        sightings = []
        for index, words in enumerate(answer.labels):
            logits = answer.mask_logits[index]
            mask = logits > threshold
            named = name_mask(words)
            # A LISA says "it is [SEG]": what it marks is called what was asked for, where that is a name.
            label = named.label if not asked_for_target else "" if phrase.implicit else phrase.head
            certainty = float(answer.label_probabilities[index])
            sightings.append(
                Sighting(
                    mask=mask,
                    label=label,
                    label_confidence=certainty if label else 0.0,
                    score=_mask_score(logits, mask),
                    role=Role.TARGET if asked_for_target else Role.CONTEXT,
                    target_confidence=1.0 if asked_for_target else float("nan"),
                    color="" if asked_for_target else named.color,
                    reason=answer.text if asked_for_target else f"model: {named.color} {named.label}",
                    embedding=self._embedding(answer.seg_hidden[index]),
                )
            )
        return sightings

    def _embedding(self, hidden: NDArray[np.float32]) -> NDArray[np.float32]:
        length = float(np.linalg.norm(hidden))
        if self._style.embedding != "hidden_state" or length == 0:
            return np.zeros(0, dtype=np.float32)
        return (hidden / length).astype(np.float32)


def _names(label: str) -> dict[str, float]:
    return {label: 1.0} if label else {}


def _mask_score(logits: NDArray[np.float32], mask: NDArray[np.bool_]) -> float:
    """Return the mean probability within a mask: SAM's own estimate of quality is not trained in LISA."""
    if not mask.any():
        return 0.0
    return float((1.0 / (1.0 + np.exp(-logits[mask].astype(np.float64)))).mean())

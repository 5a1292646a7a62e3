"""The detector back end: an open-vocabulary detector looks for what the instruction names, a segmenter cuts it out."""

from __future__ import annotations

import dataclasses
import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lira_ros.reasoning.contracts import (
    BatchReasoner,
    Candidate,
    CandidateSet,
    Exchange,
    Instruction,
    ReasoningError,
    Task,
)
from lira_ros.reasoning.detector.configuration import DetectorConfiguration
from lira_ros.reasoning.detector.detections import Detection, Detector
from lira_ros.reasoning.detector.phrases import detector_phrases
from lira_ros.reasoning.embeddings.configuration import EmbeddingConfiguration
from lira_ros.reasoning.embeddings.contracts import RegionEncoder
from lira_ros.reasoning.embeddings.creation import create_region_encoder
from lira_ros.reasoning.measurement import describe_attributes
from lira_ros.reasoning.models.cards import ModelCard, ModelCardError, find_card
from lira_ros.reasoning.models.files import locate
from lira_ros.reasoning.relevance import Relevance
from lira_ros.reasoning.roles import assign_role
from lira_ros.reasoning.segmentation.configuration import SegmentationConfiguration
from lira_ros.reasoning.segmentation.contracts import RegionMask, RegionPrompt, Segmenter
from lira_ros.reasoning.segmentation.creation import create_segmenter
from lira_ros.reasoning.sightings import Sighting, candidates_from_sightings

if TYPE_CHECKING:
    from lira_ros.reasoning.compute import ComputeConfiguration

# Instructions whose names are remembered; nobody asks more at once.
REMEMBERED_INSTRUCTIONS = 64
FAMILIES = ("grounding_dino", "owlv2")


def create_detector_reasoner(
    configuration: DetectorConfiguration,
    masks: SegmentationConfiguration,
    embedding: EmbeddingConfiguration,
    compute: ComputeConfiguration,
    relevance: Relevance,
) -> DetectorReasoner:
    """Load the detector, the segmenter and the encoder that are configured.

    Raises ReasoningError for a card of something else and when files, a library or the GPU are missing.
    """
    card = find_card(configuration.model)
    if card.kind != "detector" or card.family not in FAMILIES:
        raise ModelCardError(
            f"detector.model: {card.name} is a {card.kind} of family {card.family}; expected a detector of family "
            f"{', '.join(FAMILIES)}"
        )
    detector = load_detector(card, configuration, masks, compute)
    segmenter = create_segmenter(masks, compute)
    return DetectorReasoner(
        detector, segmenter, create_region_encoder(embedding, compute, relevance), relevance, configuration
    )


def load_detector(
    card: ModelCard,
    configuration: DetectorConfiguration,
    masks: SegmentationConfiguration,
    compute: ComputeConfiguration,
) -> Detector:
    """Return the detector of a card; raises ReasoningError that names what is missing or wrong."""
    threshold = configuration.score_threshold or card.options.get("score_threshold")
    if not isinstance(threshold, float) or not 0.0 < threshold < 1.0:
        raise ModelCardError(
            f"model {card.name}: options.score_threshold: expected a number between 0 and 1, got {threshold!r}"
        )
    folder = locate(card)
    from lira_ros.reasoning.models.pretrained import load_part, load_pretrained

    if card.family == "owlv2":
        model = load_pretrained("Owlv2ForObjectDetection", folder)
        tokenizer, processor = load_part("AutoTokenizer", folder), load_part("Owlv2ImageProcessorPil", folder)
        from lira_ros.reasoning.detector.owlv2 import Owlv2Detector

        return Owlv2Detector(model, tokenizer, processor, compute, threshold, masks.feature_cache_mib, card.name)
    model = load_pretrained("GroundingDinoForObjectDetection", folder)
    tokenizer, processor = load_part("AutoTokenizer", folder), load_part("GroundingDinoImageProcessorPil", folder)
    from lira_ros.reasoning.detector.grounding_dino import GroundingDinoDetector

    return GroundingDinoDetector(model, tokenizer, processor, compute, threshold, masks.feature_cache_mib, card.name)


class DetectorReasoner(BatchReasoner):
    """Answers with everything of the names in an instruction that is in sight: targets, their rivals and anchors.

    Which of them are meant is judged from their measures and relations, so there is no target confidence. Keyframes of
    one instruction go through the detector in one batch. Not thread-safe: it has one owner.
    """

    def __init__(
        self,
        detector: Detector,
        segmenter: Segmenter,
        encoder: RegionEncoder,
        relevance: Relevance,
        configuration: DetectorConfiguration | None = None,
    ) -> None:
        self._configuration = configuration or DetectorConfiguration()
        self.name = f"detector {detector.name}, {segmenter.name}"
        self.batch_size = self._configuration.batch_size
        self._detector = detector
        self._segmenter = segmenter
        self._encoder = encoder
        self._relevance = relevance
        self._phrases: OrderedDict[str, tuple[str, ...]] = OrderedDict()
        self._failures = 0

    def propose_batch(self, tasks: Sequence[Task]) -> list[CandidateSet | ReasoningError]:
        """Answer up to ``batch_size`` tasks, those that look for the same names together."""
        groups: dict[tuple[str, ...], list[int]] = {}
        for number, task in enumerate(tasks):
            groups.setdefault(self.phrases_of(task.instruction), []).append(number)
        results: dict[int, CandidateSet | ReasoningError] = {}
        for phrases, numbers in groups.items():
            for start in range(0, len(numbers), self.batch_size):
                chunk = numbers[start : start + self.batch_size]
                answers = self._answer([tasks[number] for number in chunk], phrases)
                results.update(zip(chunk, answers, strict=True))
        self._failures += sum(isinstance(result, ReasoningError) for result in results.values())
        return [results[number] for number in range(len(tasks))]

    def phrases_of(self, instruction: Instruction) -> tuple[str, ...]:
        """Return the names that are looked for, worked out once for an instruction."""
        # The text belongs to the key: an id may be used again.
        key = f"{instruction.id} {instruction.text}"
        if key not in self._phrases:
            self._phrases[key] = detector_phrases(
                instruction.constraint, self._relevance, self._configuration.max_phrases
            )
            while len(self._phrases) > REMEMBERED_INSTRUCTIONS:
                self._phrases.popitem(last=False)
        self._phrases.move_to_end(key)
        return self._phrases[key]

    def diagnose(self) -> dict[str, object]:
        """Return the models and the count of failures."""
        return {"model": self.name, "embedding": self._encoder.name, "answers that failed": self._failures}

    def _answer(self, tasks: Sequence[Task], phrases: tuple[str, ...]) -> list[CandidateSet | ReasoningError]:
        start = time.perf_counter()
        prompt = ". ".join(phrases)
        keyframes = [task.keyframe for task in tasks]
        try:
            found = self._detector.detect(keyframes, phrases)
            regions = self._segmenter.segment(
                [
                    (keyframe, [RegionPrompt(item.box_px, None, item.phrase) for item in detections])
                    for keyframe, detections in zip(keyframes, found, strict=True)
                ]
            )
            candidates = [
                self._candidates(task, detections, masks)
                for task, detections, masks in zip(tasks, found, regions, strict=True)
            ]
        except ReasoningError as error:
            latency_s = (time.perf_counter() - start) / len(tasks)
            # Each gets an error of its own: they are raised and kept one by one.
            return [ReasoningError(str(error), (Exchange(prompt, "", str(error), latency_s),)) for _ in tasks]
        latency_s = (time.perf_counter() - start) / len(tasks)
        return [
            CandidateSet(
                keyframe_id=task.keyframe.id,
                stamp_ns=task.keyframe.frame.stamp_ns,
                instruction_id=task.instruction.id,
                model=self.name,
                latency_s=latency_s,
                candidates=seen,
                exchanges=(Exchange(prompt, _said(detections), "", latency_s),),
            )
            for task, detections, seen in zip(tasks, found, candidates, strict=True)
        ]

    def _candidates(
        self, task: Task, detections: Sequence[Detection], masks: Sequence[RegionMask]
    ) -> tuple[Candidate, ...]:
        labels = [item.phrase for item in detections]
        embeddings = self._encoder.encode(task.keyframe, [region.mask for region in masks], labels, [""] * len(labels))
        sightings = [
            Sighting(region.mask, item.phrase, item.score, region.quality, embedding=embedding)
            for item, region, embedding in zip(detections, masks, embeddings, strict=True)
        ]
        return tuple(
            self._judged(task.instruction, candidate)
            for candidate in candidates_from_sightings(task.keyframe, sightings)
        )

    def _judged(self, instruction: Instruction, candidate: Candidate) -> Candidate:
        role, match = assign_role(self._relevance, instruction.constraint, {candidate.label: 1.0}, candidate.attributes)
        if match is None or not match.reason:
            return dataclasses.replace(candidate, role=role)
        return dataclasses.replace(
            candidate, role=role, reason=f"{describe_attributes(candidate.attributes)}: {match.reason}"
        )


def _said(detections: Sequence[Detection]) -> str:
    return "; ".join(
        f"{item.phrase} {item.score:.2f} [{', '.join(f'{side:.0f}' for side in item.box_px)}]" for item in detections
    )

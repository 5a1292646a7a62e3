"""From what a model said and the masks that were made of it to candidates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lira_ros.reasoning.answers.contracts import ConstraintKind, DetectedInstance, StructuredAnswer
from lira_ros.reasoning.contracts import Role
from lira_ros.reasoning.segmentation.contracts import RegionMask, RegionPrompt
from lira_ros.reasoning.sightings import MIN_PIXELS, Sighting

# How wanted a thing is that the model names, but not as a target: 0 when it is sure of that role, at most this when it
# is not sure at all. Half is where a model says nothing either way, so that never counts for the thing.
_UNSURE_OTHER_ROLE = 0.5


@dataclass(frozen=True)
class AnswerSightings:
    """The instances of an answer that have a mask. without_mask: how many had none and were left out."""

    sightings: tuple[Sighting, ...]
    without_mask: int


def region_prompts(answer: StructuredAnswer) -> tuple[RegionPrompt, ...]:
    """Return the question to a segmenter for every instance of an answer, in their order."""
    return tuple(
        RegionPrompt(instance.box_px, instance.point_px, f"{instance.color} {instance.label}".strip())
        for instance in answer.instances
    )


def sightings_from_answer(
    answer: StructuredAnswer, masks: Sequence[RegionMask], embeddings: NDArray[np.float32] | None = None
) -> AnswerSightings:
    """Join the N instances of an answer with their N masks and (N, D) embeddings; None or D = 0: appearance is taken.

    The score of a sighting is the quality of its mask, its label is as certain as the model was. Masks of fewer than
    MIN_PIXELS pixels are no masks. Raises ValueError when the counts differ.
    """
    count = len(answer.instances)
    if embeddings is None:
        embeddings = np.zeros((count, 0), dtype=np.float32)
    if len(masks) != count or len(embeddings) != count:
        raise ValueError(f"answer: {count} instances, but {len(masks)} masks and {len(embeddings)} embeddings")
    sightings = tuple(
        Sighting(
            mask=region.mask,
            label=instance.label,
            label_confidence=instance.confidence if instance.label else 0.0,
            score=region.quality,
            role=instance.role,
            target_confidence=target_confidence(instance),
            color=instance.color,
            reason=_describe(instance),
            embedding=embedding,
        )
        for instance, region, embedding in zip(answer.instances, masks, embeddings, strict=True)
        if np.count_nonzero(region.mask) >= MIN_PIXELS
    )
    return AnswerSightings(sightings, count - len(sightings))


def target_confidence(instance: DetectedInstance) -> float:
    """Return how sure the model is that an instance is wanted, [0, 1].

    For a target its confidence. A thing that was named an anchor or context is not wanted, the less the surer the
    model is of that: 0 to _UNSURE_OTHER_ROLE.
    """
    if instance.role is Role.TARGET:
        return instance.confidence
    return _UNSURE_OTHER_ROLE * (1.0 - instance.confidence)


def _describe(instance: DetectedInstance) -> str:
    constraint = instance.constraint
    if constraint.kind is ConstraintKind.NONE:
        return instance.reason
    stated = " ".join(filter(None, (constraint.order or constraint.kind.value, constraint.anchor and "to")))
    stated = f"{stated} {constraint.anchor}".strip()
    return f"{instance.reason} ({stated})" if instance.reason else stated

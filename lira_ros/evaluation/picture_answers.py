"""What a reasoner drew into the pictures of a run, against the annotation of the recording: 2D scores, free-running.

Only instructions that a picture decides by itself are scored: what is nearest to a table, or largest, is found out on
the map, and to draw every thing that may be meant is right there.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from lira_ros.datasets.reference import ReferenceInstruction
from lira_ros.evaluation.segmentation_2d import (
    ImageAnswer,
    RunLengths,
    SegmentationCounts,
    free_running_counts,
    run_lengths,
)
from lira_ros.reasoning.contracts import CandidateSet, Reasoner, Role, Task
from lira_ros.reasoning.observed import ObservedReasoner

# Kinds of instructions whose targets can be told in a picture: by class, colour and use.
PICTURE_KINDS = frozenset({"class", "colour", "implicit", "implicit colour", "several classes"})


class PictureAnswers:
    """Collect the answers and the truth of a run as run lengths, and compare them at its end.

    questions: by the id under which they are asked; only PICTURE_KINDS are looked at. minimum_px: a target that has
    fewer pixels in a picture is not asked for there, and a mask on it is not wrong.
    """

    def __init__(self, questions: Mapping[str, ReferenceInstruction], minimum_px: int) -> None:
        self._questions = {name: item for name, item in questions.items() if item.kind in PICTURE_KINDS}
        self._wanted = sorted({object_id for item in self._questions.values() for object_id in item.ids})
        self._minimum_px = minimum_px
        self._truth: dict[int, dict[int, RunLengths]] = {}
        self._answers: list[tuple[int, str, tuple[RunLengths, ...]]] = []

    def see(self, stamp_ns: int, instance_image: NDArray[np.integer] | None) -> None:
        """Take the (H, W) object ids of a frame; answers about a frame without them are not scored."""
        if instance_image is not None:
            present = np.intersect1d(instance_image, self._wanted)
            self._truth[stamp_ns] = {int(i): run_lengths(instance_image == i) for i in present}

    def note(self, answer: CandidateSet) -> None:
        """Take what a reasoner drew for one question: its candidates for a target, not anchors and context."""
        if answer.instruction_id in self._questions:
            masks = tuple(run_lengths(item.mask) for item in answer.candidates if item.role == Role.TARGET)
            self._answers.append((answer.stamp_ns, answer.instruction_id, masks))

    def listening(self, reasoner: Reasoner) -> Reasoner:
        """Return a reasoner that passes every question on and lets this one note the answer."""
        return _Listening(reasoner, self)

    def counts(self) -> SegmentationCounts:
        """Compare everything that was noted about frames that were seen.

        Raises ValueError when masks and annotation are not of one size.
        """
        return free_running_counts(
            self._compared(self._truth[stamp_ns], self._questions[name], masks)
            for stamp_ns, name, masks in self._answers
            if stamp_ns in self._truth
        )

    def _compared(
        self, seen: dict[int, RunLengths], question: ReferenceInstruction, masks: tuple[RunLengths, ...]
    ) -> ImageAnswer:
        visible = [seen[i] for i in dict.fromkeys(question.ids) if i in seen]
        asked = [mask for mask in visible if coco.area(mask) >= self._minimum_px]
        slivers = [mask for mask in visible if coco.area(mask) < self._minimum_px]
        if slivers:
            small = coco.merge(slivers)
            masks = tuple(
                mask for mask in masks if 2 * coco.area(coco.merge([mask, small], intersect=True)) <= coco.area(mask)
            )
        return ImageAnswer(tuple(asked), masks)


class _Listening(ObservedReasoner):
    def __init__(self, reasoner: Reasoner, answers: PictureAnswers) -> None:
        super().__init__(reasoner)
        self._answers = answers

    def observe(self, task: Task, outcome: CandidateSet | Exception, latency_s: float) -> None:
        """Note an answer."""
        if isinstance(outcome, CandidateSet):
            self._answers.note(outcome)

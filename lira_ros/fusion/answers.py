"""Which models answered about which keyframes, and what it means that one which has opinions named an instance or not.

A model that read the instruction votes for and against what it names; what it was shown well and left in no mask it did
not want. So its silence is a vote too, once it has shown that it has opinions at all.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from lira_ros.fusion.association import Association
from lira_ros.fusion.evidence import InstanceEvidence
from lira_ros.fusion.lifting import StoredKeyframe
from lira_ros.reasoning.contracts import Candidate, CandidateSet


class Answers:
    """Keeps who answered what, and turns words and silence into opinions on the instances, which the fusion owns."""

    STATE: ClassVar[dict[str, Any]] = {"_answered": dict[int, dict[str, str]], "_opinionated": set[str]}

    def __init__(
        self,
        evidence: Mapping[int, InstanceEvidence],
        dirty: set[int],
        keyframes: Mapping[int, StoredKeyframe],
        association: Association,
    ) -> None:
        """dirty: ids that changed, added to here."""
        self._evidence = evidence
        self._dirty = dirty
        self._keyframes = keyframes
        self._association = association
        self._answered: dict[int, dict[str, str]] = {}  # the model that answered, by keyframe and instruction id
        self._opinionated: set[str] = set()  # models that said of anything how sure they are that it is wanted

    def has(self, keyframe_id: int, instruction_id: str) -> bool:
        """Tell whether a keyframe was answered for an instruction."""
        return instruction_id in self._answered.get(keyframe_id, {})

    def forget_keyframe(self, keyframe_id: int) -> None:
        """Forget who answered about a keyframe."""
        self._answered.pop(keyframe_id, None)

    def forget_instruction(self, instruction_id: str) -> None:
        """Forget who answered for an instruction."""
        for models in self._answered.values():
            models.pop(instruction_id, None)

    def look_again(self, keyframe_ids: Collection[int]) -> None:
        """Take silence about keyframes again, whose poses have changed."""
        if self._opinionated:
            self._look_for_silence(self._evidence.values(), keyframe_ids)

    def take(self, evidence: InstanceEvidence, candidate: Candidate, quality: float, answer: CandidateSet) -> None:
        """Let an answer vote on an instance that one of its candidates shows; quality: of the view, in [0, 1]."""
        has_opinion = not math.isnan(candidate.target_confidence)
        if has_opinion or answer.model in self._opinionated:
            votes = evidence.opinion_on(answer.instruction_id)
            votes.name(answer.keyframe_id, candidate.target_confidence, quality * candidate.score, answer.model)
            self._dirty.add(evidence.id)

    def take_silence(self, candidates: CandidateSet, stored: StoredKeyframe, first_new: int) -> None:
        """Note an answer; a model that has opinions votes against what it was shown and did not name, also before.

        first_new: the least id of the instances that are new with this answer.
        """
        model = candidates.model
        self._answered.setdefault(stored.id, {})[candidates.instruction_id] = model
        has_opinions = any(not math.isnan(candidate.target_confidence) for candidate in candidates.candidates)
        if has_opinions and model not in self._opinionated:
            self._opinionated.add(model)
            self._look_for_silence(self._evidence.values(), self._answered.keys() - {stored.id})
        if not self._opinionated:
            return
        if model in self._opinionated:
            self._look_for_silence(self._evidence.values(), (stored.id,), candidates)
        new = [evidence for evidence in self._evidence.values() if evidence.id >= first_new]
        self._look_for_silence(new, self._answered)

    def _look_for_silence(
        self,
        instances: Iterable[InstanceEvidence],
        keyframe_ids: Iterable[int],
        answer: CandidateSet | None = None,
    ) -> None:
        """Note what answered keyframes show well in no mask; ``answer`` adds its masks, where it is at hand."""
        instances = tuple(instances)
        for keyframe_id in sorted(keyframe_ids) if instances else ():
            stored = self._keyframes.get(keyframe_id)
            models = self._answered.get(keyframe_id, {})
            asked = {name: model for name, model in models.items() if model in self._opinionated}
            if stored is None or not asked:
                continue
            claimed: NDArray[np.int32] | None = None
            for evidence in instances:
                silent = [
                    name
                    for name in asked
                    if name not in evidence.opinions or not evidence.opinions[name].knows(keyframe_id)
                ]
                if not silent or not self._association.in_reach(evidence, stored):
                    continue
                if claimed is None:
                    claimed = self._claimed_cells(stored)
                    for candidate in answer.candidates if answer is not None else ():
                        claimed += stored.grid(candidate.mask)
                if self._association.shows_unclaimed(evidence, stored, claimed):
                    for name in silent:
                        evidence.opinion_on(name).overlook(keyframe_id, asked[name])
                    self._dirty.add(evidence.id)

    def _claimed_cells(self, stored: StoredKeyframe) -> NDArray[np.int32]:
        """Return (h, w) how many instances claim each cell of the comparison grid of a keyframe."""
        count = np.zeros(stored.grid(stored.depth_mm).shape, dtype=np.int32)
        for evidence in self._evidence.values():
            claim = evidence.claims.get(stored.id)
            if claim is not None:
                count += claim.mask()
        return count

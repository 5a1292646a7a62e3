"""The compact back end: proposals, measured attributes, likely names, and how well they answer an instruction."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lira_ros.configuration import parameter, section
from lira_ros.geometry.frame import Keyframe
from lira_ros.reasoning.color import appearance
from lira_ros.reasoning.compact.proposals import Proposal, ProposalConfiguration, propose_instances
from lira_ros.reasoning.constraint import Constraint
from lira_ros.reasoning.contracts import Attributes, Candidate, CandidateSet, Instruction, Reasoner
from lira_ros.reasoning.feature_cache import keyframe_key
from lira_ros.reasoning.knowledge import UNKNOWN, class_likelihoods
from lira_ros.reasoning.measurement import describe_attributes, measure
from lira_ros.reasoning.relevance import Match, Relevance
from lira_ros.reasoning.roles import assign_role


@dataclass(frozen=True)
class CompactConfiguration:
    """What can be set of the compact back end."""

    proposals: ProposalConfiguration = section(ProposalConfiguration)
    cached_keyframes: int = parameter(
        32, "Keyframes whose proposals are kept for further instructions", minimum=1, maximum=1000
    )


@dataclass(frozen=True)
class _Sighting:
    """What one keyframe shows at one place, before any instruction."""

    proposal: Proposal
    attributes: Attributes
    names: dict[str, float]
    embedding: NDArray[np.float32]


class CompactReasoner(Reasoner):
    """Answers an instruction from geometry, colour and words; needs no GPU and no model but a sentence encoder.

    Every plausible proposal comes back as a candidate, for ranks and relations need rivals and anchors; the role says
    what it may be. Not thread-safe: it has one owner.
    """

    name = "compact"
    needs_depth = True

    def __init__(self, relevance: Relevance, configuration: CompactConfiguration | None = None) -> None:
        self._relevance = relevance
        self._configuration = configuration or CompactConfiguration()
        self._seen: OrderedDict[tuple[int, int, int], tuple[_Sighting, ...]] = OrderedDict()

    def propose(self, keyframe: Keyframe, instruction: Instruction) -> CandidateSet:
        """Return all things seen in a keyframe with their role for the instruction, most certain first."""
        start = time.perf_counter()
        candidates = tuple(
            self._candidate(number, sighting, instruction.constraint)
            for number, sighting in enumerate(self._sightings(keyframe), 1)
        )
        return CandidateSet(
            keyframe_id=keyframe.id,
            stamp_ns=keyframe.frame.stamp_ns,
            instruction_id=instruction.id,
            model=self.name,
            latency_s=time.perf_counter() - start,
            candidates=candidates,
        )

    def _sightings(self, keyframe: Keyframe) -> tuple[_Sighting, ...]:
        key = keyframe_key(keyframe)
        known = self._seen.get(key)
        if known is None:
            known = tuple(
                _look(keyframe, proposal) for proposal in propose_instances(keyframe, self._configuration.proposals)
            )
            self._seen[key] = known
            while len(self._seen) > self._configuration.cached_keyframes:
                self._seen.popitem(last=False)
        self._seen.move_to_end(key)
        return known

    def _candidate(self, number: int, sighting: _Sighting, constraint: Constraint) -> Candidate:
        role, match = assign_role(self._relevance, constraint, sighting.names, sighting.attributes)
        # The label does not depend on the instruction: the fusion counts the votes of all of them.
        label = max(sighting.names, key=lambda name: sighting.names[name], default=UNKNOWN)
        known = label != UNKNOWN
        return Candidate(
            id=number,
            mask=sighting.proposal.mask,
            label=label if known else "",
            label_confidence=float(min(1.0, max(0.0, sighting.names[label]))) if known else 0.0,
            score=sighting.proposal.quality,
            role=role,
            attributes=sighting.attributes,
            reason=f"{describe_attributes(sighting.attributes)}: {_conclusion(label, match)}",
            embedding=sighting.embedding,
        )


def _look(keyframe: Keyframe, proposal: Proposal) -> _Sighting:
    attributes = measure(
        proposal.points_map, proposal.colors, keyframe.up, keyframe.floor_height_m, proposal.supported_by
    )
    return _Sighting(proposal, attributes, class_likelihoods(attributes), appearance(proposal.colors))


def _conclusion(label: str, match: Match | None) -> str:
    if match is not None and match.reason:
        return match.reason
    if label == UNKNOWN:
        return "no name fits"
    article = "an" if label[0] in "aeiou" else "a"
    return f"could be {article} {label}"

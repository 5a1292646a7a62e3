"""What a thing may be for an instruction: target, anchor, or part of the scene."""

from __future__ import annotations

from lira_ros.reasoning.constraint import Constraint, Phrase
from lira_ros.reasoning.contracts import Attributes, Role
from lira_ros.reasoning.relevance import CONFORM_SCORE, Match, Relevance


def assign_role(
    relevance: Relevance, constraint: Constraint, names: dict[str, float], attributes: Attributes
) -> tuple[Role, Match | None]:
    """Return the role of a thing with likely ``names`` and measured ``attributes``, and the match that gave it.

    A thing that fits both is what it fits better; context comes without a match.
    """
    best: tuple[Role, Match | None] = (Role.CONTEXT, None)
    best_score = CONFORM_SCORE
    for role, phrases in ((Role.TARGET, _target_phrases(constraint)), (Role.ANCHOR, _anchor_phrases(constraint))):
        for phrase in phrases:
            match = relevance.match(phrase, names, attributes)
            if match.score > best_score or (match.score == best_score and best[1] is None):
                best, best_score = (role, match), match.score
    return best


def _target_phrases(constraint: Constraint) -> tuple[Phrase, ...]:
    phrases = [constraint.phrase]
    for alternative in constraint.alternatives:
        phrases += _target_phrases(alternative)
    return tuple(phrases)


def _anchor_phrases(constraint: Constraint) -> tuple[Phrase, ...]:
    return tuple(anchor.phrase for anchor in constraint.anchors())

"""The parsed form of an instruction: a small program over names, metres and colours.

It is produced by the parser (reasoning.language), carried by Instruction and executed exactly by the
target inference (fusion.target_inference). Everything that the parser does not turn into a filter,
relation or rank stays as open text in a Phrase and is compared by the sentence encoder.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class RelationKind(Enum):
    """How a target stands to an anchor; the value is the wording used in reasons."""

    NEAR = "near"
    FAR = "far from"
    ON = "on"
    UNDER = "under"
    ABOVE = "above"
    INSIDE = "inside"
    HOLDS = "has on it"
    BETWEEN = "between"
    LEFT_OF = "left of"
    RIGHT_OF = "right of"
    IN_FRONT_OF = "in front of"
    BEHIND = "behind"


class RankKind(Enum):
    """By what targets are ordered; the value is the wording used in reasons."""

    SIZE = "size"
    HEIGHT = "height"
    LENGTH = "length"
    WIDTH = "width"
    ELEVATION = "height above the floor"
    DISTANCE = "distance"
    LATERAL = "position from left to right"
    MIDDLE = "distance from the middle of them all"


@dataclass(frozen=True)
class Phrase:
    """A noun phrase or an implicit need.

    text: open part, compared by meaning ("fruit basket", "i spilled coffee"). head: singular head noun, ""
    for an implicit need. colors: any of these basic colours; excluded_colors: none of these.
    shapes: measured words that must hold ("round", "long", "flat", "tall", "square", ...).
    implicit: the text states a need or situation, not a thing. unique: one thing is meant ("the basket"), so
    that a candidate that fits clearly worse than another does not conform.
    """

    text: str
    head: str = ""
    colors: tuple[str, ...] = ()
    excluded_colors: tuple[str, ...] = ()
    shapes: tuple[str, ...] = ()
    excluded_shapes: tuple[str, ...] = ()
    implicit: bool = False
    unique: bool = False


@dataclass(frozen=True)
class Relation:
    """The target stands in a relation to one anchor (two for BETWEEN); negated: it must not."""

    kind: RelationKind
    anchors: tuple[Constraint, ...]
    negated: bool = False


@dataclass(frozen=True)
class Rank:
    """Keep the ordinal-th of the targets in an order.

    descending: largest, farthest, rightmost first. ordinal: 1 = first, 2 = second. anchor: what a DISTANCE is measured
    to; None = the newest camera position.
    """

    kind: RankKind
    descending: bool
    ordinal: int = 1
    anchor: Constraint | None = None


@dataclass(frozen=True)
class Constraint:
    """What an instance must be to conform.

    phrase: what it is. relations: all must hold. rank: applied last. excluded: things that the targets must
    not be ("but not the round one"). count: how many are wanted, None = all that conform. at_least: with fewer than
    these nothing conforms ("if there are more than two").
    alternatives: other constraints that are just as good ("a sofa or a chair"), joined by or.
    """

    phrase: Phrase
    relations: tuple[Relation, ...] = ()
    rank: Rank | None = None
    excluded: tuple[Constraint, ...] = ()
    count: int | None = None
    at_least: int | None = None
    alternatives: tuple[Constraint, ...] = ()

    def anchors(self) -> tuple[Constraint, ...]:
        """Return every anchor that relations and ranks refer to, nested ones included."""
        found: list[Constraint] = []
        for relation in self.relations:
            for anchor in relation.anchors:
                found += [anchor, *anchor.anchors()]
        if self.rank is not None and self.rank.anchor is not None:
            found += [self.rank.anchor, *self.rank.anchor.anchors()]
        for alternative in self.alternatives:
            found += alternative.anchors()
        return tuple(found)


def is_plain_name(constraint: Constraint) -> bool:
    """Return whether things are asked for by name alone ("the red mug", "chairs", "two lamps or a candle").

    Such an instruction needs no reasoning: a detector that takes names finds what is meant, and words and measures
    decide. Colours, shapes and a number may be said; no need, relation, rank, exclusion or open description. A name
    of several words that end in its head ("office chair") is plain, a clause after it ("chair with wheels") is not.
    """
    phrase = constraint.phrase
    named = bool(phrase.head) and not phrase.implicit and phrase.text.split()[-1:] == [phrase.head]
    refused = phrase.excluded_colors or phrase.excluded_shapes or constraint.excluded
    if not named or refused or constraint.relations or constraint.rank is not None or constraint.at_least is not None:
        return False
    return all(is_plain_name(alternative) for alternative in constraint.alternatives)

"""Which names a detector looks for, so that an instruction can be judged: those of its targets and of its anchors."""

from __future__ import annotations

from lira_ros.reasoning.constraint import Constraint, Phrase
from lira_ros.reasoning.contracts import Attributes
from lira_ros.reasoning.knowledge import classes, core_noun, find_class, kinds
from lira_ros.reasoning.language.lexicon import HYPERNYM_HEADS
from lira_ros.reasoning.plain_text import plain_text
from lira_ros.reasoning.relevance import CONFORM_SCORE, Relevance

# Names that are looked for where an instruction states a use: its best answer is among the first of them (measured for
# the sentence encoder: 95 of 100 needs within three names).
NAMES_OF_A_NEED = 5
# Longer than any name; what is longer is no name.
MAX_NAME_CHARACTERS = 40


def detector_phrases(constraint: Constraint, relevance: Relevance, limit: int) -> tuple[str, ...]:
    """Return at most ``limit`` names, targets first, each once; colours and measures are judged later, on the mask."""
    wanted = [phrase for part in _targets(constraint) for phrase in _names(part.phrase, relevance)]
    for other in (*constraint.anchors(), *constraint.excluded):
        wanted += _names(other.phrase, relevance)
    return tuple(dict.fromkeys(wanted))[:limit]


def _targets(constraint: Constraint) -> list[Constraint]:
    return [constraint, *(part for other in constraint.alternatives for part in _targets(other))]


def _names(phrase: Phrase, relevance: Relevance) -> list[str]:
    known = find_class(phrase.text) if phrase.head else None
    general = phrase.head in kinds() | HYPERNYM_HEADS and known is None
    if phrase.head and not phrase.implicit and not general:
        name = core_noun(phrase.text)
        # "basket with fruit" is a basket; a text that does not end in its noun is described, not named.
        named = name if name.split()[-1:] == [phrase.head] else phrase.head
        return [plain_text(named, MAX_NAME_CHARACTERS).lower()]
    if not phrase.text:
        # Anything counts: the most common things.
        scored = sorted(
            ((known.prior, name) for name, known in classes().items()), key=lambda item: (-item[0], item[1])
        )
        return [name for _, name in scored]
    scored = [(relevance.match(phrase, {name: 1.0}, Attributes()).score, name) for name in classes()]
    scored.sort(key=lambda item: (-item[0], item[1]))
    fitting = [name for score, name in scored if score >= CONFORM_SCORE]
    return (fitting or [name for _, name in scored])[:NAMES_OF_A_NEED]

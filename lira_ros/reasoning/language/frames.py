"""Sentences whose parts are told by their roles rather than by their order.

"Measured from the sofa, which lamp is the nearest?", "the sofa on one side and the lamp on the other, what is in the
middle?", "what does the mug stand on?": the things are found first, then what each of them is for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from lira_ros.reasoning.constraint import Rank, RankKind, Relation, RelationKind
from lira_ros.reasoning.knowledge import find_class, vocabulary
from lira_ros.reasoning.language import lexicon
from lira_ros.reasoning.language.grammar import Cursor, Draft
from lira_ros.reasoning.language.lexicon import phrases, word_set

# Words that head a noun phrase without naming a thing.
_NO_THINGS = word_set(
    """
    distance middle side way line end gap space place point spot one number size course direction list collection
    name sort kind thing object item rank order question answer mark look side somewhere something anything everything
    piece furniture contents content edge position top bottom home house room other opposite
    """
)
_REFERENCE_WORDS = word_set(
    """
    measured measuring seen viewed starting start stand standing stood relative relation respect distance distances
    far judged going judging looking look counted counting reckoned compared beginning coming away near
    """
)
_REFERENCE_PREPOSITIONS = word_set("from to at of")
_BETWEEN_CUES = phrases(
    "in the middle|one side|either side|both sides|opposite side|the other side|other end|on the way from|way from|"
    "line from|from one|flanked|separates|separating|halfway|half way|going from|walking from|in between|sandwiched|"
    "between them|comes after|surrounded on"
)
_HOLDING_VERBS = word_set("carries carry holds hold supports support contains contain bears bear keeps encloses")
_PREPOSITIONS_LEFT = {"on": True, "upon": True, "onto": True, "in": True, "inside": True, "into": True, "within": True}
_ASKING = word_set("what which where whatever something thing object that of furniture")
_SOMETHING = word_set("something anything")
_NO_KINDS = word_set("thing object item something place")


@dataclass(frozen=True)
class Mention:
    """A thing named in a sentence: its words from start to end (excluded), and what was read of it."""

    start: int
    end: int
    draft: Draft


def mentions(tokens: Sequence[str]) -> list[Mention]:
    """Return the noun phrases of a sentence that begin with an article, "which" or a number, in order."""
    found: list[Mention] = []
    index = 0
    while index < len(tokens):
        word = tokens[index]
        bare_noun = lexicon.singular(word) in vocabulary() and lexicon.is_plural(word) and word not in lexicon.POSTURES
        opens = word in lexicon.DETERMINERS | lexicon.COLORS.keys() or word in {"which", "what"} or bare_noun
        if not opens:
            index += 1
            continue
        start = index + (word in {"which", "what"})
        cursor = Cursor(_ended(tokens, start))
        cursor.position = start
        draft = Draft()
        cursor.noun_run(draft, 1)
        if draft.head and draft.head not in _NO_THINGS and cursor.position > start:
            found.append(Mention(index, cursor.position, draft))
        index = max(cursor.position, index + 1)
    return found


def _ended(tokens: Sequence[str], start: int) -> list[str]:
    """Return the tokens up to the first word after ``start`` that follows a known name and is none itself.

    "The lamp stands", "the lamp you see": a verb ends the noun phrase although no list knows it.
    """
    end = None
    for index in range(start, min(len(tokens), start + 8)):
        word = tokens[index]
        following = tokens[index + 1] if index + 1 < len(tokens) else ","
        # "The orange lies there", but "the orange lamp".
        fruit = following in lexicon.POSTURES | lexicon.STOPS or following == ","
        known = (word not in lexicon.COLORS or fruit) and {word, lexicon.singular(word)} & vocabulary()
        if end is not None and word in lexicon.POSTURES:
            break
        if known:
            end = index + 1
        elif (end is not None and word not in lexicon.COLORS and word != "of") or word in lexicon.STOPS or word == ",":
            break
    return list(tokens if end is None else tokens[:end])


def distance_frame(tokens: list[str]) -> Draft | None:
    """Read a rank by distance whose anchor stands elsewhere: "as seen from the door, which bin is the nearest"."""
    place = _free_distance_rank(tokens)
    if place is None:
        return None
    named = mentions(tokens)
    anchor = _reference(tokens, named)
    if anchor is None:
        return None
    cursor = Cursor(tokens)
    rank = cursor.rank_at(place)
    assert rank is not None
    others = [mention for mention in named if mention.end <= anchor.start or mention.start >= anchor.end]
    target = _ranked_mention(others, place)
    draft = Draft(pronoun=True) if target is None else target.draft
    reader = Cursor(tokens)
    reader.position = anchor.start
    whole = reader.noun_phrase(1)
    whole.definite = True
    draft.rank = Rank(RankKind.DISTANCE, rank[1], rank[2], whole.constraint())
    draft.count = None
    return draft


def reference_frame(tokens: list[str]) -> tuple[Draft, Draft | None] | None:
    """Read what distances are taken from and of what ("the distances of the lamps to the door"), None for neither."""
    asked = any(pair == ("how", "far") for pair in pairwise(tokens))
    if not (asked or {"distance", "distances"} & set(tokens)):
        return None
    named = mentions(tokens)
    anchor = _reference(tokens, named)
    if anchor is None:
        return None
    reader = Cursor(tokens)
    reader.position = anchor.start
    ranked = next((mention.draft for mention in named if mention is not anchor), None)
    return reader.noun_phrase(1), ranked


def _free_distance_rank(tokens: list[str]) -> int | None:
    """Return where a rank by distance stands that has no anchor of its own."""
    cursor = Cursor(tokens)
    index = 0
    while index < len(tokens):
        rank = cursor.rank_at(index)
        if rank is None or rank[0] is not RankKind.DISTANCE:
            index += 1
            continue
        after = index + rank[3]
        while after < len(tokens) and tokens[after] in {"away", "off", "one"}:
            after += 1
        if tokens[after : after + 1] in (["to"], ["from"]):
            viewer = tokens[after + 1 : after + 2]
            if viewer and (viewer[0] in lexicon.DETERMINERS or viewer[0] in lexicon.VIEWER | {"there", "it"}):
                return None
        return index
    return None


def _reference(tokens: list[str], named: list[Mention]) -> Mention | None:
    """Return the thing from which distances are taken."""
    behind = [
        mention for mention in named if mention.start and tokens[mention.start - 1] in _REFERENCE_PREPOSITIONS - {"of"}
    ]
    for mention in behind:
        if _REFERENCE_WORDS & set(tokens[max(0, mention.start - 6) : mention.start]):
            return mention
    return behind[0] if len(behind) == 1 and behind[0].start <= 2 else None


def _ranked_mention(named: list[Mention], place: int) -> Mention | None:
    """Return the things that are ranked: the phrase that holds the rank, else the nearest one before, else after it."""
    holding = next((mention for mention in named if mention.start <= place < mention.end), None)
    if holding is not None:
        return holding
    before = [mention for mention in named if mention.end <= place]
    after = [mention for mention in named if mention.start > place]
    return before[-1] if before else after[0] if after else None


def between_frame(tokens: list[str]) -> Draft | None:
    """Read a sentence about what is between two things in other words than "between the lamp and the door"."""
    cue = any(
        tuple(tokens[index : index + len(words)]) == words for words in _BETWEEN_CUES for index in range(len(tokens))
    )
    if not cue:
        return None
    named = mentions(tokens)
    if len(named) != 3:
        return None
    target = _middle(tokens, named)
    first, second = (mention.draft for mention in named if mention is not target)
    draft = target.draft
    draft.relations.append(Relation(RelationKind.BETWEEN, (first.constraint(), second.constraint())))
    return draft


def _middle(tokens: list[str], named: list[Mention]) -> Mention:
    """Return which of three things is the one between the others."""
    for mention in named:
        if tokens[mention.start] in {"which", "what", "a", "an"}:
            return mention
    for first in (0, 1):
        # "From the lamp to the door", "the bed from the box": a pair, whatever "and" stands elsewhere.
        if {"to", "from"} & set(tokens[named[first].end : named[first + 1].start]):
            return named[2] if first == 0 else named[0]
    joined = [
        index
        for index in range(2)
        if "and" in tokens[named[index].end : named[index + 1].start]
        or "to" in tokens[named[index].end : named[index + 1].start]
    ]
    return named[2] if joined and joined[0] == 0 and 1 not in joined else named[0]


def holder_frame(tokens: list[str]) -> Draft | None:
    """Read a question for what carries or contains a thing: "what is the mug on?", "which thing holds the ball?"."""
    named = mentions(tokens)
    things = [mention for mention in named if mention.draft.head not in _SOMETHING]
    if not things or not _ASKING & set(tokens):
        return None
    things = [mention for mention in things if find_class(" ".join(mention.draft.words)) is not None]
    if not things:
        return None
    holder = _holder_asked(tokens, things)
    if holder is not None:
        holder.draft.definite = True
        return Draft(relations=[Relation(RelationKind.INSIDE, (holder.draft.constraint(),))])
    held = _stranded(tokens, things) or _held_by_verb(tokens, things)
    if held is None:
        return None
    held.draft.definite = True
    draft = Draft(relations=[Relation(RelationKind.HOLDS, (held.draft.constraint(),))])
    kind = next((word for word in tokens[: held.start] if word in lexicon.HYPERNYM_HEADS - _NO_KINDS), "")
    if kind:
        draft.words, draft.head = [kind], kind
    return draft


def _holder_asked(tokens: list[str], things: list[Mention]) -> Mention | None:
    """Return the thing of "what does the box contain?", "which objects does the bowl hold inside?"."""
    for mention in things:
        asked = mention.start and tokens[mention.start - 1] in {"does", "do", "did"}
        if asked and mention.end < len(tokens) and tokens[mention.end] in _HOLDING_VERBS:
            return mention
    return None


def _stranded(tokens: list[str], things: list[Mention]) -> Mention | None:
    """Return the thing of "what does the mug stand on", "on what is the mug standing", "that the mug lies in"."""
    last = tokens[-1]
    fronted = tokens[0] in _PREPOSITIONS_LEFT and tokens[1:2] in (["what"], ["which"])
    if fronted and tokens[1:2] == ["which"] and tokens[2:3] and things[0].start == 1:
        things = things[1:]
    if not things:
        return None
    if fronted:
        return things[0]
    if last not in _PREPOSITIONS_LEFT:
        return None
    asked = [index for index, token in enumerate(tokens) if token in {"what", "that", "which", "where"}]
    # "Something to sit on" asks for a use; a thing with an article after the question is what is carried.
    held = [mention for mention in things if mention.draft.definite and any(index <= mention.start for index in asked)]
    return held[-1] if held and asked else None


def _held_by_verb(tokens: list[str], things: list[Mention]) -> Mention | None:
    """Return the thing of "which object carries the lamp", "find what contains the ball"."""
    for index, token in enumerate(tokens):
        if token not in _HOLDING_VERBS or index == 0:
            continue
        after = next((mention for mention in things if mention.start == index + 1), None)
        subject = tokens[index - 1] in word_set("what which that thing object item something it whatever furniture")
        if after is not None and after.draft.definite and subject:
            return after
    return None

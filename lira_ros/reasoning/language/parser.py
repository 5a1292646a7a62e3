"""English instructions become constraints: noun phrases, ranks, relations, negation, numbers and needs by rules.

The parser never guesses a class: what it cannot turn into a colour, shape, rank, relation or number stays as
open text in the phrase, to be compared by meaning. It covers the instruction grammar of ReasonRecon (LIRA,
2025) and everyday phrasing: requests, questions, statements about a thing, and statements of a need.
"""

from __future__ import annotations

import unicodedata

from lira_ros.reasoning.constraint import Constraint, Phrase, Rank, RankKind
from lira_ros.reasoning.contracts import MAX_INSTRUCTION_CHARACTERS
from lira_ros.reasoning.language import lexicon
from lira_ros.reasoning.language.changes import asks_for_change
from lira_ros.reasoning.language.reading import Reading
from lira_ros.reasoning.language.sentences import foreign_because, split_sentences
from lira_ros.reasoning.plain_text import plain_text

# Of a refused text so much is repeated, enough to recognise it.
MAX_SHOWN_CHARACTERS = 60


class InstructionError(ValueError):
    """A text was refused; code is the name of a constant of lira_msgs/SubmitInstruction, message a sentence."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def parse(text: str, *, any_language: bool = False) -> Constraint:
    """Return the constraint that an English text states.

    any_language: a text that does not look like English becomes an open description as it stands, for back ends that
    read the instruction themselves. Raises InstructionError with code EMPTY_TEXT, TEXT_TOO_LONG or NOT_UNDERSTOOD, and
    nothing else.
    """
    if len(text) > MAX_INSTRUCTION_CHARACTERS:
        raise InstructionError(
            "TEXT_TOO_LONG",
            f"The instruction has {len(text)} characters; at most {MAX_INSTRUCTION_CHARACTERS} are accepted.",
        )
    letters = [character for character in text if character.isalpha()]
    if not letters and not any(character.isalnum() for character in text):
        raise InstructionError("EMPTY_TEXT", "The instruction is empty; say what to find, for example 'the red chair'.")
    latin = [character for character in letters if "LATIN" in unicodedata.name(character, "")]
    if not letters:
        raise _not_understood(text, "it has no words")
    sentences = split_sentences(text)
    if 2 * len(latin) < len(letters):
        problem = "it is not written in English letters"
    else:
        problem = foreign_because([token for sentence in sentences for token in sentence])
    if problem and any_language:
        return Constraint(Phrase(plain_text(text, MAX_INSTRUCTION_CHARACTERS), implicit=True))
    if problem:
        raise _not_understood(text, problem)
    spoken = " ".join(" ".join(sentence) for sentence in sentences)
    if asks_for_change(spoken):
        return Constraint(Phrase(spoken, implicit=True))
    try:
        constraint = Reading.of(sentences).constraint()
    except RecursionError:
        raise _not_understood(text, "it is nested too deeply") from None
    if constraint is None:
        words = [token for sentence in sentences for token in sentence if token != ","]
        if any(word not in lexicon.FUNCTION_WORDS for word in words):
            return Constraint(Phrase(" ".join(words), implicit=True))
        raise _not_understood(text, "it names nothing to look for")
    return constraint


def describe(constraint: Constraint) -> str:
    """Return a constraint in plain words, for example "red mug, on table, the largest"."""
    parts = [_describe_phrase(constraint)]
    for relation in constraint.relations:
        anchors = " and ".join(_describe_anchor(anchor) for anchor in relation.anchors)
        parts.append(("not " if relation.negated else "") + f"{relation.kind.value} {anchors}")
    if constraint.rank is not None:
        parts.append(_describe_rank(constraint.rank))
    parts += [f"but not {_describe_anchor(other)}" for other in constraint.excluded]
    parts += [f"if at least {constraint.at_least}"] if constraint.at_least is not None else []
    words = ", ".join(parts)
    for other in constraint.alternatives:
        words += f"; or {describe(other)}"
    return words


def _describe_phrase(constraint: Constraint) -> str:
    phrase = constraint.phrase
    words = [str(constraint.count)] if constraint.count is not None else []
    words += [f"not {color}" for color in phrase.excluded_colors]
    words += [f"not {shape}" for shape in phrase.excluded_shapes]
    words += [" or ".join(phrase.colors)] if phrase.colors else []
    words += list(phrase.shapes)
    if phrase.implicit:
        thing = " ".join([*words, phrase.head or "whatever"])
        return f'{thing} that answers "{phrase.text}"'
    return " ".join([*words, phrase.text or "anything"])


def _describe_anchor(constraint: Constraint) -> str:
    words = describe(constraint)
    return f"({words})" if "," in words or ";" in words else words


def _describe_rank(rank: Rank) -> str:
    names = {
        (RankKind.SIZE, True): "largest",
        (RankKind.SIZE, False): "smallest",
        (RankKind.HEIGHT, True): "tallest",
        (RankKind.HEIGHT, False): "least tall",
        (RankKind.LENGTH, True): "longest",
        (RankKind.LENGTH, False): "shortest",
        (RankKind.WIDTH, True): "widest",
        (RankKind.WIDTH, False): "narrowest",
        (RankKind.ELEVATION, True): "highest above the floor",
        (RankKind.ELEVATION, False): "lowest above the floor",
        (RankKind.DISTANCE, True): "farthest",
        (RankKind.DISTANCE, False): "closest",
        (RankKind.LATERAL, True): "rightmost",
        (RankKind.LATERAL, False): "leftmost",
        (RankKind.MIDDLE, False): "one in the middle",
    }
    ordinals = {1: "", 2: "second ", 3: "third "}
    words = f"the {ordinals.get(rank.ordinal, f'{rank.ordinal}th ')}{names[rank.kind, rank.descending]}"
    if rank.kind is RankKind.DISTANCE:
        preposition = "from" if rank.descending else "to"
        words += f" {preposition} " + ("the camera" if rank.anchor is None else _describe_anchor(rank.anchor))
    return words


def _not_understood(text: str, why: str) -> InstructionError:
    shown = plain_text(text, MAX_SHOWN_CHARACTERS)
    return InstructionError(
        "NOT_UNDERSTOOD",
        f"I could not understand {shown!r}: {why}. Please write it in English, for example 'find the red chair'.",
    )

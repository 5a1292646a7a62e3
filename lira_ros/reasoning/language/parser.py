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
from lira_ros.reasoning.language.grammar import Cursor, Draft
from lira_ros.reasoning.language.lead_ins import looks_like_object, strip_lead_ins
from lira_ros.reasoning.language.lexicon import word_set
from lira_ros.reasoning.language.sentences import foreign_because, split_sentences


class InstructionError(ValueError):
    """A text was refused; code is the name of a constant of lira_msgs/SubmitInstruction, message a sentence."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def parse(text: str) -> Constraint:
    """Return the constraint that an English text states.

    Raises InstructionError with code EMPTY_TEXT, TEXT_TOO_LONG or NOT_UNDERSTOOD, and nothing else.
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
    if 2 * len(latin) < len(letters) or not letters:
        raise _not_understood(text, "it is not written in English letters" if letters else "it has no words")
    sentences = split_sentences(text)
    problem = foreign_because([token for sentence in sentences for token in sentence])
    if problem:
        raise _not_understood(text, problem)
    reading = _Reading()
    for sentence in sentences:
        reading.add(sentence)
    constraint = reading.constraint()
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
    }
    ordinals = {1: "", 2: "second ", 3: "third "}
    words = f"the {ordinals.get(rank.ordinal, f'{rank.ordinal}th ')}{names[rank.kind, rank.descending]}"
    if rank.kind is RankKind.DISTANCE:
        preposition = "from" if rank.descending else "to"
        words += f" {preposition} " + ("the camera" if rank.anchor is None else _describe_anchor(rank.anchor))
    return words


def _not_understood(text: str, why: str) -> InstructionError:
    shown = text.strip()[:60] + ("..." if len(text.strip()) > 60 else "")
    return InstructionError(
        "NOT_UNDERSTOOD",
        f"I could not understand {shown!r}: {why}. Please write it in English, for example 'find the red chair'.",
    )


class _Reading:
    """What the sentences so far asked for."""

    def __init__(self) -> None:
        self.target: Draft | None = None
        self.needs: list[str] = []

    def add(self, tokens: list[str]) -> None:
        """Take in one sentence."""
        for clause in _clauses(tokens):
            self._add_clause(clause)

    def constraint(self) -> Constraint | None:
        """Return the constraint, or None when nothing was asked for."""
        target = self.target
        need = ". ".join(self.needs)
        if target is None or target.bare:
            if not need:
                return None
            draft = target or Draft()
            draft.implicit_text = need
            return draft.constraint()
        if need and target.generic and not target.alternatives:
            own = " ".join([*target.words, *target.extras])
            target.implicit_text = f"{need}. {own}" if own else need
        return target.constraint()

    def _add_clause(self, tokens: list[str]) -> None:
        start, requested = strip_lead_ins(tokens)
        rest = tokens[start:]
        if not rest or (len(rest) == 1 and rest[0] in lexicon.REQUEST_VERBS - lexicon.AMBIGUOUS_VERBS):
            return
        if not requested and _is_need(rest, self.target is not None):
            draft = _parse_need(rest)
            self.needs.append(draft.implicit_text)
            if draft.relations or draft.excluded:
                draft.implicit_text = ""
                draft.words, draft.extras = [], []
                self._take(draft)
            return
        requested = requested or rest[0] in {"which", "what", "whose"}
        cursor = Cursor(rest)
        draft = cursor.sentence(self.target)
        if not requested and _is_definition(rest, draft):
            # A description of a use ("a place to keep books in") is compared as a whole.
            draft.implicit_text = " ".join(token for token in rest if token != ",")
            draft.alternatives = []
            draft.relations = [relation for relation in draft.relations if relation in cursor.definite_relations]
            draft.excluded = []
        elif not requested and cursor.is_statement and not draft.relations and draft.rank is None:
            # "The floor is dirty": a situation, not a thing to find.
            self.needs.append(" ".join(token for token in rest if token != ","))
            return
        self._take(draft)

    def _take(self, draft: Draft) -> None:
        if self.target is None:
            self.target = draft
        elif draft.bare:
            return
        elif draft.generic or draft.head == self.target.head or self.target.generic:
            self.target.merge(draft)
        elif draft.definite and not self.target.definite:
            self.target.alternatives.append(draft)
        else:
            self.target.alternatives.append(draft)


def _clauses(tokens: list[str]) -> list[list[str]]:
    """Split a statement of a need from the request after it: "i am hungry , bring me to ..."."""
    starters = word_set(
        """
        i we my our it if when since because as he she they there the someone somebody looking facing while
        after before from starting of
        """
    )
    if not tokens or tokens[0] not in starters:
        return [tokens]
    for index in range(1, len(tokens) - 1):
        if tokens[index] not in {",", "so", "and", "then"}:
            continue
        after = index + 1
        while after < len(tokens) and tokens[after] in word_set(", so and then please just"):
            after += 1
        if after >= len(tokens):
            break
        head = tokens[:index]
        if not any(token in lexicon.COPULAS | word_set("am have has need want would like") for token in head) and (
            tokens[0] in {"the", "it"}
        ):
            continue
        rest = tokens[after:]
        request = (rest[0] in lexicon.REQUEST_VERBS and (len(rest) > 1 and looks_like_object(rest[1]))) or (
            len(rest) > 1 and rest[0] in {"can", "could", "would", "will"} and rest[1] == "you"
        )
        question = rest[0] in {"where", "which", "what"} or rest[:2] in (["is", "there"], ["are", "there"])
        statement = tokens[index] == "," and rest[:2] in (
            ["this", "is"],
            ["it", "is"],
            ["these", "are"],
            ["this", "would"],
        )
        if (
            tokens[index] == ","
            and tokens[0] in lexicon.VIEWPOINTS
            and not set(head) & {"i", "we", "my", "need", "want"}
        ):
            return [rest]  # where to look from: cannot be evaluated, the camera decides what is left and right
        if request or question or statement:
            return [[token for token in head if token != ","] or head, rest]
    return [tokens]


def _is_need(tokens: list[str], continued: bool) -> bool:
    if any(tuple(tokens[: len(question)]) == question for question in lexicon.NEED_QUESTIONS):
        return True
    first = tokens[0]
    if first in {"it", "they", "this", "that"} and len(tokens) > 1 and tokens[1] in lexicon.COPULAS | {"has", "seems"}:
        return not continued
    if first in {"my", "our", "his", "her", "their"}:
        return any(token in lexicon.COPULAS | word_set("hurts hurt needs wants has have feels") for token in tokens)
    if first in {"there"}:
        return True
    return first in lexicon.NEED_SUBJECTS - {"this", "that"} and first not in {"before", "after"}


def _parse_need(tokens: list[str]) -> Draft:
    """Read a need; only relations to a definite thing are taken out of it ("sit near the window")."""
    cursor = Cursor(tokens)
    draft = Draft(purpose=True)
    cursor.open_clause(draft)
    while not cursor.done:
        before = cursor.position
        if not cursor.exclusion(draft) and not cursor.relation(draft, depth=0, definite_only=True):
            cursor.open_clause(draft)
        if cursor.position == before:
            cursor.position += 1
    draft.implicit_text = " ".join(token for token in tokens if token != ",")
    return draft


def _is_definition(tokens: list[str], draft: Draft) -> bool:
    if not draft.purpose and not any(token in lexicon.PURPOSE_MARKERS for token in tokens):
        return False
    if tokens[0] in lexicon.PURPOSE_MARKERS - {"to"} or tokens[0] in {"helps", "keeps", "holds", "stores"}:
        return True
    article = tokens[0] in {"a", "an", "the"}
    if tokens[0] in {"a", "an"} or draft.head in lexicon.HYPERNYM_HEADS or draft.generic:
        clause = any(
            token in lexicon.USES
            or (
                token == "to"
                and following not in lexicon.DEFINITE | {"left", "right"}
                and before
                not in word_set("belonging belong belongs next close closer closest nearest adjacent need needs")
            )
            for before, token, following in zip(["", *tokens], tokens, [*tokens[1:], "the"], strict=False)
        )
        return clause and not (draft.generic and draft.relations and not article) and (article or bool(draft.head))
    return False

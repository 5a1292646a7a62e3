"""Reading an instruction clause by clause: what is asked for, what only leads to it, what restricts it."""

from __future__ import annotations

from dataclasses import replace

from lira_ros.reasoning.constraint import Constraint, Rank, RankKind, Relation, RelationKind
from lira_ros.reasoning.knowledge import vocabulary
from lira_ros.reasoning.language import lexicon
from lira_ros.reasoning.language.clauses import read_restriction, split_requests, without_asides
from lira_ros.reasoning.language.frames import between_frame, distance_frame, holder_frame, mentions, reference_frame
from lira_ros.reasoning.language.grammar import Cursor, Draft, room_name
from lira_ros.reasoning.language.lead_ins import looks_like_object, strip_lead_ins
from lira_ros.reasoning.language.lexicon import word_set
from lira_ros.reasoning.language.situations import asks_for_use, is_known, is_riddle, states_situation

# Where one looks, goes or begins is on the way to what is asked for, when something else is asked for afterwards.
_ATTENTION = word_set(
    "look looking go start starting begin stand walk check take consider reach turn move drive approach visit search"
)


# Words that make "more than two" a condition and not a description.
_CONDITION = word_set("if otherwise else should unless number")
# "What has to go?" after "clear the table" adds nothing.
_LEAVING = word_set("go come fall out off down left leave remain removed away what would has must have to be will do")
_POINTING = word_set(
    "it them they that those thing things one ones do does did stand stands lie lies be go lot name count"
)
# What is said of things that are looked for by their names: "somebody has taken the bench away", "my list says forks".
_SEEKING = word_set(
    "find found locate lost lose misplaced taken stolen borrowed shifted moved hidden disappeared vanished says lists "
    "mentions matter matters"
)
_UNNAMED = word_set("anything something thing what whatever which")
# Larger numbers of things are not counted in homes; they are years or prices.
MOST_ASKED = 100


class Reading:
    """What the sentences so far asked for."""

    def __init__(self, conditional: bool = False) -> None:
        self._conditional = conditional  # whether any sentence states a condition
        self.target: Draft | None = None
        self.needs: list[str] = []
        self._referents: list[Draft] = []  # what was named so far, the latest last
        self._passing = False  # whether the target so far was only looked at on the way
        self._reference: Draft | None = None  # what distances are taken from
        self._room: Relation | None = None  # where to go before anything is asked for
        self._at_least: int | None = None

    @staticmethod
    def of(sentences: list[list[str]]) -> Reading:
        """Return the reading of all sentences of a text."""
        reading = Reading(any(_CONDITION & set(sentence) for sentence in sentences))
        for sentence in sentences:
            reading.add(sentence)
        return reading

    def add(self, tokens: list[str]) -> None:
        """Take in one sentence."""
        tokens = self._without_condition(without_asides(tokens))
        if not tokens:
            return
        if tokens[0] in {"of", "among", "amongst"} and "," in tokens:
            tokens = tokens[1:]
            group, choice = tokens[: tokens.index(",")], tokens[tokens.index(",") + 1 :]
            if choice[:2] in (["this", "is"], ["it", "is"], ["these", "are"], ["they", "are"]):
                # "Among the boxes, this is the third one": what there is, and then which of them.
                self.add(group)
                tokens = choice
        if self.target is not None or self.needs:
            restriction = read_restriction(tokens)
            if restriction is not None:
                self._restrict(restriction)
                return
        framed = distance_frame(tokens) or between_frame(tokens)
        if framed is not None:
            self._take(framed, passing=False, asked=True)
            return
        for clause in _clauses(tokens):
            for part in split_requests(clause):
                self._add_clause(part)

    def constraint(self) -> Constraint | None:
        """Return the constraint, or None when nothing was asked for."""
        if self.target is None and not self.needs and self._room is not None:
            return self._room.anchors[0]  # a room itself is asked for
        found = self._constraint()
        return found if found is None or self._at_least is None else replace(found, at_least=self._at_least)

    def _constraint(self) -> Constraint | None:
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
        if self.target is not None and _says_nothing_new(tokens):
            return
        if self.target is None and not self.needs:
            unwanted = read_restriction(tokens)
            if unwanted is not None and unwanted.excluded_colors:
                self.target = unwanted
                return
        else:
            restriction = read_restriction(tokens)
            if restriction is not None:
                self._restrict(restriction)
                return
        if tokens[0] in {"of", "among", "amongst"}:
            tokens = tokens[1:] or tokens
        if _asks_for_use(tokens) or asks_for_use(tokens):
            self._add_need(tokens)
            return
        start, requested = strip_lead_ins(tokens)
        rest = tokens[start:]
        passing = bool(_ATTENTION & set(tokens[: start + 1])) and "for" not in tokens[: start + 1]
        if not rest or (len(rest) == 1 and rest[0] in lexicon.REQUEST_VERBS - lexicon.AMBIGUOUS_VERBS):
            return
        framed = holder_frame(tokens)
        if framed is not None:
            self._take(framed, passing=False, asked=True)
            return
        reference = reference_frame(tokens)
        if reference is not None:
            self._reference, ranked = reference
            if ranked is not None and self.target is None:
                self.target = ranked
            return
        continued = self.target is not None
        if not requested and (_is_need(rest, continued) or (not continued and states_situation(rest))):
            self._add_need(rest)
            return
        requested = requested or rest[0] in {"which", "what", "whose"}
        cursor = Cursor(rest, self._referents)
        draft = cursor.sentence(self.target)
        if not requested and _is_definition(rest, draft):
            # A description of a use ("a place to keep books in") is compared as a whole.
            draft.implicit_text = " ".join(token for token in rest if token != ",")
            draft.alternatives = []
            draft.relations = [relation for relation in draft.relations if relation in cursor.definite_relations]
            draft.excluded = []
        elif is_riddle(draft) and not (requested and draft.head):
            self._add_need(rest)
            return
        elif not requested and cursor.is_statement and not draft.relations and draft.rank is None:
            # "The floor is dirty": a situation, not a thing to find.
            self.needs.append(" ".join(token for token in rest if token != ","))
            return
        self._take(draft, passing, asked=requested and not passing, referred=cursor.referred)

    def _add_need(self, tokens: list[str]) -> None:
        if _SEEKING & set(tokens) and not _UNNAMED & set(tokens):
            named = [mention.draft for mention in mentions(tokens) if is_known(mention.draft.constraint())]
            for draft in named:
                self._take(draft, passing=False, asked=True)
            if named:
                return
        draft = _parse_need(tokens)
        self.needs.append(draft.implicit_text)
        if draft.relations or draft.excluded:
            draft.implicit_text = ""
            draft.words, draft.extras = [], []
            self._take(draft, passing=False, asked=False)

    def _without_condition(self, tokens: list[str]) -> list[str]:
        """Read "if there are more than two mugs" as a number that must be exceeded; return what is left to read."""
        asked = self._conditional or tokens[:1] in (["is"], ["are"]) or bool(_CONDITION & set(tokens))
        for index in range(len(tokens) - 2 if asked else 0):
            number = lexicon.NUMBERS.get(
                tokens[index + 2], int(tokens[index + 2]) if tokens[index + 2].isdecimal() else 0
            )
            more = tuple(tokens[index : index + 2]) == ("more", "than") or tokens[index + 1] in {"above", "exceeds"}
            if not (more and 0 < number < MOST_ASKED):
                continue
            self._at_least = number + 1
            named = tokens[index + 3 :]
            named = named[: named.index(",")] if "," in named else named
            before = tokens[:index]
            while before and before[-1] in _CONDITION | {"is", "are"} | lexicon.FUNCTION_WORDS | {","}:
                before.pop()
            return before or ["find", "all", *named] if named or before else []
        return tokens

    def _restrict(self, restriction: Draft) -> None:
        """Apply "it has to be red" to what was named before."""
        if self.target is None:
            self.target = restriction
            return
        for draft in (self.target, *self.target.alternatives):
            draft.merge(restriction)

    def _take(self, draft: Draft, passing: bool, asked: bool, referred: bool = False) -> None:
        """Take in what a clause names: the target, more of the target, or another target."""
        if draft.bare:
            return
        room = room_name(draft)
        if room and self.target is None:
            self._room = Relation(RelationKind.INSIDE, (Draft(words=[room], head=room).constraint(),))
            return
        if self._room is not None and not draft.relations:
            draft.relations.append(self._room)
        if draft.rank is not None and draft.rank.kind is RankKind.DISTANCE and draft.rank.anchor is None:
            self._refer_rank(draft)
        before = self.target
        if draft.head or draft.words:
            self._referents.append(draft)
        if before is None:
            self.target = draft
        elif draft.generic or draft.head == before.head or before.generic:
            if before.generic and draft.head:
                before.count = None  # "two sorts of things: cups and plates"
            before.merge(draft)
            draft = before
        elif referred or self._passing:
            self.target = draft
        else:
            before.alternatives.append(draft)
            return
        self._passing = passing

    def _refer_rank(self, draft: Draft) -> None:
        """Measure "the nearest" from what the sentences before looked at, not from the camera."""
        assert draft.rank is not None
        anchor = self._reference
        if anchor is None and self._passing and self.target is not None and self.target.head not in {"", draft.head}:
            anchor = self.target
        if anchor is not None:
            draft.rank = Rank(RankKind.DISTANCE, draft.rank.descending, draft.rank.ordinal, anchor.constraint())


def _says_nothing_new(tokens: list[str]) -> bool:
    """Whether a clause only repeats the request: "which one is it?", "show me where", "what has to go?"."""
    if all(token in _LEAVING for token in tokens):
        return True
    empty = lexicon.FUNCTION_WORDS | _POINTING
    plain = all(token in empty and token not in lexicon.SUPERLATIVES | lexicon.COMPARATIVES for token in tokens)
    related = any(tuple(tokens[index : index + 1]) in lexicon.RELATIONS for index in range(len(tokens)))
    return plain and not related


def _asks_for_use(tokens: list[str]) -> bool:
    """Whether "what" asks for something by what it does ("what keeps food fresh?"), not by its name or place."""
    if (
        len(tokens) < 3
        or tokens[0] != "what"
        or tokens[1] in lexicon.COPULAS | word_set("about else there color shape size kind")
    ):
        return False
    if lexicon.singular(tokens[1]) in vocabulary():
        return False
    if tokens[1] in {"do", "can", "did"} and tokens[2] == "you":
        return False
    cursor = Cursor(tokens)
    cursor.position = 1
    return holder_frame(tokens) is None and not any(
        cursor.relation_at(offset) is not None
        for offset in range(len(tokens) - 1 if tokens[1] in lexicon.POSTURES else 0)
    )


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
    stating = lexicon.COPULAS | word_set("am have has need want would like")
    stated = next((index for index, token in enumerate(tokens) if token in stating), len(tokens))
    for index in range(1, len(tokens) - 1):
        if tokens[index] not in {",", "so", "and", "then"}:
            continue
        after = index + 1
        while after < len(tokens) and tokens[after] in word_set(", so and then please just"):
            after += 1
        if after >= len(tokens):
            break
        head = tokens[:index]
        if stated >= index and tokens[0] in {"the", "it"}:
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
    # "Held over the head", "two hands, but no fingers": what no map holds describes the use, not the place.
    draft.relations = [relation for relation in draft.relations if all(map(is_known, relation.anchors))]
    draft.excluded = [other for other in draft.excluded if is_known(other.constraint())]
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

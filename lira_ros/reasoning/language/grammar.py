"""The grammar of instructions: noun phrases with what modifies them, read from left to right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from lira_ros.reasoning.constraint import Constraint, Phrase, Rank, RankKind, Relation, RelationKind
from lira_ros.reasoning.language import lexicon
from lira_ros.reasoning.language.lead_ins import strip_lead_ins
from lira_ros.reasoning.language.lexicon import word_set

# Anchors of anchors of anchors: nobody speaks deeper than this; beyond it words stay open text.
MAX_DEPTH = 4
# "Box-shaped", "modern-looking", "comfortable", "rustic", "basic": what such a word describes follows it.
_ADJECTIVE_ENDINGS = (
    "-shaped",
    "-like",
    "-looking",
    "-style",
    "able",
    "ible",
    "ful",
    "less",
    "ous",
    "ic",
    "ish",
    "al",
    "ive",
)
# So often one sentence may come back to the same thing ("the lamp is the red one, the one on the desk").
MAX_MENTIONS = 8


# Words before a noun that choose one of several by its place.
_PLACES_AMONG: dict[str, tuple[RankKind, bool]] = {
    "middle": (RankKind.MIDDLE, False),
    "central": (RankKind.MIDDLE, False),
    "top": (RankKind.ELEVATION, True),
    "upper": (RankKind.ELEVATION, True),
    "bottom": (RankKind.ELEVATION, False),
}


@dataclass
class Draft:
    """A constraint while it is being read."""

    words: list[str] = field(default_factory=list)  # the noun and its modifiers
    extras: list[str] = field(default_factory=list)  # open clauses after it
    head: str = ""
    pronoun: bool = False  # "one", "it": stands for a thing named before
    plural: bool = False
    definite: bool = False
    purpose: bool = False  # a use or a situation was described
    colors: list[str] = field(default_factory=list)
    excluded_colors: list[str] = field(default_factory=list)
    shapes: list[str] = field(default_factory=list)
    excluded_shapes: list[str] = field(default_factory=list)
    relations: list[Relation] = field(default_factory=list)
    rank: Rank | None = None
    ordinal: int = 0  # "second" waiting for "from the left"
    excluded: list[Draft] = field(default_factory=list)
    count: int | None = None
    alternatives: list[Draft] = field(default_factory=list)
    implicit_text: str = ""

    @property
    def bare(self) -> bool:
        """Whether nothing at all was said."""
        return not (
            self.words
            or self.extras
            or self.head
            or self.pronoun
            or self.colors
            or self.excluded_colors
            or self.shapes
            or self.excluded_shapes
            or self.relations
            or self.rank
            or self.excluded
            or self.implicit_text
            or self.alternatives
        )

    @property
    def generic(self) -> bool:
        """Whether no kind of thing was named."""
        return not self.head

    def merge(self, other: Draft) -> None:
        """Add what another mention of the same thing says."""
        if self.generic and (other.head or (other.words and not self.words)):
            self.words, self.head, self.plural = other.words, other.head, other.plural
            self.definite = self.definite or other.definite
        elif other.words and other.head != self.head and not other.pronoun:
            self.extras += other.words
        elif len(other.words) > len(self.words) and other.head == self.head:
            self.words = other.words
        self.extras += other.extras
        for name in ("colors", "excluded_colors", "shapes", "excluded_shapes", "relations", "excluded"):
            mine = getattr(self, name)
            mine += [item for item in getattr(other, name) if item not in mine]
        self.rank = other.rank or self.rank
        if other.rank is not None and other.pronoun and not other.plural:
            self.count = None  # "there are two bins, show me the smaller one"
        self.count = other.count if self.count is None else self.count
        self.purpose = self.purpose or other.purpose
        self.alternatives += other.alternatives

    def constraint(self, antecedent: Draft | None = None) -> Constraint:
        """Return the finished constraint; a pronoun takes the noun of the antecedent."""
        words, head = self.words, self.head
        if self.pronoun and antecedent is not None and not head:
            words, head = [*self.words, *antecedent.words], antecedent.head
        text = self.implicit_text or " ".join([*words, *self.extras])
        implicit = bool(self.implicit_text) or (
            self.purpose and (not head or head in lexicon.HYPERNYM_HEADS) and bool(text)
        )
        me = self if head else antecedent
        phrase = Phrase(
            text=text,
            head=head,
            colors=tuple(dict.fromkeys(self.colors)),
            excluded_colors=tuple(dict.fromkeys(self.excluded_colors)),
            shapes=tuple(dict.fromkeys(self.shapes)),
            excluded_shapes=tuple(dict.fromkeys(self.excluded_shapes)),
            implicit=implicit,
            unique=self.definite and not self.plural and bool(head) and not implicit and self.count in (None, 1),
        )
        return Constraint(
            phrase=phrase,
            relations=tuple(self.relations),
            rank=self.rank,
            excluded=tuple(other.constraint(me) for other in self.excluded),
            count=self.count,
            alternatives=tuple(other.constraint(me) for other in self.alternatives),
        )


def room_name(draft: Draft) -> str:
    """Return the kind of room that a noun names, "" when it is no room of a known kind."""
    return lexicon.ROOM_NAMES.get(" ".join(draft.words), lexicon.ROOM_NAMES.get(draft.head, ""))


class Cursor:
    """Reads the words of one sentence from left to right.

    referents: what earlier sentences named; "on it" and "from that lamp" mean the latest that fits.
    """

    def __init__(self, tokens: list[str], referents: Sequence[Draft] = ()) -> None:
        self._tokens = tokens
        self._referents = referents  # what was named before, the latest last
        self.referred = False  # whether "it", "there" or "that lamp" stood for one of them
        self.position = 0
        self.is_statement = False
        self._mentions = 0
        self._fronting = False
        self._pairing = False  # whether "and the" leads to the second thing of "between"
        self.definite_relations: list[Relation] = []

    @property
    def done(self) -> bool:
        """Whether all words were read."""
        return self.position >= len(self._tokens)

    def peek(self, offset: int = 0) -> str:
        """Return the word at an offset, "" beyond the ends."""
        index = self.position + offset
        return self._tokens[index] if 0 <= index < len(self._tokens) else ""

    def _match(self, words: tuple[str, ...], offset: int = 0) -> bool:
        start = self.position + offset
        return tuple(self._tokens[start : start + len(words)]) == words

    def relation_at(self, offset: int = 0) -> tuple[RelationKind, int] | None:
        """Return the longest relation that begins here and its number of words."""
        start = self.position + offset
        for length in range(lexicon.LONGEST_RELATION, 0, -1):
            kind = lexicon.RELATIONS.get(tuple(self._tokens[start : start + length]))
            if kind is not None and start + length <= len(self._tokens):
                return kind, length
        return None

    def rank_at(self, offset: int = 0) -> tuple[RankKind, bool, int, int] | None:
        """Return (kind, descending, ordinal, words) of a superlative that begins here."""
        length, ordinal = 0, 1
        word = self.peek(offset)
        if word in lexicon.ORDINALS:
            ordinal, length = lexicon.ORDINALS[word], 1
            if (word == "next" and self.peek(offset + 1) == "to") or (
                self.peek(offset + 1) == "to" and self.peek(offset + 2) in lexicon.SUPERLATIVES
            ):
                length = 2
            word = self.peek(offset + length)
        if word in lexicon.SUPERLATIVES:
            kind, descending = lexicon.SUPERLATIVES[word]
            return kind, descending, ordinal, length + 1
        if word in {"most", "least"} and self.peek(offset + length + 1) in lexicon.GRADABLE:
            kind, descending = lexicon.GRADABLE[self.peek(offset + length + 1)]
            return kind, descending == (word == "most"), ordinal, length + 2
        if word in lexicon.COMPARATIVES and self.peek(offset + length + 1) != "than":
            kind, descending = lexicon.COMPARATIVES[word]
            return kind, descending, ordinal, length + 1
        return None

    def _lateral_at(self, offset: int = 0) -> tuple[bool, int] | None:
        """Return (right?, words) of "on the left", "to your right", "from the left" that begins here."""
        if self.peek(offset) not in {"on", "to", "from", "at"}:
            return None
        length = 1
        while self.peek(offset + length) in word_set("the your my far very its our"):
            length += 1
        side = self.peek(offset + length)
        if side not in {"left", "right"}:
            return None
        length += 1
        while self.peek(offset + length) in {"side", "end"}:
            length += 1
        following = self.peek(offset + length)
        if following == "of" or (following and self._is_content(following, offset + length)):
            return None
        return side == "right", length

    def _is_content(self, word: str, offset: int) -> bool:
        """Whether a word can be part of a noun phrase here."""
        if word == "can" and self.peek(offset - 1) in lexicon.CAN_NOUNS | {"a", "the", "one", "tin", "empty"}:
            return True
        if (
            not word
            or word in lexicon.STOPS
            or word in lexicon.MODALS
            or word in {",", "there", "please", "here", "that"}
        ):
            return False
        return self.relation_at(offset) is None and word not in lexicon.DETERMINERS

    # ---- sentence -------------------------------------------------------------------------------------------

    def sentence(self, antecedent: Draft | None) -> Draft:
        """Read the whole sentence as a description of the target."""
        fronted: Draft | None = None
        if self.peek() in {"which", "what", "whose"}:
            self.position += 1
            if self.peek() == "of":
                self.position += 1
        if self.peek() not in {"left", "right"} and self.relation_at() is not None and self._lateral_at() is None:
            fronted = Draft()
            start = self.position
            self._fronting = True
            found = self.relation(fronted, depth=0)
            self._fronting = False
            if not found or self.done:
                self.position = start if fronted.bare else self.position
                if not fronted.bare:
                    return fronted
                fronted = None
            else:
                while self.peek() in word_set(
                    """
                    , is are there was were stands sits lies you can see find segment locate
                    show pick me out select we will this it these
                    """
                ):
                    self.position += 1
        draft = self.noun_phrase(depth=0)
        if fronted is not None:
            draft.merge(fronted)
        while not self.done:
            before = self.position
            self.modifiers(draft, depth=0)
            if self.position == before:
                draft.extras += [] if self.peek() == "," else [self.peek()]
                self.position += 1
        if antecedent is None and draft.pronoun and draft.generic:
            draft.pronoun = False
        return draft

    # ---- noun phrase ----------------------------------------------------------------------------------------

    def noun_phrase(self, depth: int) -> Draft:
        """Read determiners, adjectives and nouns, then everything that modifies them."""
        draft = Draft()
        self.noun_run(draft, depth)
        self.modifiers(draft, depth)
        return draft

    def noun_run(self, draft: Draft, depth: int) -> None:
        """Read determiners, adjectives and nouns, without what follows them."""
        words = draft.words
        while not self.done:
            word = self.peek()
            following = self.peek(1)
            if word in {"here", "there", "please"} or (word in {"over", "out"} and following in {"here", "there"}):
                self.position += 1
                continue
            if word == "either" and not words:
                self.position += 1
                continue
            if word == "both" and not words:
                # "Both the cups and the plates" are not two.
                if "and" not in self._tokens[self.position :]:
                    draft.count = 2
                self.position += 1
                if self.peek() == "of":
                    self.position += 1
                continue
            rank = None if words else self.rank_at()
            if rank is not None and self._accept_rank(draft, rank, depth):
                continue
            if word in lexicon.ORDINALS and not words and following and word != "next":
                draft.ordinal = lexicon.ORDINALS[word]
                self.position += 1
                continue
            if (
                word in {"left", "right"}
                and not words
                and (self._is_content(following, 1) or following in {"one", "ones"})
            ):
                draft.rank = Rank(RankKind.LATERAL, descending=word == "right")
                self.position += 1
                continue
            if word in _PLACES_AMONG and not words and (self._is_content(following, 1) or following in {"one", "ones"}):
                draft.rank = Rank(*_PLACES_AMONG[word])
                self.position += 1
                continue
            if (word in lexicon.NUMBERS or word.isdigit()) and not words and self._number(draft):
                continue
            if word in word_set("one ones it them he she") and not words:
                draft.pronoun = True
                draft.plural = draft.plural or word in {"ones", "them"}
                self.position += 1
                break
            if word in {"one", "ones"} and self._only_adjectives(words):
                draft.pronoun = True
                self.position += 1
                break
            if word == "of" and self._transparent(draft, depth):
                continue
            if word in lexicon.DETERMINERS and not (words and word in lexicon.DEFINITE | {"a", "an"}):
                draft.definite = draft.definite or word in lexicon.DEFINITE
                self.position += 1
                continue
            if word in {"other", "another", "remaining"} and following not in {"", "than"} and not words:
                self.position += 1
                continue
            if word in lexicon.CLASS_WORDS and self._is_content(following, 1) and not words:
                self.position += 1
                continue
            if word == "," and words and self._only_adjectives(words) and self._is_content(following, 1):
                self.position += 1
                continue
            if word == "," and not words and (draft.colors or draft.shapes) and self._is_content(following, 1):
                self.position += 1
                continue
            if (
                word in {"and", "but"}
                and set(words) <= lexicon.INDEFINITE_PRONOUNS
                and (draft.colors or draft.shapes)
                and following in (lexicon.COLORS.keys() | lexicon.SHAPES.keys())
            ):
                self.position += 1
                continue
            if self._color(draft) or self._shape(draft):
                continue
            shaded = word.endswith("ly") and following in lexicon.COLORS.keys() | lexicon.SHAPES.keys()
            if (word in lexicon.ADVERBS or shaded) and not words and word not in {"only", "somewhere"}:
                self.position += 1
                continue
            if not self._is_content(word, 0) or any(self._match(opener) for opener in lexicon.EXCLUSIONS):
                break
            if words and (word in {"several", "people"} or (word in lexicon.NUMBERS and word != "one")):
                break  # "somewhere several people can sit"
            if self._fronting and word in {"stands", "sits", "lies", "hangs", "stand"}:
                break
            if words and (word in lexicon.POSTURES or word in lexicon.ADVERBS) and self._leads_to_relation():
                break
            if words and (self.rank_at() is not None or self._lateral_at() is not None):
                break
            if words and word in lexicon.REQUEST_VERBS and following in {"it", "them", "me"}:
                break
            words.append(word)
            self.position += 1
        self._settle_head(draft)

    def _number(self, draft: Draft) -> bool:
        """Read "two", "one of the", "2"; return False for "one" as a pronoun."""
        word, following = self.peek(), self.peek(1)
        value = lexicon.NUMBERS.get(word) or (int(word) if len(word) < 4 else 0)
        if word == "one" and following != "of" and not self._is_content(following, 1):
            return False
        if value and draft.rank is None:
            draft.count = value
        self.position += 2 if following == "of" else 1
        return True

    def _transparent(self, draft: Draft, depth: int) -> bool:
        """Read over "of" in "piece of furniture", "largest of the tables", "side of the bed"."""
        words = draft.words
        parts = lexicon.PART_WORDS & word_set("side end edge corner top front middle center centre")
        among = self.peek(-1) in word_set("each all any every both some most")
        if not words and (among or draft.rank or draft.count or draft.pronoun or draft.definite or draft.colors):
            self.position += 1
            return True
        counted = lexicon.singular(words[-1]) if words else ""
        if words and (counted in lexicon.TRANSPARENT_HEADS or (depth and words[-1] in parts)):
            if words[-1] == "couple":
                draft.count = 2
            words.clear()
            self.position += 1
            return True
        return False

    def _settle_head(self, draft: Draft) -> None:
        words = draft.words
        if not words:
            return
        if words[0] in lexicon.INDEFINITE_PRONOUNS:
            draft.plural = draft.plural or words[0] == "everything"
            del words[0]
            return
        if len(words) > 1 and lexicon.singular(words[-1]) in word_set("object item thing instance entity element"):
            draft.plural = lexicon.is_plural(words[-1])
            words.pop()
            if self._only_adjectives(words):
                return
        last = words[-1]
        if lexicon.singular(last) in lexicon.GENERIC_HEADS:
            draft.plural = lexicon.is_plural(last)
            words.pop()
            return
        draft.plural = draft.plural or lexicon.is_plural(last)
        draft.head = lexicon.singular(last)
        if draft.pronoun:
            draft.head = ""
            return
        words[-1] = draft.head
        lying = draft.head in lexicon.LYING_HEADS
        if lying and draft.rank is not None and draft.rank.kind is RankKind.HEIGHT and not draft.rank.descending:
            draft.rank = Rank(RankKind.LENGTH, False, draft.rank.ordinal, draft.rank.anchor)
        if draft.rank is not None and draft.rank.kind is RankKind.DISTANCE and draft.head == "distance":
            words.pop()
            draft.head = ""

    def _only_adjectives(self, words: list[str]) -> bool:
        return all(word in lexicon.MATERIALS or word.endswith(_ADJECTIVE_ENDINGS) for word in words)

    def _accept_rank(self, draft: Draft, rank: tuple[RankKind, bool, int, int], depth: int) -> bool:
        kind, descending, ordinal, length = rank
        word = self.peek(length - 1)
        if word in lexicon.COMPARATIVES and not (draft.definite or self.peek(length) in {"of", "to", "from"}):
            return False
        self.position += length
        while self.peek() in {"away", "off"}:
            self.position += 1
        draft.rank = Rank(kind, descending, draft.ordinal or ordinal)
        draft.ordinal = 0
        if self.peek() == "of" or (self.peek() == "in" and self.peek(1) == "size"):
            self.position += 1 if self.peek() == "of" else 2
        elif self.peek() in {"to", "from"}:
            self._rank_anchor(draft, depth)
        return True

    def _rank_anchor(self, draft: Draft, depth: int) -> None:
        """Read "to the door" after "closest"; "to me" measures from the camera."""
        rank = draft.rank
        if rank is None:
            return
        lateral = self._lateral_at()
        if lateral is not None:
            draft.rank = Rank(RankKind.LATERAL, lateral[0], rank.ordinal)
            self.position += lateral[1]
            return
        start = self.position
        self.position += 1
        while self.peek() in {"the", "a"} and self.peek(1) in {"point"}:
            self.position += 1
        anchor = self._anchor(depth)
        if anchor is None:
            self.position = start + 1
            return
        if rank.kind in {RankKind.ELEVATION, RankKind.HEIGHT} and anchor.head not in lexicon.FLOOR_WORDS:
            return
        viewer = anchor.head in lexicon.VIEWER
        kind = rank.kind
        if anchor.head in lexicon.FLOOR_WORDS:
            draft.rank = Rank(RankKind.ELEVATION, rank.descending, rank.ordinal)
            return
        draft.rank = Rank(kind, rank.descending, rank.ordinal, None if viewer else anchor.constraint(draft))

    def _color(self, draft: Draft) -> bool:
        """Read one colour of the noun; return False when the word is no colour here."""
        word, following = self.peek(), self.peek(1)
        if word in lexicon.SHADES and (following in lexicon.COLORS or following in lexicon.SHADES):
            self.position += 1
            return True
        if word == "colored":
            self.position += 1
            return True
        if word in {"dark", "light"} and (following == "colored" or self._shades_noun(word, following)):
            draft.colors += lexicon.DARK_COLORS if word == "dark" else lexicon.LIGHT_COLORS
            self.position += 1
            return True
        if word not in lexicon.COLORS:
            return False
        alone = not self._is_content(following, 1) and following not in word_set("one ones , and or colored")
        if alone and not draft.words and word in lexicon.NOT_COLOR_ALONE and not draft.pronoun:
            return False
        if draft.words and not alone and following not in {",", "and", "or"} and not self._only_adjectives(draft.words):
            return False  # "wine red cellar": part of a name
        listed = following in {",", "and", "or"} and not draft.words and word in lexicon.NOT_COLOR_ALONE
        if listed and self.peek(2) not in lexicon.COLORS:
            return False  # "an orange and a banana" is fruit; "orange and red boxes" are colours
        draft.colors += lexicon.COLORS[word]
        self.position += 1
        while self.peek() in {"and", "or", "/", ","} and (
            self.peek(1) in lexicon.COLORS or (self.peek(1) in lexicon.SHADES and self.peek(2) in lexicon.COLORS)
        ):
            self.position += 2 if self.peek(1) in lexicon.COLORS else 3
            draft.colors += lexicon.COLORS[self.peek(-1)]
        return True

    def _shades_noun(self, word: str, following: str) -> bool:
        if not self._is_content(following, 1) or following in lexicon.POSTURES:
            return False
        return word == "dark" or following not in word_set("switch switches bulb bulbs fixture source fixtures")

    def _shape(self, draft: Draft) -> bool:
        word, following = self.peek(), self.peek(1)
        if word not in lexicon.SHAPES or (word == "flat" and following in {"screen", "panel", "iron"}):
            return False
        if word == "high" and following in {"chair"}:
            return False
        if not (self._is_content(following, 1) or following in word_set("one ones , and but or") or draft.words):
            return False
        if draft.words and self._is_content(following, 1) and not self._only_adjectives(draft.words):
            return False
        draft.shapes.append(lexicon.SHAPES[word])
        self.position += 1
        return True

    def _leads_to_relation(self) -> bool:
        offset = 0
        while self.peek(offset) in lexicon.POSTURES | lexicon.ADVERBS:
            if self.relation_at(offset) is not None:
                return True
            offset += 1
        found = self.relation_at(offset) is not None or self.rank_at(offset) is not None
        return found or self._lateral_at(offset) is not None or self.peek(offset) in {"to", "not"}

    # ---- modifiers ------------------------------------------------------------------------------------------

    def modifiers(self, draft: Draft, depth: int) -> None:
        """Read what follows a noun, as far as it belongs to it."""
        while not self.done:
            before = self.position
            if not self._modifier(draft, depth) or self.position == before:
                return

    def _modifier(self, draft: Draft, depth: int) -> bool:
        word, following = self.peek(), self.peek(1)
        if word == ",":
            return self._after_comma(draft, depth)
        if word in {"and", "or"}:
            return self._after_conjunction(draft, depth)
        if depth and word in word_set("but except is are was were"):
            return False
        if self.exclusion(draft, depth):
            return True
        if word == "but":
            self.position += 1
            if draft.generic and not draft.words and self.peek() in lexicon.DEFINITE:
                return self._excluded_things(draft, depth)  # "everything but the sofa"
            return True
        if word == "not":
            return self._negation(draft, depth)
        if self._request_tail():
            return True
        if self._class_name(draft, depth):
            return True
        if self._color_phrase(draft):
            return True
        lateral = self._lateral_at()
        if lateral is not None:
            ordinal = draft.ordinal or (draft.rank.ordinal if draft.rank else 1)
            if draft.rank is None or draft.rank.kind in {RankKind.DISTANCE, RankKind.LATERAL}:
                draft.rank = Rank(RankKind.LATERAL, lateral[0], ordinal)
            draft.ordinal = 0
            self.position += lateral[1]
            return True
        if word in word_set("at with in of having by") and self._extent_rank(draft, depth):
            return True
        rank = self.rank_at()
        if rank is not None and not (word in lexicon.COMPARATIVES and draft.rank is not None):
            return self._accept_postnominal_rank(draft, rank, depth)
        distant = draft.rank is not None and draft.rank.kind is RankKind.DISTANCE and draft.rank.anchor is None
        if distant and word in {"to", "from"} and following not in lexicon.REQUEST_VERBS - {"head"}:
            self._rank_anchor(draft, depth)
            return True
        if self._leads_over_postures(draft, depth):
            return True
        if self.relation(draft, depth):
            return True
        if word in lexicon.RELATIVE or word in {"whose", "where"}:
            return self._relative_clause(draft, depth)
        if word in lexicon.COPULAS:
            self.position += 1
            self.predicate(draft, depth)
            return True
        if word == "has" and (following in lexicon.PAST_STATES or following.endswith("ed")) and not depth:
            self.is_statement = True
            self.open_clause(draft)
            return True
        if word in lexicon.HAS or word in {"with", "without"}:
            self.position += 1
            self._possession(draft, depth, negated=word == "without", opener=word)
            return True
        if word == "of":
            return self._of(draft, depth)
        if word in word_set("here there please too right now somewhere"):
            self.position += 1
            return True
        if word in word_set(
            """
            used using for to designed made intended meant suitable labeled labelled called named as
            when because so if facing looks seems appears can could you i we it they does do should
            would from while than did
            """
        ):
            self.open_clause(draft)
            return True
        if depth:
            return False
        draft.purpose = draft.purpose or (word in {"several", "people"} or word in lexicon.NUMBERS)
        if draft.head and word in lexicon.STATEMENT_VERBS:
            self.is_statement = True
        if not (draft.words or draft.pronoun or draft.purpose) and self._is_content(word, 0) and draft.generic:
            other = self.noun_phrase(depth)
            draft.merge(other)
            return True
        self.open_clause(draft)
        return True

    def _after_comma(self, draft: Draft, depth: int) -> bool:
        if depth:
            return False
        self.position += 1
        word = self.peek()
        if word in word_set("and or but not except that which with without who ,") or not word:
            return True
        if self.relation_at() is not None or self.rank_at() is not None or self._lateral_at() is not None:
            return True
        if word in lexicon.DEFINITE | {"one"} and self._points_back():
            self._merge_mention(draft, depth)
            return True
        if word in {"please", "thanks", "thank"}:
            self.position = len(self._tokens)
            return True
        rest = self._tokens[self.position :]
        listed = any(token in {"and", "or", ","} for token in rest) and draft.head
        if listed and (self._is_content(word, 0) or word in lexicon.DETERMINERS):
            draft.alternatives.append(self.noun_phrase_simple())
            return True
        self.open_clause(draft)
        return True

    def _points_back(self) -> bool:
        """Whether "the one ..." or "the largest ..." follows: the same thing again."""
        offset = 0
        while self.peek(offset) in lexicon.DETERMINERS:
            offset += 1
        while self.peek(offset) in lexicon.COLORS or self.peek(offset) in lexicon.SHAPES:
            offset += 1
        return self.peek(offset) in {"one", "ones"} or self.rank_at(offset) is not None

    def _merge_mention(self, draft: Draft, depth: int) -> None:
        self._mentions += 1
        if self._mentions > MAX_MENTIONS:
            self.open_clause(draft)  # "the one is the one is the one": each is read within the one before
            return
        other = self.noun_phrase(depth)
        draft.merge(other)

    def noun_phrase_simple(self) -> Draft:
        """Read a listed noun with its own modifiers but without the rest of the list."""
        draft = Draft()
        self.noun_run(draft, 1)
        while not self.done and self.peek() not in word_set(", and or but except is are"):
            before = self.position
            if not self._modifier(draft, 1) or self.position == before:
                break
        return draft

    def _after_conjunction(self, draft: Draft, depth: int) -> bool:
        word, following = self.peek(), self.peek(1)
        if depth:
            if (
                word == "or"
                and (following in lexicon.DETERMINERS or self._is_content(following, 1))
                and (following not in lexicon.REQUEST_VERBS and self.relation_at(1) is None)
            ):
                self.position += 1
                other = Draft()
                self.noun_run(other, depth)
                draft.alternatives.append(other)
                return True
            return False
        self.position += 1
        if following in {"", "so", "then", "please", "explain"}:
            self.position = len(self._tokens) if following in {"explain", "please"} else self.position
            return True
        if following in lexicon.REQUEST_VERBS and self.peek(1) in {
            "it",
            "them",
            "me",
            "",
            "that",
            "this",
            "us",
            "him",
        }:
            self.position = len(self._tokens)  # "... and segment it"
            return True
        if following in word_set(
            """
            not but with without is are has have that which who belong belongs except was having
            """
        ):
            return True
        if self.relation_at() is not None or self._leads_to_relation() or self._color_phrase_at():
            return True
        color = following in lexicon.COLORS and not self._is_content(self.peek(1), 1)
        if (color and following not in lexicon.NOT_COLOR_ALONE) or following == "colored":
            self._color(draft)
            return True
        if following in lexicon.COLORS and self.peek(1) == "colored" and not self._is_content(self.peek(2), 2):
            draft.colors += lexicon.COLORS[following]
            self.position += 2
            return True
        if following in lexicon.REQUEST_VERBS and following not in lexicon.AMBIGUOUS_VERBS:
            start, _ = strip_lead_ins(self._tokens[self.position :])
            self.position += start
        if following in lexicon.DETERMINERS and self._points_back() and self.peek(1) in lexicon.SUPERLATIVES:
            other = self.noun_phrase_simple()
            if other.generic:
                other.pronoun = True
            draft.alternatives.append(other)
            return True
        other = self.noun_phrase_simple()
        if not other.bare:
            draft.alternatives.append(other)
        return True

    def exclusion(self, draft: Draft, depth: int = 0) -> bool:
        """Read "except the red one", "other than the sofa"."""
        if depth:
            return False
        words = next((words for words in lexicon.EXCLUSIONS if self._match(words)), None)
        if words is None:
            return False
        self.position += len(words)
        return self._excluded_things(draft, depth)

    def _excluded_things(self, draft: Draft, depth: int) -> bool:
        while not self.done:
            if self.relation_at() is not None:
                self.relation(draft, depth, negated=True)
            else:
                before = self.position
                draft.excluded.append(self._excluded_thing(draft))
                if self.position == before:
                    self.position += 1
            offset = 0
            while self.peek(offset) in word_set(", and or nor not but"):
                offset += 1
            if offset == 0 or not self.peek(offset):
                break
            nominal = self.peek(offset) in lexicon.DETERMINERS or self._is_content(self.peek(offset), offset)
            if not nominal or (self.peek(offset) in lexicon.REQUEST_VERBS):
                break
            self.position += offset
        return True

    def _excluded_thing(self, draft: Draft) -> Draft:
        """Read one thing that the targets must not be."""
        other = self.noun_phrase_simple()
        if other.generic and not other.pronoun:
            other.pronoun = True  # "not the red": the noun is the target's
        return other

    def _negation(self, draft: Draft, depth: int) -> bool:
        """Read what follows "not": a relation, a colour, a shape, or a thing."""
        if depth:
            return False
        self.position += 1
        while self.peek() in lexicon.ADVERBS or (
            self.peek() in lexicon.POSTURES and self.relation_at() is None and self._leads_to_relation()
        ):
            self.position += 1
        if self._lateral_at() is None and self.relation(draft, depth, negated=True):
            return True
        word, following = self.peek(), self.peek(1)
        if word == "colored":
            self.position += 1
            word, following = self.peek(), self.peek(1)
        if word in lexicon.COLORS and not self._is_content(following, 1) and following not in {"one", "ones"}:
            self._negated_color(draft)
            return True
        if word in lexicon.SHAPES and not self._is_content(following, 1) and following not in {"one", "ones"}:
            draft.excluded_shapes.append(lexicon.SHAPES[word])
            self.position += 1
            return True
        if word in lexicon.HAS | {"with"}:
            self.position += 1
            self._possession(draft, depth, negated=True, opener=word)
            return True
        if word in lexicon.DETERMINERS or self._is_content(word, 0) or word in {"one", "ones"}:
            if self._is_content(word, 0) and (word.endswith(("ed", "ing")) or word in {"used", "made"}):
                draft.extras.append("not")
                self.open_clause(draft)
                return True
            return self._excluded_things(draft, depth)
        draft.extras.append("not")
        self.open_clause(draft)
        return True

    def _negated_color(self, draft: Draft) -> None:
        kept = draft.colors
        draft.colors = []
        self._color(draft)
        draft.excluded_colors += draft.colors
        draft.colors = kept

    def _request_tail(self) -> bool:
        """Skip "should be found", "need to be identified", "must be located" to the end."""
        obliged = self.peek() in lexicon.MODALS | {"need", "needs", "has", "have", "ought"}
        if obliged and "be" in {self.peek(1), self.peek(2)} and "used" not in {self.peek(2), self.peek(3)}:
            self.position = len(self._tokens)
            return True
        return False

    def _class_name(self, draft: Draft, depth: int) -> bool:
        """Read "belonging to class X", "in class X", "from the set of X" and take X as the noun."""
        offset = 0
        openers = word_set(
            """
            belonging belong belongs classified labeled labelled categorized tagged known
            """
        )
        explicit = self.peek() in openers and self.peek(1) in {"to", "as"}
        if explicit:
            offset = 2
        elif self.peek() in word_set("in of from within among amongst as inside out"):
            offset = 2 if self.peek(1) == "of" and self.peek() in {"out", "inside"} else 1
        elif self.peek() in lexicon.CLASS_WORDS:
            offset = 0
        else:
            return False
        while self.peek(offset) in {"the", "a", "all", "any"}:
            offset += 1
        named = self.peek(offset) in lexicon.CLASS_WORDS
        grouped = self.peek(offset) in lexicon.GROUP_WORDS and self.peek(offset + 1) == "of"
        among = self.peek() in {"among", "amongst"} or (self.peek() == "from" and draft.generic)
        among = among or (self.peek() == "of" and (draft.pronoun or (draft.generic and draft.rank is not None)))
        if not (explicit or named or grouped or (among and self._lateral_at() is None)):
            return False
        if explicit and self.peek() in {"labeled", "labelled"} and self.peek(1) != "as":
            return False
        while self.peek(offset) in lexicon.CLASS_WORDS or self.peek(offset) == "of":
            offset += 1
        self.position += offset
        other = Draft()
        if depth:
            self.noun_run(other, depth)
        else:
            other = self.noun_phrase(depth)
        plural = draft.plural
        draft.merge(other)
        draft.plural = plural or (other.plural and draft.rank is None)
        return True

    def _color_phrase_at(self) -> bool:
        word = self.peek()
        return word in {"painted", "colored"} or (
            word in {"of", "in", "with"} and self.peek(1) in {"color", "a", "the"} and self.peek(2) == "color"
        )

    def _color_phrase(self, draft: Draft) -> bool:
        """Read "of color red", "colored red", "in red", "with a red color", "have a color red"."""
        offset = 0
        if self.peek() in word_set("of in with has have having painted colored is are the"):
            offset = 1
        while self.peek(offset) in word_set("a an the color colored is in its whose"):
            offset += 1
        negated = self.peek(offset) == "not"
        offset += negated
        shade = self.peek(offset) in lexicon.SHADES
        name = self.peek(offset + shade)
        if offset == 0 or name not in lexicon.COLORS:
            return False
        opener = self.peek()
        following = self.peek(offset + shade + 1)
        mentions = any(self.peek(k) in {"color", "colored", "painted"} for k in range(offset)) or following == "color"
        ends = not self._is_content(following, offset + shade + 1) and following not in {"one", "ones"}
        if not (mentions or (opener == "in" and ends and offset == 1)):
            return False
        if opener in {"is", "are", "the"} and not mentions:
            return False
        self.position += offset + shade
        found = Draft(words=["thing"])
        draft_colors = draft.colors
        found.colors += lexicon.COLORS[name]
        self.position += 1
        while self.peek() in {"and", "or", ","} and self.peek(1) in lexicon.COLORS:
            found.colors += lexicon.COLORS[self.peek(1)]
            self.position += 2
        if self.peek() in {"color", "colored"}:
            self.position += 1
        if negated:
            draft.excluded_colors += found.colors
        else:
            draft_colors += found.colors
        return True

    def _extent_rank(self, draft: Draft, depth: int) -> bool:
        """Read "at the closest distance from X", "with the largest size"."""
        offset = 1
        while self.peek(offset) in {"the", "a"}:
            offset += 1
        rank = self.rank_at(offset)
        if rank is None or offset == 1:
            return False
        kind, descending, ordinal, length = rank
        if self.peek(offset + length) not in lexicon.EXTENT_WORDS:
            return False
        measured = {
            "height": RankKind.HEIGHT,
            "length": RankKind.LENGTH,
            "width": RankKind.WIDTH,
            "distance": RankKind.DISTANCE,
        }.get(self.peek(offset + length), kind)
        self.position += offset + length + 1
        draft.rank = Rank(measured, descending, ordinal)
        if self.peek() in {"to", "from"}:
            self._rank_anchor(draft, depth)
        return True

    def _accept_postnominal_rank(self, draft: Draft, rank: tuple[RankKind, bool, int, int], depth: int) -> bool:
        kind, descending, ordinal, length = rank
        self.position += length
        while self.peek() in {"away", "distance", "off", "distant", "remote"}:
            self.position += 1
        if self.peek() in {"in", "by"} and self.peek(1) in lexicon.EXTENT_WORDS:
            self.position += 2
        if kind is RankKind.HEIGHT and not descending and draft.head in lexicon.LYING_HEADS:
            kind = RankKind.LENGTH
        draft.rank = Rank(kind, descending, draft.ordinal or ordinal)
        draft.ordinal = 0
        if self.peek() in {"to", "from"}:
            self._rank_anchor(draft, depth)
        elif kind is RankKind.DISTANCE and (self.peek() in lexicon.DEFINITE or self.relation_at() is not None):
            anchor_next = self.peek() in lexicon.DEFINITE  # "nearest the door"
            if anchor_next:
                self.position -= 1
                self._rank_anchor(draft, depth)
        elif self.peek() in {"one", "ones"}:
            self.position += 1
        return True

    def _leads_over_postures(self, draft: Draft, depth: int) -> bool:
        """Skip "placed", "standing right" before a relation; return whether something was read."""
        offset = 0
        while (self.peek(offset) in lexicon.POSTURES or self.peek(offset) in lexicon.ADVERBS) and (
            self.relation_at(offset) is None
        ):
            offset += 1
        if offset == 0:
            return False
        extent = self.peek(offset) in {"at", "with"} and self.peek(offset + 1) == "the"
        if self.relation_at(offset) is None and self.rank_at(offset) is None and self._lateral_at(offset) is None:
            if self.peek(offset) != "not" and not extent and self.peek(offset) != "the":
                return False
            if self.peek(offset) == "the" and self.rank_at(offset + 1) is None:
                return False
            if self.peek(offset) == "the":
                offset += 1
        self.position += offset
        return True

    def _relative_clause(self, draft: Draft, depth: int) -> bool:
        opener = self.peek()
        following = self.peek(1)
        if opener == "whose":
            self.position += 1
            if self._color_clause(draft):
                return True
            draft.extras.append(opener)
            self.open_clause(draft)
            return True
        if opener == "where":
            self.open_clause(draft)
            return True
        self.position += 1
        if following in lexicon.COPULAS:
            self.position += 1
            statement = self.is_statement
            self.predicate(draft, depth)
            self.is_statement = statement
            return True
        denied = following in word_set("does do did will can should") and self.peek(1) == "not"
        if denied and self.peek(2) in {"have", "hold", "contain", "carry", "support"}:
            self.position += 3
            self._possession(draft, depth, negated=True, opener="with")
            return True
        if following in word_set("contains holds supports carries contain hold support carry"):
            anchor = self._possessed_anchor(draft, depth)
            if anchor is not None:
                draft.relations.append(Relation(RelationKind.HOLDS, (anchor,)))
                return True
        if following in {"looks", "appears", "seems"} and self.peek(1) in lexicon.COLORS:
            self.position += 1
            self._color(draft)
            return True
        if (
            following in lexicon.HAS
            or following in {"belong", "belongs"}
            or self._leads_to_relation()
            or self.relation_at() is not None
            or self.peek() == "not"
        ):
            return True
        self.position -= 1
        self.open_clause(draft)
        return True

    def _possessed_anchor(self, draft: Draft, depth: int) -> Constraint | None:
        start = self.position
        self.position += 1
        anchor = self._anchor(depth)
        if anchor is None or anchor.head not in lexicon.SMALL_THINGS:
            self.position = start
            return None
        return anchor.constraint(draft)

    def _color_clause(self, draft: Draft) -> bool:
        """Read "color is red" after "whose"."""
        if self.peek() != "color":
            return False
        offset = 1
        while self.peek(offset) in lexicon.COPULAS:
            offset += 1
        negated = self.peek(offset) == "not"
        offset += negated
        if self.peek(offset) not in lexicon.COLORS:
            return False
        colors = lexicon.COLORS[self.peek(offset)]
        (draft.excluded_colors if negated else draft.colors).extend(colors)
        self.position += offset + 1
        return True

    def predicate(self, draft: Draft, depth: int) -> None:
        """Read what follows "is": a relation, a rank, a colour, a shape, "the one ...", or an open clause."""
        while self.peek() in lexicon.ADVERBS or (
            self.peek() in lexicon.POSTURES and self.relation_at() is None and self._leads_to_relation()
        ):
            self.position += 1
        word, following = self.peek(), self.peek(1)
        if not word or word in {",", "and"}:
            return
        if word == "not":
            self._negation(draft, depth)
            return
        if self._lateral_at() is not None or self.relation_at() is not None or self._class_name(draft, depth):
            return
        if word in {"there", "here"}:
            self.position += 1
            return
        if word in lexicon.CLASS_WORDS or word in word_set("of used made belonging that which with"):
            return
        offset = 0
        while self.peek(offset) in lexicon.DETERMINERS:
            offset += 1
        if self.peek(offset) in {"one", "ones"} and offset:
            self.position += offset + 1
            return
        if self.rank_at(offset) is not None:
            if offset and self.peek(offset) not in {"closest", "nearest", "farthest", "furthest"}:
                self._merge_mention(draft, depth)
            else:
                self.position += offset
            return
        if word in {"dark", "light"} and not self._is_content(following, 1) and following in {"", ",", "and", "or"}:
            draft.colors += lexicon.DARK_COLORS if word == "dark" else lexicon.LIGHT_COLORS
            self.position += 1
            return
        if word in lexicon.COLORS or word in lexicon.SHADES or word == "colored":
            if word == "colored":
                self.position += 1
            while self.peek() in lexicon.SHADES:
                self.position += 1
            if self.peek() in lexicon.COLORS:
                draft.colors += lexicon.COLORS[self.peek()]
                self.position += 1
                while self.peek() in {"and", "or", ","} and self.peek(1) in lexicon.COLORS:
                    draft.colors += lexicon.COLORS[self.peek(1)]
                    self.position += 2
                if self.peek() in {"colored", "color"}:
                    self.position += 1
                return
        if word in lexicon.SHAPES and not self._is_content(following, 1):
            draft.shapes.append(lexicon.SHAPES[word])
            self.position += 1
            return
        if word in lexicon.DETERMINERS and depth == 0:
            self._merge_mention(draft, depth)
            return
        self.is_statement = self.is_statement or not draft.purpose
        self.open_clause(draft)

    def _possession(self, draft: Draft, depth: int, negated: bool, opener: str) -> None:
        """Read "with a lamp on it", "has nothing on it", "without cups"; parts and traits stay open text."""
        if opener in {"has", "have", "having"} and self.peek() in {"not", "no"}:
            negated = True
        offset = 0
        while self.peek(offset) in {"a", "the", "an"}:
            offset += 1
        if self.peek(offset) == "color" or (self.peek(offset) in lexicon.COLORS and self.peek(offset + 1) == "color"):
            self.position -= 1
            if self._color_phrase(draft):
                return
            self.position += 1
        rank = self.rank_at(offset)
        if rank is not None and offset and self.peek(offset + rank[3]) in lexicon.EXTENT_WORDS:
            self.position -= 1
            if self.peek() in lexicon.HAS:
                self._tokens[self.position] = "with"
            if self._extent_rank(draft, depth):
                return
            self.position += 1
        if self.peek() in {"no", "not", "nothing"}:
            negated = True
            if self.peek() != "nothing":
                self.position += 1
                if self.peek() in {"any", "a"}:
                    self.position += 1
        end, length = self._find_on_it()
        if end is not None:
            inner = Cursor(self._tokens[self.position : end])
            self.position = end + length
            things = inner.noun_phrase(depth=max(depth, 1))
            if things.words == ["nothing"] or things.head == "nothing":
                things = Draft()
            draft.relations.append(Relation(RelationKind.HOLDS, (things.constraint(draft),), negated))
            return
        start = self.position
        if depth < MAX_DEPTH and draft.head in lexicon.SUPPORTS:
            probe = Draft()
            self.noun_run(probe, depth + 1)
            if probe.head in lexicon.SMALL_THINGS:
                draft.relations.append(Relation(RelationKind.HOLDS, (probe.constraint(),), negated))
                return
            self.position = start
        draft.extras.append("without" if negated else "with" if opener in {"with", "without"} else opener)
        draft.purpose = draft.purpose or (draft.generic and not draft.words)
        self.open_clause(draft, weak=False)

    def _find_on_it(self) -> tuple[int | None, int]:
        """Return where "on it", "on top" begins before the clause ends, and its number of words."""
        for index in range(self.position + 1 if self.peek() != "nothing" else self.position, len(self._tokens)):
            following = self._tokens[index + 1 : index + 2]
            listed = following and following[0] in lexicon.COLORS.keys() | lexicon.SHAPES.keys() | lexicon.MATERIALS
            if self._tokens[index] in {"that", "which", "but"} or (self._tokens[index] == "," and not listed):
                break
            for words in lexicon.PLACED_ON_TOP:
                if tuple(self._tokens[index : index + len(words)]) == words:
                    following = self._tokens[index + len(words) : index + len(words) + 1]
                    if words in {("on", "top"), ("inside",)} and following and following[0] not in {",", "and", "near"}:
                        continue
                    return index, len(words)
        return None, 0

    def _of(self, draft: Draft, depth: int) -> bool:
        if self.peek(1) in {"interest", "concern"}:
            self.position += 2
            return True
        if depth and not draft.words:
            return False
        if draft.head and not depth:
            start = self.position
            self.position += 1
            owner = Draft()
            self.noun_run(owner, depth + 1)
            if room_name(owner) and owner.definite:
                room = Draft(words=[room_name(owner)], head=room_name(owner))
                draft.relations.append(Relation(RelationKind.INSIDE, (room.constraint(),)))
                return True
            self.position = start
        self._consume_of(draft)
        return True

    def _consume_of(self, draft: Draft) -> None:
        draft.extras.append("of")
        self.position += 1
        while not self.done:
            word = self.peek()
            if not (self._is_content(word, 0) or word in lexicon.DETERMINERS) or word == "that":
                return
            draft.extras.append(word)
            self.position += 1

    # ---- relations ------------------------------------------------------------------------------------------

    def relation(self, draft: Draft, depth: int, negated: bool = False, definite_only: bool = False) -> bool:
        """Read a relation and its anchor; return False (and read nothing) when there is none."""
        found = self.relation_at()
        if found is None or depth >= MAX_DEPTH:
            return False
        kind, length = found
        if self.peek(length) in {"which", "whom"}:
            # "furniture in which books are kept": a use, not a place.
            draft.purpose = True
            self.open_clause(draft)
            return True
        start = self.position
        opener = self.peek()
        self.position += length
        if definite_only and self.peek() not in lexicon.DEFINITE:
            self.position = start
            return False
        if kind is RelationKind.BETWEEN:
            anchors = self._between(depth)
        else:
            anchor = self._anchor(depth)
            anchors = [] if anchor is None else [anchor]
        if anchors and anchors[0].head in lexicon.VIEWER and kind is RelationKind.NEAR:
            draft.rank = draft.rank or Rank(RankKind.DISTANCE, False)
            return True
        told = anchors and anchors[0].pronoun and anchors[0].generic and not anchors[0].colors
        if negated and told and draft.relations and len(anchors) == 1:
            # "Next to the sink but not above it".
            draft.relations.append(Relation(kind, draft.relations[-1].anchors, negated))
            return True
        if not anchors or not self._relates(kind, anchors, draft, opener):
            self.position = start
            words = self._tokens[start : start + length]
            if anchors and anchors[0].head in lexicon.ROOM_WORDS and not definite_only:
                self._room(draft, kind, depth, start + length, negated)
                return True
            if definite_only or (depth and not anchors):
                return False
            draft.extras += words
            self.position += length
            if anchors:
                self.open_clause(draft, weak=False)
            return True
        relation = Relation(kind, tuple(anchor.constraint(draft) for anchor in anchors), negated)
        draft.relations.append(relation)
        if all(anchor.definite for anchor in anchors):
            self.definite_relations.append(relation)
        if kind is RelationKind.NEAR and depth == 0:
            self._further_anchor(draft, kind, negated)
        return True

    def _room(self, draft: Draft, kind: RelationKind, depth: int, after: int, negated: bool) -> None:
        """Relate a thing to a room of a kind; "in the room" says nothing and is dropped."""
        words = self._tokens[self.position : after]
        self.position = after
        anchor = Draft()
        self.noun_run(anchor, depth + 1)
        if kind is RelationKind.INSIDE and room_name(anchor):
            draft.relations.append(
                Relation(kind, (Draft(words=[room_name(anchor)], head=room_name(anchor)).constraint(),), negated)
            )
            return
        if anchor.head not in word_set(
            """
            room house scene picture image view here space apartment flat
            """
        ):
            draft.extras += [*words, "the", anchor.head]
        elif len(anchor.words) > 1 or anchor.extras:
            draft.extras += [*words, "the", *anchor.words, *anchor.extras]

    def _further_anchor(self, draft: Draft, kind: RelationKind, negated: bool) -> None:
        """Read "and the lamp" in "next to the chair and the lamp" unless it is a target of its own."""
        if self.peek() != "and" or self.peek(1) not in {"the", "a", "an", "my"}:
            return
        start = self.position
        self.position += 1
        other = Draft()
        self.noun_run(other, 1)
        if other.head and (self.done or self.peek() in {",", "and"}):
            draft.relations.append(Relation(kind, (other.constraint(draft),), negated))
        else:
            self.position = start

    def _between(self, depth: int) -> list[Draft]:
        self._pairing = True
        first = self._anchor(depth)
        self._pairing = False
        if first is None:
            return []
        if self.peek() == "and":
            start = self.position
            self.position += 1
            second = self._anchor(depth)
            if second is not None:
                if second.generic and not second.pronoun:
                    second.head, second.words = first.head, first.words
                if first.generic and not first.words and (first.colors or first.shapes):
                    first.head, first.words = second.head, second.words  # "between the red and the blue chair"
                return [first, second]
            self.position = start
        if first.plural or (first.count or 0) >= 2:
            first.count = None
            return [first, first]
        return [first]

    def _anchor(self, depth: int) -> Draft | None:
        """Read the thing that a relation refers to; None when there is none."""
        if self.peek() in lexicon.VIEWER:
            head = self.peek()
            self.position += 1
            return Draft(words=[head], head=head, definite=True)
        if self.peek() in {"each", "one"} and self.peek(1) in {"other", "another"}:
            return None
        if depth + 1 > MAX_DEPTH:
            return None
        if self.peek() in {"there", "here"} and self._referents and self.peek(-1) in {"from", "to"}:
            self.position += 1
            self.referred = True
            return self._referents[-1]
        anchor = self.noun_phrase(depth + 1)
        if anchor.bare:
            return None
        referent = self._referent(anchor)
        if referent is not None:
            self.referred = True
            return referent
        return anchor

    def _referent(self, anchor: Draft) -> Draft | None:
        """Return what an anchor stands for: "it", "that lamp", "the lamp" after "the lamp on the desk"."""
        more = anchor.relations or anchor.rank or anchor.extras or anchor.excluded or anchor.alternatives
        if more or not (anchor.definite or anchor.pronoun):
            return None
        for referent in reversed(self._referents):
            named = anchor.head and anchor.head == referent.head and set(anchor.colors) <= set(referent.colors)
            if named or (anchor.pronoun and anchor.generic and not anchor.colors):
                return referent
        return None

    def _relates(self, kind: RelationKind, anchors: list[Draft], draft: Draft, opener: str) -> bool:
        """Whether the anchor is a thing of its own and not a part, a room, or an idiom."""
        anchor = anchors[0]
        if kind is RelationKind.BETWEEN and len(anchors) < 2:
            return False
        if anchor.head in lexicon.ROOM_WORDS and not anchor.relations and kind not in {RelationKind.UNDER}:
            return False
        if anchor.head in lexicon.VIEWER or anchor.head in word_set(
            """
            order case general particular time least once way use night home work shape style
            """
        ):
            return False
        if kind is RelationKind.HOLDS and opener in {"full", "filled", "holding", "containing"} and not anchor.head:
            return False
        if (
            anchor.pronoun
            and anchor.generic
            and not (anchor.words or anchor.colors or anchor.shapes or anchor.rank or anchor.relations)
        ):
            return False  # "on it": the thing itself
        # "On wheels", "with a handle" describe a thing; "above drawers", "beside a pole" place it.
        own = kind in {RelationKind.ON, RelationKind.INSIDE, RelationKind.HOLDS, RelationKind.UNDER}
        if anchor.head in lexicon.PART_WORDS and not anchor.definite and own:
            return False
        return not (
            anchor.generic
            and not anchor.words
            and not anchor.pronoun
            and not anchor.colors
            and not anchor.shapes
            and anchor.rank is None
            and not anchor.extras
        )

    # ---- open text ------------------------------------------------------------------------------------------

    def open_clause(self, draft: Draft, weak: bool = True) -> None:
        """Take words as open text up to the end of the clause or to a relation with a definite anchor.

        ``weak`` False keeps "on" and "in" inside the clause ("with players on the rods").
        """
        draft.purpose = draft.purpose or self.peek() in lexicon.PURPOSE_MARKERS or self.peek() in lexicon.MODALS
        first = True
        while not self.done:
            word, following = self.peek(), self.peek(1)
            if not first:
                if self._fronting and word in lexicon.COPULAS:
                    return
                if self._pairing and word == "and" and following in lexicon.DETERMINERS:
                    return
                if word in {",", "but", "except"} or (word == "that" and following in lexicon.COPULAS):
                    return
                if word in {"and", "or"} and (
                    following == "not" or following in lexicon.COPULAS or following in lexicon.HAS
                ):
                    return
                if word == "and" and following in lexicon.REQUEST_VERBS and self.peek(2) in {"it", "them", "me", ""}:
                    return
                found = self.relation_at()
                if found is not None and self._strong_relation(found, weak):
                    return
                if self.rank_at() is not None and self.peek(self._rank_at_length()) in {"to", "from"}:
                    return
            draft.extras += [] if word == "," else [word]
            self.position += 1
            first = False

    def _rank_at_length(self) -> int:
        rank = self.rank_at()
        return 0 if rank is None else rank[3]

    def _strong_relation(self, found: tuple[RelationKind, int], weak: bool) -> bool:
        kind, length = found
        after = self.peek(length)
        if kind is RelationKind.HOLDS or self.peek() in word_set("at around along before over into against by"):
            return False
        one_of = (after, self.peek(length + 1)) == ("one", "of")
        definite = after in lexicon.DEFINITE - {"its", "it"} or kind is RelationKind.BETWEEN or one_of
        if one_of:
            return True
        if kind in {RelationKind.ON, RelationKind.INSIDE}:
            head = self.peek(length + 1)
            return (
                weak
                and definite
                and after in {"the", "this", "that"}
                and head not in lexicon.ROOM_WORDS
                and (head not in lexicon.PART_WORDS and not self._moves_things())
            )
        return definite or (after in {"a", "an"} and kind is not RelationKind.ABOVE)

    def _moves_things(self) -> bool:
        """Whether the clause is about putting something somewhere, so that the place is its object."""
        recent = self._tokens[max(0, self.position - 4) : self.position]
        return any(
            word
            in word_set(
                """
                put place pour throw hang lay set drop spill spilled spilt wipe clean write placing
                putting stain sitting wiping cleaning
                """
            )
            for word in recent
        )

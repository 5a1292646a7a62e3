"""How well a thing with likely names and measured attributes answers a phrase of an instruction."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lira_ros.configuration import parameter
from lira_ros.reasoning.color import color_similarity
from lira_ros.reasoning.constraint import Phrase
from lira_ros.reasoning.contracts import Attributes
from lira_ros.reasoning.knowledge import (
    AFFORDANCE_WORDS,
    UNKNOWN,
    KnownClass,
    affordance_likelihoods,
    classes,
    core_noun,
    find_class,
    kinds,
    size_fit,
)
from lira_ros.reasoning.language import lexicon
from lira_ros.reasoning.language.encoder import EncoderError, SentenceEncoder, find_encoder
from lira_ros.reasoning.language.needs import needs_of
from lira_ros.reasoning.language.usefulness import Usefulness
from lira_ros.reasoning.language.vector_store import encode_and_keep

_LOGGER = logging.getLogger(__name__)

# From this score on a thing conforms to a phrase.
CONFORM_SCORE = 0.35
# Irrelevant sentences reach cosines of 0.09 to 0.23 with class texts, relevant ones 0.26 at least, 0.44 in the
# median (measured with the sentence model on 60 written needs and nonsense sentences).
REJECT_COSINE = 0.25
FULL_COSINE = 0.55
# Two names of different things reach cosines of about 0.5 by their shape alone ("round table", "round rug").
NAME_REJECT_COSINE = 0.50
NAME_FULL_COSINE = 0.85
# A name that only means something similar is worth less than the name itself.
SIMILAR_NAME = 0.8
# Words before the noun choose among things of that name; a thing without them keeps this share.
NOUN_SHARE = 0.62
# ... and this share when the noun is a kind of things ("furniture", "appliance").
KIND_SHARE = 0.2
# A thing of a rare colour and of the right size may be what was named, even when measures cannot tell its class;
# black, white, gray, brown and beige things are too many for that.
COLOR_SCORE, COMMON_COLOR_SCORE = 0.5, 0.3
COMMON_COLORS = frozenset({"black", "white", "gray", "brown", "beige", "silver"})
# What counts as matching when the colour or shape of a thing was not measured.
NOT_MEASURED = 0.6
# A thing of another colour never conforms, but may be named as the closest miss.
WRONG_COLOR = 0.08
# What stands on the floor or a surface is no "wall cabinet", and may be seen wrongly.
NOT_AT_WALL = 0.3
# Without an encoder, open words count when they occur in the name or use of a class.
WORD_OVERLAP_SCORE = 0.7

# Lines of the table that hold different things: an apple is no orange, although both are looked for in the same place.
DIVERSE_CLASSES = frozenset({"fruit", "vegetable", "juice"})
# Texts of phrases whose vectors are kept: those of a thousand instructions with a few phrases each, 6 MB.
MAX_KEPT_TEXTS = 4000
# Needs whose answers are kept: those of two hundred instructions, 3 MB.
MAX_KEPT_NEEDS = 200

# Four ways to write a class; their vectors are averaged, which ranks better than any one of them.
_TEMPLATES = ("{name}", "{name}: {use}", "a {name}, {use}", "{use}")


@dataclass(frozen=True)
class LanguageConfiguration:
    """What can be set of the language."""

    encoder_path: str = parameter(
        "", "Folder of the sentence encoder (model.safetensors, vocab.txt, config.json); empty = the installed one"
    )


@dataclass(frozen=True)
class Match:
    """How well a thing answers a phrase: score in [0, 1], the name that fits best, and why, in words.

    kind, factor: of the score, what names and meaning say of its kind, and what was measured of colours and shapes; the
    score is their product. by_meaning: the phrase is a need or open, so that meaning decides and no name does.
    """

    score: float
    label: str
    reason: str
    kind: float = 0.0
    factor: float = 1.0
    by_meaning: bool = False


def is_open(phrase: Phrase) -> bool:
    """Tell whether a phrase states a need or describes what it wants, so that no name can answer it."""
    if not phrase.text:
        return False
    if phrase.implicit or not phrase.head:
        return True
    vague = phrase.head in kinds() | lexicon.HYPERNYM_HEADS and find_class(_noun(phrase)) is None
    return vague and bool(_modifiers(phrase))


def create_relevance(configuration: LanguageConfiguration) -> Relevance:
    """Return the relevance with the configured encoder; without an installed one, by word lists alone, said in the log.

    Raises EncoderError when a folder was configured and holds no usable encoder.
    """
    try:
        relevance = Relevance(find_encoder(configuration.encoder_path))
    except EncoderError as error:
        if configuration.encoder_path:
            raise
        _LOGGER.warning("Meaning is compared by word lists only, open descriptions match less: %s", error)
        return Relevance(None)
    relevance.learn_classes()
    return relevance


class Relevance:
    """Compares phrases with things; keeps what it computed, so that judging again costs little."""

    def __init__(self, encoder: SentenceEncoder | None) -> None:
        self.encoder = encoder
        self._label_vectors: dict[str, NDArray[np.float32]] = {}
        self._text_vectors: dict[str, NDArray[np.float32]] = {}
        self._label_scores: dict[tuple[Phrase, str], float] = {}
        self._useful: dict[tuple[str, str], dict[str, float]] = {}
        self._usefulness: Usefulness | None = None

    def match(self, phrase: Phrase, names: dict[str, float], attributes: Attributes) -> Match:
        """Return how well a thing answers a phrase.

        names: label -> weight (labels of a model or a data set, or class likelihoods); weights sum to 1 at most.
        """
        known = {name: weight for name, weight in names.items() if name and name != UNKNOWN and weight > 0.0}
        if phrase.implicit or not (phrase.head or phrase.text):
            score, label, reason = self._match_need(phrase, known, attributes)
        else:
            score, label, reason = self._match_name(phrase, known, attributes)
        factor, notes = self._properties(phrase, label if label in names else "", known, attributes)
        words = ", ".join([reason, *notes])
        return Match(round(min(1.0, score * factor), 4), label, words, score, factor, is_open(phrase))

    def text_encoder(self) -> Callable[[str], NDArray[np.float32]] | None:
        """Return what makes the (D,) unit vector of a text, None without an encoder."""
        encoder = self.encoder
        return None if encoder is None else lambda text: encoder.encode([text])[0]

    def prepare(self, phrases: Sequence[Phrase], names: Sequence[str]) -> None:
        """Encode all texts that comparing these phrases with these names will need, in one go."""
        if self.encoder is None:
            return
        texts = [text for phrase in phrases for text in _phrase_texts(phrase)]
        for name in names:
            if name and name not in self._label_vectors:
                texts += _label_texts(name)
        self.encoder.encode(texts)

    def learn_classes(self) -> None:
        """Take in the vectors of all known classes and their uses, kept on disk: no instruction waits for them."""
        if self.encoder is None:
            return
        names = list(classes())
        texts = [text for name in names for text in _label_texts(name)]
        vectors = encode_and_keep(self.encoder, texts)
        place = 0
        for name in names:
            count = len(_label_texts(name))
            self._label_vectors[name] = _mean_direction(vectors[place : place + count])
            place += count
        self._usefulness = Usefulness(self.encoder, np.stack([self._label_vectors[name] for name in names]))

    def _match_name(self, phrase: Phrase, names: dict[str, float], attributes: Attributes) -> tuple[float, str, str]:
        scored = [(self.name_score(phrase, name), weight, name) for name, weight in names.items()]
        total = sum(score * weight for score, weight, _ in scored)
        if not scored:
            return 0.0, "", "nothing is known of it"
        best = max(scored, key=lambda item: (item[0] * item[1], item[2]))
        likely = max(scored, key=lambda item: (item[1], item[2]))
        by_color = self._color_score(phrase, likely[1], attributes)
        if by_color > total:
            return by_color, _noun(phrase), f"it has the colour and the size of {_article(phrase.head)}"
        if total < CONFORM_SCORE and (best[1] < 0.5 or best[0] < CONFORM_SCORE):
            chance = f"({100 * best[0] * best[1]:.0f} %)"
            other = max((item for item in scored if item[0] < 0.5), key=lambda item: (item[1], item[2]), default=None)
            if best[0] < 0.5 or other is None:
                return total, likely[2], f"it is rather {_article(likely[2])} than {_article(phrase.text)}"
            if likely[0] >= 0.5:
                rival = f"it might be {_article(best[2])} {chance}, but could as well be {_article(other[2])}"
                return total, likely[2], rival
            return total, likely[2], f"it might be {_article(best[2])} {chance}, but is rather {_article(likely[2])}"
        sure = "it is" if best[1] >= 0.8 else "it may be"
        return total, best[2], f"{sure} {_article(best[2])}"

    def _color_score(self, phrase: Phrase, sureness: float, attributes: Attributes) -> float:
        """Return the score by colour and size alone, for things whose class only measures tell."""
        wanted = find_class(_noun(phrase)) if phrase.head else None
        if wanted is None or sureness >= 0.8 or not attributes.color or not phrase.colors:
            return 0.0
        if max(color_similarity(color, attributes.color) for color in phrase.colors) < 0.8:
            return 0.0
        common = attributes.color in COMMON_COLORS
        return (COMMON_COLOR_SCORE if common else COLOR_SCORE) * size_fit(wanted, attributes)

    def _match_need(self, phrase: Phrase, names: dict[str, float], attributes: Attributes) -> tuple[float, str, str]:
        if not phrase.text:
            label = max(names, key=lambda name: (names[name], name), default="")
            sure = "it is" if names.get(label, 0.0) >= 0.8 else "it may be"
            return 1.0, label, f"{sure} {_article(label)}" if label else "anything counts"
        wanted = needs_of(phrase.text)
        scored = [(self._need_score(phrase, name, wanted), weight, name) for name, weight in names.items()]
        total = sum(score * weight for score, weight, _ in scored)
        best = max(scored, key=lambda item: (item[0] * item[1], item[2]), default=(0.0, 0.0, ""))
        likely = max(names, key=lambda name: (names[name], name), default="")
        useless = (
            f"it is rather {_article(likely)}, which does not help with that" if likely else "its use is not known"
        )
        reason = f"{_article(best[2])} would help" if best[0] >= CONFORM_SCORE else useless
        # A level surface at seat height is to sit on, whatever its name; names that are sure know better.
        sureness = max(names.values(), default=0.0)
        if wanted and sureness < 0.8:
            useful = affordance_likelihoods(attributes)
            fits, value = max(((name, useful.get(name, 0.0)) for name in sorted(wanted)), key=lambda item: item[1])
            if "sit_several" in wanted:
                fits, value = "sit_several", useful.get("sit_several", 0.0)
            mixed = (1.0 - sureness) * 0.9 * value + sureness * total
            if mixed > total:
                reason = f"by its measures it is good {AFFORDANCE_WORDS.get(fits, 'for that')}"
                total = mixed
        return total, best[2], reason

    def name_score(self, phrase: Phrase, label: str) -> float:
        """Return in [0, 1] how well a label answers the noun and the open words of a phrase."""
        key = (phrase, label)
        if key not in self._label_scores:
            if len(self._label_scores) > 100_000:
                self._label_scores.clear()
            self._label_scores[key] = self._compute_name_score(phrase, label)
        return self._label_scores[key]

    def _compute_name_score(self, phrase: Phrase, label: str) -> float:
        if not phrase.head:
            return self._open_score(phrase.text, label)
        noun = _noun(phrase)
        wanted, offered = find_class(noun), find_class(label)
        core = core_noun(label)
        base = _noun_score(phrase.head, noun, wanted, core, offered)
        if base < 0.5:
            # No list knows them as the same: what they mean decides, unless both are known to differ.
            ceiling = 0.3 if wanted is not None and offered is not None else 1.0
            similar = SIMILAR_NAME * _ramp(self._cosine(noun, core), NAME_REJECT_COSINE, NAME_FULL_COSINE)
            if wanted is None and phrase.text != phrase.head:
                # A description beside the noun tells more than the sound of one unknown word ("saddle").
                similar = max(similar, 0.7 * self._open_score(phrase.text, label))
            base = max(base, min(ceiling, similar))
        modifiers = _modifiers(phrase)
        if not modifiers:
            return base
        if wanted is None and phrase.head in kinds() | lexicon.HYPERNYM_HEADS:
            # "An appliance in which ice cream stays hard": the words after the kind decide.
            meant = max(
                self._modifier_score(phrase, modifiers, label, core),
                self._need_score(phrase, label, needs_of(phrase.text)),
            )
            return base * (KIND_SHARE + (1.0 - KIND_SHARE) * meant)
        return base * (NOUN_SHARE + (1.0 - NOUN_SHARE) * self._modifier_score(phrase, modifiers, label, core))

    def _modifier_score(self, phrase: Phrase, modifiers: list[str], label: str, core: str) -> float:
        words = set(re.findall(r"[a-z0-9]+", label.lower()))
        words |= {lexicon.singular(word) for word in words}
        present = sum(word in words or lexicon.singular(word) in words for word in modifiers) / len(modifiers)
        if present == 1.0 or self.encoder is None:
            return present
        plain = self._cosine(phrase.head, label)
        full = self._cosine(phrase.text, label)
        # The words help when the whole phrase is nearer to the thing than its noun alone.
        meant = _ramp(full, REJECT_COSINE, 0.7) * (1.0 if full >= plain - 0.15 else 0.6)
        return max(present, meant)

    def _need_score(self, phrase: Phrase, label: str, wanted: frozenset[str]) -> float:
        known = find_class(label)
        if self.encoder is not None and known is not None:
            return self._usefulness_of(phrase.text, phrase.head)[known.name]
        score = self._open_score(phrase.text, label)
        if wanted and known is not None:
            several = "sit_several" in wanted
            fits = "sit_several" in known.affordances if several else bool(wanted & known.affordances)
            score = 0.8 + 0.2 * score if fits else min(0.5 * score, 0.3)
        if phrase.head and known is not None and not _is_kind(phrase.head, known) and score < 0.8:
            score *= 0.5
        return score

    def _usefulness_of(self, text: str, kind: str) -> dict[str, float]:
        """Return how well each known class answers a need."""
        key = (text, kind)
        found = self._useful.get(key)
        if found is None:
            if len(self._useful) >= MAX_KEPT_NEEDS:
                self._useful.clear()
            if self._usefulness is None:
                self.learn_classes()
            assert self._usefulness is not None
            found = self._useful[key] = self._usefulness.of(text, kind)
        return found

    def _open_score(self, text: str, label: str) -> float:
        if self.encoder is None:
            words = {lexicon.singular(word) for word in re.findall(r"[a-z]+", text.lower()) if len(word) > 3}
            known = find_class(label)
            about = f"{label} {known.use if known else ''}".lower()
            overlap = sum(word in about for word in words)
            return WORD_OVERLAP_SCORE * min(1.0, overlap / 2.0)
        return _ramp(self._cosine(text, label), REJECT_COSINE, FULL_COSINE)

    def _cosine(self, text: str, label: str) -> float:
        if self.encoder is None:
            return 1.0 if lexicon.singular(text) == lexicon.singular(label) else 0.0
        vector = self._label_vectors.get(label)
        if vector is None:
            vector = _mean_direction(self.encoder.encode(_label_texts(label)))
            self._label_vectors[label] = vector
        direction = self._text_vectors.get(text)
        if direction is None:
            if len(self._text_vectors) >= MAX_KEPT_TEXTS:
                self._text_vectors.clear()
            direction = self._text_vectors[text] = self.encoder.encode([text])[0]
        return float(direction @ vector)

    def _properties(
        self, phrase: Phrase, label: str, names: dict[str, float], attributes: Attributes
    ) -> tuple[float, list[str]]:
        """Return the factor by which colours and shapes change the score, and what to say about them."""
        factor, notes = 1.0, []
        said = max(names, key=lambda name: (names[name], name), default="").lower()
        label_words = set(re.findall(r"[a-z]+", said)) if names and max(names.values()) >= 0.8 else set()
        if phrase.colors:
            fit = max(_color_fit(color, attributes.color, label_words) for color in phrase.colors)
            factor *= fit if fit >= 0.3 else max(WRONG_COLOR, 0.3 * fit)
            wanted = " or ".join(dict.fromkeys(phrase.colors))
            if attributes.color:
                notes.append(f"{attributes.color}" if fit >= 0.8 else f"{attributes.color}, not {wanted}")
            elif fit < 0.8:
                notes.append(f"whether it is {wanted} was not seen")
        if phrase.excluded_colors and attributes.color:
            fit = max(_color_fit(color, attributes.color, set()) for color in phrase.excluded_colors)
            factor *= 1.0 - fit
            if fit > 0.5:
                notes.append(f"it is {attributes.color}")
        if _hangs(phrase) and "wall" not in said and attributes.supported_by in ("floor", "surface"):
            factor *= NOT_AT_WALL
            notes.append(f"on the {attributes.supported_by}, not at the wall")
        for shape in phrase.shapes:
            fit = 1.0 if shape in label_words else shape_fit(shape, attributes)
            factor *= fit if fit >= 0.3 else 0.5 * fit
            notes.append(shape if fit >= 0.5 else f"not {shape}{_measures(attributes)}")
        for shape in phrase.excluded_shapes:
            fit = 1.0 if shape in label_words else shape_fit(shape, attributes)
            fit = 0.0 if fit == NOT_MEASURED else fit
            factor *= 1.0 - fit
            if fit > 0.5:
                notes.append(f"it is {shape}")
        return factor, notes


def shape_fit(shape: str, attributes: Attributes) -> float:
    """Return in [0, 1] how well a measured shape word holds; NOT_MEASURED when that was not measured.

    Roundness is the outline's share of its enclosing circle (square 0.64, circle 1), fill its share of its box
    (circle 0.79, rectangle 1).
    """
    length, width, height = attributes.size_m
    top = attributes.top_height_m if math.isfinite(attributes.top_height_m) else height
    ratio = attributes.elongation
    fits = {
        "round": _ramp(attributes.roundness, 0.72, 0.85) * _ramp(-ratio, -1.5, -1.2),
        "oval": _ramp(ratio, 1.1, 1.25) * _ramp(-attributes.fill, -0.95, -0.8),
        "square": _ramp(-ratio, -1.4, -1.15) * _ramp(-attributes.roundness, -0.85, -0.74),
        "rectangular": _ramp(attributes.fill, 0.7, 0.82) * _ramp(-attributes.roundness, -0.85, -0.74),
        "long": max(_ramp(length, 1.0, 1.6), _ramp(ratio, 1.5, 2.2)),
        "flat": max(_ramp(attributes.flatness, 0.5, 0.8), _ramp(-height / max(length, 1e-3), -0.35, -0.15)),
        "tall": max(_ramp(height, 0.9, 1.3), _ramp(height / max(length, 1e-3), 1.2, 1.8)),
        "low": _ramp(-top, -0.8, -0.55),
        "wide": _ramp(width, 0.5, 0.9),
        "narrow": max(_ramp(-width, -0.5, -0.3), _ramp(ratio, 1.8, 2.6)),
        "small": _ramp(-length, -0.9, -0.45),
        "large": _ramp(length, 0.5, 1.0),
        "upright": max(_ramp(-attributes.horizontality, -0.5, -0.2), _ramp(height / max(length, 1e-3), 1.0, 1.5)),
    }
    fit = fits.get(shape, float("nan"))
    return NOT_MEASURED if math.isnan(fit) else fit


def _color_fit(wanted: str, measured: str, label_words: set[str]) -> float:
    if wanted in label_words:
        return 1.0
    return color_similarity(wanted, measured) if measured else NOT_MEASURED


def _noun(phrase: Phrase) -> str:
    """Return the longest end of the noun phrase that is a known name, else the head alone."""
    words = re.split(r"\s(?:with|of|that|which|for|to|used|without|made|in|on|at)\s", phrase.text + " ")[0].split()
    if phrase.head in words:
        words = words[: len(words) - words[::-1].index(phrase.head)]
    for start in range(len(words)):
        tail = " ".join(words[start:])
        known = find_class(tail)
        if known is not None and tail in known.synonyms:
            return tail
    return phrase.head


def _modifiers(phrase: Phrase) -> list[str]:
    """Return the open words besides the noun and the small words."""
    noun = set(_noun(phrase).split())
    words = re.findall(r"[a-z0-9]+(?:-[a-z0-9]+)*", phrase.text)
    return [word for word in words if word not in noun and word not in lexicon.STOPS and len(word) > 2]


def _noun_score(head: str, noun: str, wanted: KnownClass | None, core: str, offered: KnownClass | None) -> float:
    label_head = core.split()[-1] if core else ""
    if wanted is not None and offered is wanted and wanted.name in DIVERSE_CLASSES and wanted.name not in (noun, core):
        return 1.0 if noun == core else 0.2
    if noun == core or (wanted is not None and offered is not None and wanted.name == offered.name):
        if noun in (core, head) or head == label_head or wanted is None:
            return 1.0
        # One line of the table holds close kin too ("jacket", "trousers").
        return 0.95 if noun in wanted.synonyms[:1] or label_head in wanted.synonyms[:1] else 0.85
    # "the dining table" is not the side table, although both are tables.
    specific = wanted is not None and noun != head and offered is not None and wanted.name != offered.name
    if head == label_head and label_head and not specific:
        return 0.95
    if offered is not None and (noun in offered.kinds or (head in offered.kinds and not specific)):
        return 0.9
    if wanted is not None and offered is not None:
        if offered.name in wanted.kinds or label_head in wanted.kinds:
            # "a table" may be the coffee table that is meant, "a dining table" is another one; a pool table is called
            # a table, never a toy.
            general = label_head == head or head == noun or head not in wanted.kinds
            return 0.42 if core == label_head and general else 0.33
        if wanted.name in offered.kinds:
            return 0.33 if specific else 0.9
        shared = wanted.kinds & offered.kinds & {"drinkware", "food", "reading"}
        return 0.3 if shared else 0.0
    if wanted is not None and label_head in wanted.kinds:
        return 0.6
    return 0.0


def _hangs(phrase: Phrase) -> bool:
    """Tell whether a noun says that the thing is at the wall: "wall cabinet", "wall lamp", not "wall" itself."""
    words = phrase.text.split()
    return phrase.head in words[1:] and words[words.index(phrase.head, 1) - 1] == "wall"


def _is_kind(head: str, known: KnownClass) -> bool:
    return head in known.kinds or head in known.synonyms or head not in kinds() | lexicon.HYPERNYM_HEADS


def _phrase_texts(phrase: Phrase) -> list[str]:
    return [text for text in {phrase.text, phrase.head, _noun(phrase) if phrase.head else ""} if text]


def _label_texts(label: str) -> list[str]:
    known = find_class(label)
    if known is None:
        return [label]
    core = core_noun(label) or label
    return [template.format(name=core, use=known.use) for template in _TEMPLATES]


def _mean_direction(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    mean = vectors.mean(axis=0)
    return (mean / max(float(np.linalg.norm(mean)), 1e-9)).astype(np.float32)


def _ramp(value: float, low: float, high: float) -> float:
    """Return 0 below low, 1 above high, linear between; NaN stays NaN."""
    if math.isnan(value):
        return value
    return min(1.0, max(0.0, (value - low) / (high - low)))


def _article(name: str) -> str:
    first = name[:1]
    if not first or name.split()[-1] in {"stairs", "scissors", "clothes", "shelves"}:
        return name
    return f"{'an' if first in 'aeiou' else 'a'} {name}"


def _measures(attributes: Attributes) -> str:
    length, width, _ = attributes.size_m
    return f" ({length:.1f} x {width:.1f} m)" if math.isfinite(length) and math.isfinite(width) else ""

"""A text becomes sentences of lower-case words, if it is English."""

from __future__ import annotations

import re
import unicodedata

from lira_ros.reasoning.knowledge import vocabulary
from lira_ros.reasoning.language import lexicon

# Below this share of known English words a sentence is taken to be in another language; names that nobody put
# into a list must still pass ("find the didgeridoo").
MIN_ENGLISH_SHARE = 0.4
# A sentence half of whose words are common in other languages needs more known English words than that.
MAX_MIXED_SHARE = 0.75

_CONTRACTIONS = (
    (r"\bcan't\b", "can not"),
    (r"\bcannot\b", "can not"),
    (r"\bwon't\b", "will not"),
    (r"\b(\w+)n't\b", r"\1 not"),
    (r"\bi'm\b", "i am"),
    (r"\b(i|we|you|they)'ve\b", r"\1 have"),
    (r"\b(i|we|you|they|he|she|it|that)'ll\b", r"\1 will"),
    (r"\b(i|we|you|they|he|she)'d like\b", r"\1 would like"),
    (r"\b(i|we|you|they|he|she)'d\b", r"\1 would"),
    (r"\b(we|you|they)'re\b", r"\1 are"),
    (r"\b(what|where|which|who|that|there|here|it|he|she|how)'s\b", r"\1 is"),
    (r"\blet's\b", "let us"),
    (r"\b(\w+)'s\b", r"\1"),
    (r"\b(\w+)s'(?=\s|$)", r"\1s"),
)
_TOKEN = re.compile(r"[a-z0-9]+(?:[.'-][a-z0-9]+)*|[,.!?;:]")
_SENTENCE_END = frozenset(".!?;:")


def split_sentences(text: str) -> list[list[str]]:
    """Return the lower-case words of each sentence; commas stay as words of their own."""
    folded = unicodedata.normalize("NFKD", text.lower())
    folded = "".join(character for character in folded if unicodedata.category(character) != "Mn")
    folded = folded.replace("’", "'").replace("‘", "'").replace("`", "'").replace("ß", "ss")
    folded = re.sub(r",?\s*[\"“”]\s*,?", " ", folded)  # a quoted name stays in its sentence
    folded = re.sub(r"[()\[\]–—]|\s-+\s|\.{2,}", " , ", folded)
    for pattern, replacement in _CONTRACTIONS:
        folded = re.sub(pattern, replacement, folded)
    folded = re.sub(r"\b(left|right)[- ]hand\b", r"\1", folded)
    folded = re.sub(r"\b(\w+)[- ]colou?red\b", _split_colored, folded)
    folded = re.sub(r"\bcolou?r(s|ed)?\b", lambda match: "color" + (match[1] or ""), folded)
    folded = re.sub(r"\b(\w+)-(\w+)\b", _split_shade, folded)
    folded = re.sub(r"\b(\w+)-and-(\w+)\b", _split_shade, folded)
    folded = re.sub(r"\bneighbou?rhood\b", "neighborhood", folded)
    sentences: list[list[str]] = [[]]
    for token in _TOKEN.findall(folded):
        if token in _SENTENCE_END:
            sentences.append([])
        else:
            sentences[-1].append(token)
    return [sentence for sentence in sentences if any(token != "," for token in sentence)]


def _split_colored(match: re.Match[str]) -> str:
    return f"{match[1]} colored"


def _split_shade(match: re.Match[str]) -> str:
    first, second = match[1], match[2]
    if second in lexicon.COLORS and (first in lexicon.COLORS or first in lexicon.SHADES):
        return f"{first} and {second}" if first in lexicon.COLORS else f"{first} {second}"
    return match[0]


def foreign_because(tokens: list[str]) -> str:
    """Return why words do not look like English, "" when they do."""
    words = [token for token in tokens if any(character.isalpha() for character in token)]
    if not words:
        return "it has no words"
    known = sum(_is_english(word) for word in words)
    foreign = sum(word in lexicon.FOREIGN_WORDS for word in words)
    # "in" and "die" exist in several languages: a foreign word counts against English only when it is not English.
    strange = sum(word in lexicon.FOREIGN_WORDS and not _is_english(word) for word in words)
    share = known / len(words)
    if known == 0:
        return "none of its words is an English word that I know"
    mixed = strange > 0 and 2 * foreign >= len(words) and share < MAX_MIXED_SHARE
    if share < MIN_ENGLISH_SHARE or mixed or (strange >= 2 and strange > known - foreign):
        return "it does not look like English"
    return ""


def _is_english(word: str) -> bool:
    if word in lexicon.ENGLISH_WORDS or word in lexicon.COLORS or word in lexicon.SHAPES:
        return True
    stem = lexicon.singular(word)
    if word in vocabulary() or stem in vocabulary():
        return True
    if stem in lexicon.ENGLISH_WORDS or word in lexicon.SUPERLATIVES or word in lexicon.COMPARATIVES:
        return True
    if word in lexicon.REQUEST_VERBS or word in lexicon.MATERIALS or word in lexicon.POSTURES:
        return True
    return all(part in lexicon.ENGLISH_WORDS for part in word.split("-")) if "-" in word else word.isdigit()

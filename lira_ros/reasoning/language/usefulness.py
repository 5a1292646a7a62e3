"""Which of all known classes would answer a need, by what people say of their use."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from lira_ros.reasoning.knowledge import KnownClass, classes, kinds, names_of_classes
from lira_ros.reasoning.knowledge.uses import uses
from lira_ros.reasoning.language import lexicon
from lira_ros.reasoning.language.changes import asks_for_change
from lira_ros.reasoning.language.encoder import SentenceEncoder
from lira_ros.reasoning.language.lexicon import word_set
from lira_ros.reasoning.language.needs import needs_of
from lira_ros.reasoning.language.vector_store import encode_and_keep

# A statement that means just this tells more than the average of a class, but one alone may be a coincidence: the
# nearest and the mean of the three nearest count beside the class as a whole.
NEAREST_STATEMENTS = 3
# The following were chosen on the needs of the training homes (seeds 1 to 40) alone.
# What it is worth, as a cosine, that the word lists know the class to be for this,
LISTED_USE = 0.15
# that the need itself names the thing ("the milk goes sour" wants no milk),
NAMED_ITSELF = -0.12
# that "where" was asked and the thing is no place,
NO_PLACE = -0.08
# or that the thing is not of the kind that was asked for ("which container").
OTHER_KIND = -0.1
# A class whose cosine is this much lower than that of the best one answers a need a third as well (e-fold).
SHARPNESS = 0.08
# Among classes that the word lists know to be for the same, meaning chooses less.
SHARED_SHARPNESS = 0.4
# Nonsense reaches such cosines with the best class, plain needs the other.
REJECT_COSINE, FULL_COSINE = 0.2, 0.35

_PLACE_KINDS = word_set("furniture storage surface fixture appliance structure opening container luggage")
_NO_PLACE_KINDS = word_set("kitchenware hygiene drink drinkware food dish")
_PLACE_WORDS = word_set("where somewhere place spot wherein whereon")
_MENTIONING = lexicon.DETERMINERS | word_set("my your his her our their of with without some")
LONGEST_NAME = 3


class Usefulness:
    """Ranks the known classes for a need; safe to share between threads."""

    def __init__(self, encoder: SentenceEncoder, class_vectors: NDArray[np.float32]) -> None:
        """class_vectors: (number of classes, dimension) unit vectors in the order of ``classes()``."""
        self._encoder = encoder
        self._class_vectors = class_vectors
        names = list(classes())
        rows = [(names.index(name), statement) for name, own in uses().items() for statement in own]
        rows.sort()
        self._statements = encode_and_keep(encoder, [statement for _, statement in rows])
        self._owners = np.array([owner for owner, _ in rows])

    def of(self, text: str, kind: str = "") -> dict[str, float]:
        """Return in [0, 1] how well each known class answers a need, by name of the class.

        kind: a more general word that the thing must be ("container"), "" for any. Nothing answers a question for what
        was changed: what is there now does not tell.
        """
        if asks_for_change(text):
            return dict.fromkeys(classes(), 0.0)
        direction = self._encoder.encode([text])[0]
        total = (self._class_vectors @ direction + self._nearest(direction)) / 3.0
        wanted = needs_of(text)
        wanted -= {"sit"} if "sit_several" in wanted else set()
        named = mentioned(text)
        table = tuple(classes().values())
        place = bool(_PLACE_WORDS & set(text.lower().split()))
        places = {known.name for known in table if not place or _is_place(known)}
        for index, known in enumerate(table):
            total[index] += LISTED_USE * bool(wanted & known.affordances)
            total[index] += NAMED_ITSELF * (known.name in named)
            total[index] += NO_PLACE * (known.name not in places)
            total[index] += OTHER_KIND * (kind in kinds() and kind not in known.kinds)
        best = int(total.argmax())
        trust = min(1.0, max(0.0, (total[best] - REJECT_COSINE) / (FULL_COSINE - REJECT_COSINE)))
        shared = wanted & table[best].affordances
        widths = np.array(
            [SHARED_SHARPNESS if shared & known.affordances and known.name in places else SHARPNESS for known in table]
        )
        relative = trust * np.exp(np.minimum(0.0, (total - total[best]) / widths))
        return {known.name: float(value) for known, value in zip(table, relative, strict=True)}

    def _nearest(self, direction: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (number of classes,) sums of the nearest statement and the mean of the nearest few."""
        cosines = self._statements @ direction
        sums = 2.0 * (self._class_vectors @ direction)  # of classes without statements
        for owner in np.unique(self._owners):
            own = np.sort(cosines[self._owners == owner])[::-1][:NEAREST_STATEMENTS]
            sums[owner] = own[0] + own.mean()
        return sums


def mentioned(text: str) -> frozenset[str]:
    """Return the classes that a text names as things: after an article, a possessive or an adjective of its own."""
    words = re.findall(r"[a-z]+(?:-[a-z]+)*", text.lower())
    found: set[str] = set()
    for end in range(1, len(words) + 1):
        for start in range(max(0, end - LONGEST_NAME), end):
            known = names_of_classes().get(" ".join([*words[start : end - 1], lexicon.singular(words[end - 1])]))
            if known is None:
                continue
            before = words[max(0, start - 2) : start]
            if _MENTIONING & set(before) or lexicon.is_plural(words[end - 1]):
                found.add(known.name)
    return frozenset(found)


def _is_place(known: KnownClass) -> bool:
    return bool(known.kinds & _PLACE_KINDS) and not known.kinds & _NO_PLACE_KINDS

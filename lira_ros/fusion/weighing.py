"""How the opinion of a model that read the instruction changes how well an instance answers its phrase.

Where the phrase is a need or is open, meaning is all there is to compare, and a model that saw the thing knows more of
that than names and measures: its opinion dominates. Where the phrase names a kind of things, the opinion helps with
"is it one of that kind" only. What was measured of colours and shapes multiplies the outcome either way, and relations,
exclusions and ranks are decided after it, so no opinion makes an instance conform against what was measured.
"""

from __future__ import annotations

from dataclasses import replace

from lira_ros.fusion.opinions import WANTED_CONFIDENCE
from lira_ros.reasoning.contracts import Opinion
from lira_ros.reasoning.relevance import CONFORM_SCORE, Match

# Part of the score that the opinion decides of a need or an open phrase: a model that is sure outweighs words that say
# the opposite, and a single silent view does not outweigh words that are sure.
OPEN_SHARE = 0.75
# A thing of that kind by opinion alone is worth less than one of that name, as one of a similar name is (SIMILAR_NAME).
NAMED_CEILING = 0.8
# What a contrary opinion takes off a name: more than what tells two that are meant apart (1 - UNIQUE_SHARE), less than
# what would end a comparison with its rivals (1 - RIVAL_SHARE).
DOUBT = 0.25


def weigh(match: Match, opinion: Opinion, *, ranked: bool = False) -> Match:
    """Return how well an instance answers the phrase that is wanted, given what a model thinks of it.

    ranked: the instruction compares what answers the phrase, so a contrary opinion may be about that comparison, which
    is measured, and says nothing of the kind.
    """
    confidence = min(1.0, max(0.0, opinion.confidence))
    for_it = confidence >= WANTED_CONFIDENCE
    if match.by_meaning:
        kind = (1.0 - OPEN_SHARE) * match.kind + OPEN_SHARE * _as_score(confidence)
    elif for_it:
        kind = max(match.kind, NAMED_CEILING * _as_score(confidence))
    elif ranked:
        kind = match.kind
    else:
        kind = match.kind * (1.0 - DOUBT * (1.0 - confidence / WANTED_CONFIDENCE))
    score = round(min(1.0, kind * match.factor), 4)
    said = opinion.reason.strip().rstrip(".") or ("the model wants it" if for_it else "the model does not want it")
    fitted, fits = match.score >= CONFORM_SCORE, score >= CONFORM_SCORE
    if fits and not fitted:
        reason = f"{said}, although {match.reason}"
    elif for_it and not fits:
        reason = f"{said}, but {match.reason}"
    else:
        reason = f"{match.reason}, {'and' if for_it == fitted else 'but'} {said}"
    return replace(match, score=score, kind=kind, reason=reason)


def _as_score(confidence: float) -> float:
    """Return the score in [0, 1] of a confidence: undecided is where a thing begins to conform."""
    if confidence < WANTED_CONFIDENCE:
        return CONFORM_SCORE * confidence / WANTED_CONFIDENCE
    return CONFORM_SCORE + (1.0 - CONFORM_SCORE) * (confidence - WANTED_CONFIDENCE) / (1.0 - WANTED_CONFIDENCE)

"""What views say about whether an instance is wanted: the votes of models that read the instruction.

A model that names an instance in a keyframe says how sure it is that it is wanted. A keyframe that it was asked about
and that shows the instance well, without a word about it, is weak evidence that it is not: models overlook things.
The weights let no view outvote two others, so one wrong answer does not decide once an instance was seen thrice.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, NamedTuple

from lira_ros.reasoning.contracts import Opinion

# Weights of views by the quality of the view and the score of the mask lie between these: two views that agree weigh
# at least as much as any third one.
SMALLEST_WEIGHT, LARGEST_WEIGHT = 0.5, 1.0
# What a model says nothing of in a good view is rather not wanted. Vision-language models and detectors find half to
# four fifths of what is there in one picture, so three silent views weigh as much as one full answer.
SILENCE_WEIGHT = 1.0 / 3.0
# Half a view without an opinion is counted in, so that one view alone is never quite sure (an add-constant prior, as
# SUPPORT_PRIOR of the voxels).
PRIOR_WEIGHT, PRIOR_CONFIDENCE = 0.5, 0.5
# Views kept one by one for each instance and instruction; older ones are added up. The views of a loop around a room.
MAX_VIEWS = 64
# From this confidence on a view says that it is wanted.
WANTED_CONFIDENCE = 0.5


class ViewOpinion(NamedTuple):
    """What one keyframe says; weight 0 = it was named without an opinion. silent: shown well and not named."""

    confidence: float
    weight: float
    silent: bool = False


class OpinionVotes:
    """Votes of views on one instance for one instruction."""

    STATE: ClassVar[dict[str, Any]] = {
        "model": str,
        "views": dict[int, ViewOpinion],
        "_folded_up_to": int,
        "_weight": float,
        "_confidence": float,
        "_wanted": int,
        "_named": int,
        "_count": int,
    }

    def __init__(self) -> None:
        self.model = ""  # that named the instance last, or was silent when none ever did
        self.views: dict[int, ViewOpinion] = {}  # by keyframe id
        self._folded_up_to = 0
        self._weight = 0.0  # of the views added up
        self._confidence = 0.0  # weighted sum of theirs
        self._wanted = 0
        self._named = 0
        self._count = 0

    def knows(self, keyframe_id: int) -> bool:
        """Tell whether the keyframe has voted, or is too old to vote by its silence."""
        return keyframe_id in self.views or keyframe_id <= self._folded_up_to

    def name(self, keyframe_id: int, confidence: float, weight: float, model: str) -> None:
        """Note what a model says of the instance in a keyframe; NaN = it was named without an opinion."""
        if math.isnan(confidence):
            if not self.knows(keyframe_id) or self._is_silent(keyframe_id):
                self.views[keyframe_id] = ViewOpinion(PRIOR_CONFIDENCE, 0.0)
            return
        self.model = model
        view = ViewOpinion(confidence, min(LARGEST_WEIGHT, max(SMALLEST_WEIGHT, weight)))
        before = self.views.get(keyframe_id)
        if before is not None and not before.silent and before.weight > 0:
            view = _both(before, view)  # two masks of one answer that show the same thing
        self._put(keyframe_id, view)

    def overlook(self, keyframe_id: int, model: str) -> None:
        """Note that a model was asked about a keyframe that shows the instance well, and did not name it."""
        if not self.knows(keyframe_id):
            self.model = self.model or model
            self._put(keyframe_id, ViewOpinion(0.0, SILENCE_WEIGHT, silent=True))

    def forget_silence(self, keyframe_id: int) -> bool:
        """Take the silence of a keyframe back, because its pose was wrong; tell whether there was any."""
        silent = self._is_silent(keyframe_id)
        if silent:
            del self.views[keyframe_id]
        return silent

    def fold(self, keyframe_id: int) -> None:
        """Add up the votes of the keyframes up to one that is forgotten."""
        for old in [key for key in self.views if key <= keyframe_id]:
            self._add_up(self.views.pop(old))
        self._folded_up_to = max(self._folded_up_to, keyframe_id)

    def absorb(self, other: OpinionVotes) -> None:
        """Take over the votes on another instance that turned out to be the same; a keyframe still votes once."""
        for keyframe_id, view in other.views.items():
            mine = self.views.get(keyframe_id)
            if mine is None or (mine.silent and not view.silent) or mine.weight == 0.0:
                self._put(keyframe_id, view)
            elif not view.silent and view.weight > 0.0:
                self._put(keyframe_id, _both(mine, view))
        self._weight += other._weight
        self._confidence += other._confidence
        self._wanted += other._wanted
        self._named += other._named
        self._count += other._count
        self.model = self.model or other.model

    def opinion(self) -> Opinion | None:
        """Return the weighted mean of the votes with their number in words; None without any vote."""
        total = OpinionVotes()
        total._weight, total._confidence, total._count = self._weight, self._confidence, self._count
        total._wanted, total._named = self._wanted, self._named
        for _, view in sorted(self.views.items()):  # in one order, so that equal votes give equal sums
            total._add_up(view)
        if total._count == 0:
            return None
        weight = total._weight + PRIOR_WEIGHT
        confidence = (total._confidence + PRIOR_WEIGHT * PRIOR_CONFIDENCE) / weight
        views = f"{total._count} view{'' if total._count == 1 else 's'}"
        if total._wanted:
            reason = f"the model answered it in {total._wanted} of {views}"
        elif total._named:
            reason = f"the model took it for something else in {total._named} of {views}"
        else:
            reason = f"the model did not answer it in {views} that show{'s' if total._count == 1 else ''} it well"
        return Opinion(round(confidence, 6), reason, self.model)

    def _is_silent(self, keyframe_id: int) -> bool:
        view = self.views.get(keyframe_id)
        return view is not None and view.silent

    def _put(self, keyframe_id: int, view: ViewOpinion) -> None:
        if keyframe_id <= self._folded_up_to:
            self._add_up(view)
            return
        self.views[keyframe_id] = view
        if len(self.views) > MAX_VIEWS:
            self.fold(min(self.views))

    def _add_up(self, view: ViewOpinion) -> None:
        if view.weight == 0.0:
            return
        self._weight += view.weight
        self._confidence += view.weight * view.confidence
        self._count += 1
        self._named += not view.silent
        self._wanted += view.confidence >= WANTED_CONFIDENCE


def _both(first: ViewOpinion, second: ViewOpinion) -> ViewOpinion:
    weight = first.weight + second.weight
    confidence = (first.weight * first.confidence + second.weight * second.confidence) / weight
    return ViewOpinion(confidence, max(first.weight, second.weight))

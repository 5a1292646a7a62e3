"""Whether an instance exists: what keyframes say about it, added up in the order of the sensor, not of arrival.

Votes are worth what they tell anew. Ten keyframes of one second from one place show the same reflection or the same
bad mask ten times; so a vote counts by the time and the way of the camera since the last one that said the same.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

# Clamped as in OctoMap (Hornung et al. 2013), 0.12 ... 0.97, so that what has changed is learned again.
LARGEST_LOG_ODDS = math.log(0.97 / 0.03)
SMALLEST_LOG_ODDS = math.log(0.1199 / 0.8801)

# A view tells something new in full after this way of the camera [m] or this time [s], in part before. 0.3 m turns the
# line of sight to a thing at 2 m by 8.5 degrees: reflections, silhouettes and occlusions that fooled a mask have moved.
# From one place nothing changes but exposure, motion blur and who walks by, which takes two seconds.
INDEPENDENT_WAY_M = 0.3
INDEPENDENT_TIME_S = 2.0

# Two independent sightings of OctoMap's sensor model make 0.84: from there on an instance is confirmed, before it is
# provisional.
CONFIRMED_LOOKS = 2.0

NANOSECONDS = 1e-9


@dataclass(frozen=True)
class Vote:
    """What one keyframe says about existence.

    seen: that the instance is there. answered: with candidates, not from depth alone. stamp_ns: of the keyframe.
    position_m: (x, y, z) of its camera in the map frame.
    """

    log_odds: float
    seen: bool
    answered: bool
    stamp_ns: int
    position_m: tuple[float, float, float]

    def new_since(self, before: Vote | None) -> float:
        """Return how much of this vote is new, in [0, 1], after one that said the same."""
        if before is None:
            return 1.0
        time_s = abs(self.stamp_ns - before.stamp_ns) * NANOSECONDS
        way_m = math.dist(self.position_m, before.position_m)
        return min(1.0, time_s / INDEPENDENT_TIME_S + way_m / INDEPENDENT_WAY_M)


@dataclass(frozen=True)
class _Sum:
    """What votes add up to, in the order of the sensor; for and against: the last that said so."""

    log_odds: float = 0.0
    answered_log_odds: float = 0.0
    looks: float = 0.0
    sightings: int = 0
    last_for: Vote | None = None
    last_against: Vote | None = None
    last_answered_against: Vote | None = None

    def plus(self, vote: Vote) -> _Sum:
        if vote.seen:
            new = vote.new_since(self.last_for)
            return replace(
                self,
                log_odds=_clamped(self.log_odds + new * vote.log_odds),
                answered_log_odds=_clamped(self.answered_log_odds + new * vote.log_odds),
                looks=self.looks + new,
                sightings=self.sightings + 1,
                last_for=vote,
            )
        # Nothing speaks against what was not seen yet.
        if self.sightings == 0 or vote.log_odds == 0.0:
            return self
        after = replace(
            self,
            log_odds=_clamped(self.log_odds + vote.new_since(self.last_against) * vote.log_odds),
            last_against=vote,
        )
        if not vote.answered:
            return after
        answered = _clamped(self.answered_log_odds + vote.new_since(self.last_answered_against) * vote.log_odds)
        return replace(after, answered_log_odds=answered, last_answered_against=vote)


class ExistenceVotes:
    """The votes of keyframes on one instance, one each; those of forgotten keyframes as their sum."""

    STATE: ClassVar[dict[str, Any]] = {"_votes": dict[int, Vote], "_newest": int, "_folded": _Sum}
    _sum: _Sum | None = None  # of all, None when votes have changed

    def __init__(self) -> None:
        self._votes: dict[int, Vote] = {}
        self._newest = 0
        self._folded = _Sum()

    def __iter__(self) -> Iterator[int]:
        return iter(self._votes)

    def get(self, keyframe_id: int) -> Vote | None:
        """Return the vote of a keyframe, None when it has none or is forgotten."""
        return self._votes.get(keyframe_id)

    def cast(self, keyframe_id: int, vote: Vote) -> None:
        """Take the vote of a keyframe, in place of an earlier one."""
        newest = keyframe_id > self._newest
        self._votes[keyframe_id] = vote
        self._newest = max(self._newest, keyframe_id)
        # As a rule votes come in the order of the sensor, and nothing has to be added up again.
        self._sum = self._sum.plus(vote) if newest and self._sum is not None else None

    def withdraw_against(self, keyframe_ids: Collection[int]) -> bool:
        """Forget what these keyframes said against the instance; tell whether they did."""
        against = [key for key in self._votes if key in keyframe_ids and not self._votes[key].seen]
        for keyframe_id in against:
            del self._votes[keyframe_id]
        self._sum = None
        return bool(against)

    def place(self, keyframe_id: int, position_m: tuple[float, float, float]) -> None:
        """Take over the corrected position of a camera."""
        vote = self._votes.get(keyframe_id)
        if vote is not None:
            self.cast(keyframe_id, replace(vote, position_m=position_m))

    def fold(self, keyframe_id: int) -> None:
        """Keep of the votes up to a keyframe that is forgotten only what they add up to."""
        for old in sorted(item for item in self._votes if item <= keyframe_id):
            self._folded = self._folded.plus(self._votes.pop(old))
        self._sum = None

    def absorb(self, other: ExistenceVotes) -> None:
        """Take over the votes on another instance that turned out to be this one; of two the clearer one holds."""
        for keyframe_id, vote in other._votes.items():
            mine = self._votes.get(keyframe_id)
            if mine is None or (vote.seen, vote.answered, vote.log_odds) > (mine.seen, mine.answered, mine.log_odds):
                self._votes[keyframe_id] = vote
        self._newest = max(self._newest, other._newest)
        mine_folded, others = self._folded, other._folded
        # Views of both are in both sums: looks and sightings are those of the one that was seen more.
        more = mine_folded if mine_folded.looks >= others.looks else others
        self._folded = replace(
            more,
            log_odds=_clamped(mine_folded.log_odds + others.log_odds),
            answered_log_odds=_clamped(mine_folded.answered_log_odds + others.answered_log_odds),
        )
        self._sum = None

    def probability(self, answered_only: bool = False) -> float:
        """Return the probability that it exists, from its first sighting on.

        answered_only: without what depth alone says, of keyframes that no answer looked at.
        """
        total = self._total()
        return 1.0 / (1.0 + math.exp(-(total.answered_log_odds if answered_only else total.log_odds)))

    def looks(self) -> float:
        """Return what the sightings are worth as independent ones."""
        return self._total().looks

    def sightings(self) -> int:
        """Return the number of keyframes in which it was seen."""
        return self._total().sightings

    def last_against(self) -> Vote | None:
        """Return the last vote against it since it was last seen, None when it was seen since."""
        total = self._total()
        if total.last_against is None or total.last_for is None:
            return None
        return total.last_against if total.last_against.stamp_ns > total.last_for.stamp_ns else None

    def _total(self) -> _Sum:
        if self._sum is None:
            total = self._folded
            for keyframe_id in sorted(self._votes):
                total = total.plus(self._votes[keyframe_id])
            self._sum = total
        return self._sum


def _clamped(log_odds: float) -> float:
    return min(LARGEST_LOG_ODDS, max(SMALLEST_LOG_ODDS, log_odds))

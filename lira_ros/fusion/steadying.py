"""Keeps the answer to an instruction from flickering while its evidence is a tie.

A verdict that changes is shown at once when what decided it is more than a standard deviation clear, or when the change
has held for some keyframes and seconds of the sensor. Until then the earlier answer stays, with a reason that says so.
What is newly found never waits, unless it would take the place of an answer that stays. What came up at this very stamp
of the sensor is no earlier answer: when an instruction is given after a walk, answers about old keyframes come in one
after the other, and the last of them counts whichever was first.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from lira_ros.fusion.contracts import Conformity, Judgement, SearchState, Verdict
from lira_ros.fusion.target_inference import TIE_CERTAINTY
from lira_ros.reasoning.constraint import Constraint

# A change that is not certain has to hold for both. Depth and masks of keyframes a second apart err independently:
# three agree by chance once in eight times, and a person waits three seconds for an answer without wondering.
HOLD_KEYFRAMES, HOLD_S = 3, 3.0


def is_selective(constraint: Constraint) -> bool:
    """Return whether what conforms excludes others: one thing is meant, so many, or a place in an order."""
    own = constraint.rank is not None or constraint.count is not None or constraint.phrase.unique
    return own or any(is_selective(alternative) for alternative in constraint.alternatives)


@dataclass(frozen=True)
class _Change:
    """A change that is not shown yet: since when."""

    stamp_ns: int
    keyframes: int


class SteadyVerdicts:
    """What was shown last of one instruction. Not thread-safe: it has one owner."""

    STATE: ClassVar[dict[str, Any]] = {
        "_shown": dict[int, Verdict],
        "_since_ns": dict[int, int],
        "_changes": dict[int, _Change],
    }

    def check_state(self) -> None:
        """Raise ValueError when it is not known since when something is shown."""
        if not {key for key in self._shown if self._conformed(key)} <= self._since_ns.keys():
            raise ValueError("an answer is shown since no time")

    def __init__(self, constraint: Constraint) -> None:
        self._selective = is_selective(constraint)
        self._shown: dict[int, Verdict] = {}  # by instance id, as shown last
        self._since_ns: dict[int, int] = {}  # stamp at which each shown answer came up, by instance id
        self._changes: dict[int, _Change] = {}

    @property
    def is_waiting(self) -> bool:
        """Return whether an answer is kept that the newest measures do not give."""
        return bool(self._changes)

    def steady(self, judgement: Judgement, stamp_ns: int, keyframes: int) -> Judgement:
        """Return a judgement in which verdicts that changed without being certain are as before.

        stamp_ns: of the newest keyframe; keyframes: how many were answered so far. Neither falls.
        """
        verdicts = judgement.verdicts
        self._changes = {key: change for key, change in self._changes.items() if key in verdicts}
        now = _Change(stamp_ns, keyframes)
        lost = [key for key in verdicts if self._conformed(key) and not _conforms(verdicts[key])]
        kept = [key for key in lost if self._since_ns[key] < stamp_ns and self._waits(key, verdicts[key], now)]
        gained = [key for key in verdicts if not self._conformed(key) and _conforms(verdicts[key])]
        late: list[int] = []
        if self._selective and kept:
            # What would take the place of something that stays waits as long as that does.
            late = [key for key in gained if self._waits(key, verdicts[key], now)]
        for key in self._changes.keys() - {*kept, *late}:
            del self._changes[key]
        shown = dict(verdicts)
        for key in (*kept, *late):
            held_s = 1e-9 * (stamp_ns - self._changes[key].stamp_ns)
            before = self._shown.get(key, replace(verdicts[key], conformity=Conformity.REJECTED))
            shown[key] = _held(before, verdicts[key], held_s)
        self._shown = shown
        self._since_ns = {
            key: self._since_ns.get(key, stamp_ns) for key, verdict in shown.items() if _conforms(verdict)
        }
        if not kept and not late:
            return judgement
        found = sum(_conforms(verdict) for verdict in shown.values())
        things = f"{len(shown)} thing{'' if len(shown) == 1 else 's'}"
        verb = "conforms" if found == 1 else "conform"
        reason = f"{found} of {things} {verb}; the newest measures say otherwise, but not certainly."
        return Judgement(SearchState.FOUND, reason, shown)

    def _conformed(self, key: int) -> bool:
        return key in self._shown and _conforms(self._shown[key])

    def _waits(self, key: int, verdict: Verdict, now: _Change) -> bool:
        """Tell whether a change is to be kept back, and remember when it began."""
        if verdict.certainty >= TIE_CERTAINTY:
            return False
        began = self._changes.setdefault(key, now)
        return now.keyframes - began.keyframes < HOLD_KEYFRAMES or now.stamp_ns - began.stamp_ns < HOLD_S * 1e9


def _conforms(verdict: Verdict) -> bool:
    return verdict.conformity is Conformity.CONFORMS


def _held(before: Verdict, newest: Verdict, held_s: float) -> Verdict:
    reason = f"{newest.reason.rstrip('.')}: not certain, and so for {held_s:.1f} s only, so the earlier answer stays."
    return replace(before, score=min(before.score, newest.score), reason=reason, certainty=newest.certainty)

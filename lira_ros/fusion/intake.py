"""What every engine does with its input before it fuses anything: refuse what cannot be fused, and let answers wait."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

from lira_ros.fusion.configuration import FusionConfiguration
from lira_ros.fusion.engine import FusionError, Outcome, Refusal, fault_of
from lira_ros.fusion.lifting import StoredKeyframe
from lira_ros.geometry.frame import Keyframe
from lira_ros.reasoning.contracts import CandidateSet


class Intake:
    """Counts what was refused, and keeps answers that came before their keyframe."""

    STATE: ClassVar[dict[str, Any]] = {"_forgotten_up_to": int, "_cleared": set[int]}

    def __init__(self, configuration: FusionConfiguration) -> None:
        self.refused: Counter[str] = Counter()
        self.last_refusal = ""
        self._configuration = configuration
        self._waiting: OrderedDict[tuple[int, str], CandidateSet] = OrderedDict()
        self._forgotten_up_to = 0
        self._cleared: set[int] = set()  # keyframes of places that were cleared

    def refuse(self, refusal: Refusal, message: str) -> FusionError:
        """Count a refusal and return the error to be raised."""
        self.refused[refusal.value] += 1
        self.last_refusal = message
        return FusionError(refusal, message)

    def takes(self, keyframe: Keyframe, known: StoredKeyframe | None) -> bool:
        """Tell whether a keyframe is new and wanted; ``known`` is what is kept under its id.

        Raises FusionError when the id was used for another stamp.
        """
        if known is None:
            return keyframe.id > self._forgotten_up_to and keyframe.id not in self._cleared
        if known.stamp_ns != keyframe.frame.stamp_ns:
            raise self.refuse(
                Refusal.KEYFRAME_CHANGED,
                f"keyframe {keyframe.id}: came again with stamp {keyframe.frame.stamp_ns} ns, "
                f"expected {known.stamp_ns} ns; the first is kept",
            )
        return False

    def check_ids(self, candidates: CandidateSet) -> None:
        """Raise FusionError for an answer without an instruction or with an impossible keyframe id."""
        if not candidates.instruction_id:
            raise self.refuse(
                Refusal.MISSING_INSTRUCTION,
                f"candidates of keyframe {candidates.keyframe_id}: expected the id of an instruction, got none",
            )
        if candidates.keyframe_id < 1:
            raise self.refuse(
                Refusal.INVALID_KEYFRAME_ID,
                f"candidates: expected a keyframe id of at least 1, got {candidates.keyframe_id}",
            )

    def check(self, candidates: CandidateSet, stored: StoredKeyframe) -> None:
        """Raise FusionError for an answer that does not belong to its keyframe or holds impossible numbers."""
        fault = fault_of(candidates, stored.stamp_ns, stored.camera)
        if fault is not None:
            raise self.refuse(*fault)

    def is_waiting(self, candidates: CandidateSet) -> bool:
        """Tell whether an answer to the same instruction about the same keyframe waits."""
        return (candidates.keyframe_id, candidates.instruction_id) in self._waiting

    @property
    def waiting(self) -> int:
        """Return how many answers wait for their keyframe."""
        return len(self._waiting)

    def wait(self, candidates: CandidateSet) -> Outcome:
        """Let an answer wait for its keyframe; raises FusionError when that is forgotten or its place was cleared."""
        if candidates.keyframe_id in self._cleared:
            raise self.refuse(
                Refusal.KEYFRAME_FORGOTTEN,
                f"candidates of keyframe {candidates.keyframe_id}: its place was cleared from the map",
            )
        if candidates.keyframe_id <= self._forgotten_up_to:
            raise self.refuse(
                Refusal.KEYFRAME_FORGOTTEN,
                f"candidates of keyframe {candidates.keyframe_id}: expected one of the newest "
                f"{self._configuration.max_keyframes} keyframes within {self._configuration.max_keyframe_mib} MiB, "
                f"those up to {self._forgotten_up_to} are forgotten",
            )
        self._waiting[candidates.keyframe_id, candidates.instruction_id] = candidates
        while len(self._waiting) > self._configuration.max_waiting:
            (keyframe_id, _), _ = self._waiting.popitem(last=False)
            self.refuse(
                Refusal.KEYFRAME_NEVER_CAME,
                f"candidates of keyframe {keyframe_id}: dropped after waiting, the keyframe is not known and "
                f"{self._configuration.max_waiting} newer answers wait too",
            )
        return Outcome.WAITING

    def waited_for(self, keyframe_id: int) -> Iterator[CandidateSet]:
        """Hand out the answers that waited for a keyframe, in the order in which they came."""
        for key in [key for key in self._waiting if key[0] == keyframe_id]:
            yield self._waiting.pop(key)

    def clear(self, keyframe_ids: Iterable[int]) -> None:
        """Refuse these keyframes from now on: their places were cleared from the map."""
        self._cleared.update(keyframe_ids)

    def forget(self, keyframe_id: int) -> None:
        """Refuse keyframes up to this one from now on, and drop what waits for one of them."""
        self._forgotten_up_to = max(self._forgotten_up_to, keyframe_id)
        for key in [key for key in self._waiting if key[0] <= keyframe_id]:
            del self._waiting[key]
            self.refuse(
                Refusal.KEYFRAME_NEVER_CAME,
                f"candidates of keyframe {key[0]}: dropped, the keyframe never came and newer ones are forgotten",
            )

"""A search for what an instruction asks for: when it ends, and how."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from lira_ros.fusion.contracts import InstructionStatus, SearchState

# An instruction that was accepted is in the list of instructions within milliseconds; the list that does not show it
# for so long comes from another reasoning node, or from none.
UNSEEN_S = 10.0


class SearchEnd(Enum):
    """How a search ended; names equal the codes of lira_msgs/FindInstances."""

    OK = "OK"
    REFUSED = "REFUSED"
    TIMED_OUT = "TIMED_OUT"
    CANCELLED = "CANCELLED"
    PREEMPTED = "PREEMPTED"
    NONE_CONFORM = "NONE_CONFORM"
    NOT_AVAILABLE = "NOT_AVAILABLE"


@dataclass(frozen=True)
class SearchOrder:
    """What ends a search; fields as in the goal of lira_msgs/FindInstances."""

    stop_after: int = 0
    timeout_s: float = 0.0
    stop_when_none: bool = False


@dataclass
class InstanceSearch:
    """Follows one instruction; time is counted from step to step, so that a clock that goes back ends nothing."""

    order: SearchOrder
    instruction_id: str = ""
    elapsed_s: float = 0.0
    _clock_ns: int = field(default=0, repr=False)
    _seen: bool = field(default=False, repr=False)
    _unseen_since_s: float | None = field(default=None, repr=False)

    def tick(self, now_ns: int) -> None:
        """Count the time that has passed on a clock; 0 is a clock that has not begun (simulated time)."""
        if self._clock_ns and now_ns > self._clock_ns:
            self.elapsed_s += (now_ns - self._clock_ns) / 1e9
        self._clock_ns = now_ns

    def outcome(
        self, status: InstructionStatus | None, found: int, is_active: bool, steady_s: float
    ) -> tuple[SearchEnd, str] | None:
        """Return how the search has ended and a sentence for a person, None while it goes on.

        status: what fusion says of the instruction, None before it says anything. found: instances that conform.
        is_active: the instruction is in the list of the reasoning node. steady_s: a clock that never jumps [s].
        """
        name, order = self.instruction_id, self.order
        if 0 < order.stop_after <= found:
            return SearchEnd.OK, f"{name}: {found} found after {self.elapsed_s:.1f} s"
        if is_active:
            self._seen, self._unseen_since_s = True, None
        elif self._seen:
            return (
                SearchEnd.CANCELLED,
                f"{name}: the instruction was cancelled by somebody else, or the reasoning ended",
            )
        elif self._unseen_since_s is None:
            self._unseen_since_s = steady_s
        elif steady_s - self._unseen_since_s > UNSEEN_S:
            return SearchEnd.NOT_AVAILABLE, f"{name}: was accepted, but is not among the instructions"
        if order.stop_when_none and found == 0 and status is not None and status.state == SearchState.NONE_CONFORM:
            return SearchEnd.NONE_CONFORM, f"{name}: {status.reason}"
        if 0.0 < order.timeout_s <= self.elapsed_s:
            return SearchEnd.TIMED_OUT, f"{name}: {found} found within {order.timeout_s:g} s"
        return None

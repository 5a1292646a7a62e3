"""What the reasoning knows, as bytes: the instructions, and what was asked and answered of them."""

from __future__ import annotations

from dataclasses import dataclass

from lira_ros.reasoning.instructions import InstructionBook, SavedInstruction
from lira_ros.reasoning.scheduler import ReasoningScheduler, SchedulerState
from lira_ros.state.columns import from_bytes, to_bytes

STATE_NAME = "instructions"


@dataclass
class _ReasoningState:
    instructions: list[SavedInstruction]
    used: int
    scheduler: SchedulerState


def export_state(book: InstructionBook, scheduler: ReasoningScheduler) -> bytes:
    """Return instructions, and which keyframes were answered; what is in flight counts as not asked yet."""
    instructions = [SavedInstruction(item.id, item.text, item.submitted_ns) for item in book.active]
    return to_bytes(_ReasoningState(instructions, book.used, scheduler.export_state()), _ReasoningState, STATE_NAME)


def import_state(data: bytes, book: InstructionBook, scheduler: ReasoningScheduler) -> tuple[str, ...]:
    """Go on from what export_state() gave, in place of what is known; keyframes are to be added again.

    Returns a sentence for each instruction that cannot be taken up here, for instance because its language is not read.
    Raises StateError with everything as it was.
    """
    state: _ReasoningState = from_bytes(data, _ReasoningState, STATE_NAME)
    problems = book.restore(state.instructions, state.used)
    scheduler.import_state(state.scheduler, {item.id: item for item in book.active})
    for item in book.active:
        if item.id not in state.scheduler.searches:
            scheduler.add_instruction(item)
    return problems

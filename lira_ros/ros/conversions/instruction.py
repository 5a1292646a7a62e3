"""lira_msgs/Instruction and InstructionStatus <-> the contracts of reasoning and fusion."""

from __future__ import annotations

from collections.abc import Sequence

from lira_msgs.msg import Instruction as InstructionMessage
from lira_msgs.msg import InstructionArray, InstructionStatusArray
from lira_msgs.msg import InstructionStatus as InstructionStatusMessage
from lira_ros.fusion.contracts import InstructionStatus, SearchState
from lira_ros.reasoning.contracts import Instruction
from lira_ros.reasoning.instructions import check_id
from lira_ros.reasoning.language.parser import describe, parse
from lira_ros.reasoning.plain_text import plain_text
from lira_ros.ros.conversions.time import stamp_from_ns, stamp_to_ns

# A state in words with counts and the sentence of the last failure.
MAX_STATUS_CHARACTERS = 2000


def instruction_to_message(instruction: Instruction) -> InstructionMessage:
    """Convert an accepted instruction; ``understood`` is its constraint in words."""
    return InstructionMessage(
        id=instruction.id,
        text=instruction.text,
        understood=describe(instruction.constraint),
        submitted=stamp_from_ns(instruction.submitted_ns),
    )


def instruction_from_message(message: InstructionMessage) -> Instruction:
    """Convert back by parsing the text again; raises InstructionError when it cannot be, and for an id that is none.

    Whoever accepted it knew whether the back end reads other languages.
    """
    constraint = parse(message.text, any_language=True)
    return Instruction(check_id(message.id), message.text, constraint, stamp_to_ns(message.submitted))


def instructions_to_message(instructions: Sequence[Instruction], stamp_ns: int) -> InstructionArray:
    """Convert the whole list of active instructions; the stamp is the ROS time of the change."""
    message = InstructionArray(instructions=[instruction_to_message(item) for item in instructions])
    message.header.stamp = stamp_from_ns(stamp_ns)
    return message


def status_to_message(status: InstructionStatus) -> InstructionStatusMessage:
    """Convert the status of one instruction."""
    return InstructionStatusMessage(
        instruction_id=status.instruction_id,
        state=int(status.state),
        reason=status.reason,
        keyframes_answered=status.keyframes_answered,
        keyframes_pending=status.keyframes_pending,
        instances_judged=status.instances_judged,
        instances_found=status.instances_found,
    )


def status_from_message(message: InstructionStatusMessage) -> InstructionStatus:
    """Convert back; raises ValueError for a state that does not exist. The reason is kept as one line."""
    return InstructionStatus(
        instruction_id=message.instruction_id,
        state=SearchState(message.state),
        reason=plain_text(message.reason, MAX_STATUS_CHARACTERS),
        keyframes_answered=message.keyframes_answered,
        keyframes_pending=message.keyframes_pending,
        instances_judged=message.instances_judged,
        instances_found=message.instances_found,
    )


def statuses_to_message(statuses: Sequence[InstructionStatus], stamp_ns: int, map_frame: str) -> InstructionStatusArray:
    """Convert the statuses of all instructions; the stamp is that of the newest keyframe considered."""
    message = InstructionStatusArray(statuses=[status_to_message(item) for item in statuses])
    message.header.stamp = stamp_from_ns(stamp_ns)
    message.header.frame_id = map_frame
    return message

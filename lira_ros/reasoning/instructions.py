"""The book of instructions: which are asked, under which ids, within which bounds."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from lira_ros.configuration import parameter
from lira_ros.reasoning.contracts import Instruction
from lira_ros.reasoning.language.parser import InstructionError, parse

# Ids end up in topic keys, file names and marker namespaces; this alphabet is safe in all of them.
ID_PATTERN = re.compile(r"[A-Za-z0-9_-]{1,64}")


def check_id(instruction_id: str) -> str:
    """Return an id of an instruction; raises InstructionError with the code ID_INVALID for one that is none."""
    if not ID_PATTERN.fullmatch(instruction_id):
        raise InstructionError(
            "ID_INVALID", f"id {instruction_id[:80]!r}: expected 1 to 64 letters, digits, '_' or '-'"
        )
    return instruction_id


@dataclass(frozen=True)
class InstructionConfiguration:
    """Bounds of the instruction book."""

    max_instructions: int = parameter(
        64, "Instructions that may be active at once; further ones are refused", minimum=1, maximum=1000
    )


@dataclass
class SavedInstruction:
    """An instruction as it was given."""

    id: str
    text: str
    submitted_ns: int


class InstructionBook:
    """Holds the active instructions in order of submission. Not thread-safe: it has one owner.

    any_language: whoever answers them reads them itself (Reasoner.any_language).
    """

    def __init__(self, configuration: InstructionConfiguration, *, any_language: bool = False) -> None:
        self._configuration = configuration
        self._any_language = any_language
        self._active: dict[str, Instruction] = {}
        self._used = 0

    @property
    def active(self) -> tuple[Instruction, ...]:
        """Return the active instructions, oldest first."""
        return tuple(self._active.values())

    def get(self, instruction_id: str) -> Instruction | None:
        """Return an active instruction, or None."""
        return self._active.get(instruction_id)

    def submit(self, text: str, instruction_id: str = "", *, replace: bool = False, stamp_ns: int = 0) -> Instruction:
        """Accept an instruction and return it.

        An empty id gets one made up ("find-1", ...). Raises InstructionError with the code name of
        lira_msgs/SubmitInstruction: EMPTY_TEXT, TEXT_TOO_LONG, NOT_UNDERSTOOD, ID_INVALID, ID_IN_USE or
        TOO_MANY_INSTRUCTIONS; the book is then unchanged.
        """
        if instruction_id:
            check_id(instruction_id)
        in_use = instruction_id in self._active
        if in_use and not replace:
            raise InstructionError("ID_IN_USE", f"id {instruction_id!r} is already in use; set replace to replace it")
        if not in_use and len(self._active) >= self._configuration.max_instructions:
            raise InstructionError(
                "TOO_MANY_INSTRUCTIONS",
                f"{len(self._active)} instructions are active, which is the limit (max_instructions); cancel one first",
            )
        constraint = parse(text, any_language=self._any_language)
        if not instruction_id:
            instruction_id = self._fresh_id()
        instruction = Instruction(instruction_id, text, constraint, stamp_ns)
        self._active.pop(instruction_id, None)  # a replaced instruction counts as submitted now
        self._active[instruction_id] = instruction
        return instruction

    @property
    def used(self) -> int:
        """Return how many ids were made up so far."""
        return self._used

    def restore(self, saved: Sequence[SavedInstruction], used: int) -> tuple[str, ...]:
        """Put saved instructions in the place of the active ones; return a sentence for each that is refused.

        used: how many ids were made up then; those are not made up again.
        """
        self._active.clear()
        self._used = max(self._used, used)
        problems = []
        for item in saved:
            try:
                self.submit(item.text, item.id, stamp_ns=item.submitted_ns)
            except InstructionError as error:
                problems.append(f"instruction {item.id!r:.80}: {error}")
        return tuple(problems)

    def cancel(self, instruction_id: str = "") -> tuple[str, ...]:
        """Cancel one instruction, or all with an empty id; return the ids that were cancelled.

        Raises KeyError for an id that is not active.
        """
        if not instruction_id:
            cancelled = tuple(self._active)
            self._active.clear()
            return cancelled
        del self._active[instruction_id]
        return (instruction_id,)

    def _fresh_id(self) -> str:
        while True:
            self._used += 1
            if (candidate := f"find-{self._used}") not in self._active:
                return candidate

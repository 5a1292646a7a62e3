"""The replay back end: answers from a record of exchanges, so that a run can be had again without its model."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from lira_ros.configuration import parameter
from lira_ros.geometry.frame import Keyframe
from lira_ros.reasoning.contracts import CandidateSet, Instruction, Reasoner, ReasoningError
from lira_ros.reasoning.exchange_format import image_hash, read_answer, read_question
from lira_ros.reasoning.exchanges import MAX_LINE_BYTES
from lira_ros.reasoning.plain_text import plain_text

# As much of an instruction as names it in an error.
SHOWN_CHARACTERS = 80


@dataclass(frozen=True)
class ReplayConfiguration:
    """Which record answers."""

    exchanges: str = parameter("", "File of recorded exchanges (reasoner.record_exchanges) that replay answers from")


class ReplayReasoner(Reasoner):
    """Answers what was recorded about the same stamp, image and instruction text.

    A question that was asked several times, as after a failure, is answered as it was the first time, the second time
    and so on; the last answer is repeated. Only places in the file are held in memory. Not thread-safe.

    Raises ReasoningError for a file that cannot be read, and names the line that is not a recorded exchange. A last
    line without an end is what a process has left that was killed; it is left out.
    """

    any_language = True  # the model that was recorded may have taken it

    def __init__(self, path: str | Path) -> None:
        if not str(path):
            raise ReasoningError("reasoner.replay.exchanges: names the file to answer from, is empty")
        self._path = Path(path).expanduser()
        # Line numbers and where the lines begin, in the order in which a question was asked.
        self._places: dict[tuple[int, str, str], list[tuple[int, int]]] = {}
        self._asked: Counter[tuple[int, str, str]] = Counter()
        self.name = "replay"
        self._replayed = ""
        if self._path.exists() and not self._path.is_file():
            raise ReasoningError(f"reasoner.replay.exchanges: {self._path} is not a file")
        try:
            self._file = self._path.open("rb")
        except OSError as error:
            raise ReasoningError(
                f"reasoner.replay.exchanges: cannot read {self._path}: {error.strerror or error}"
            ) from error
        try:
            self._read_places()
        except ReasoningError:
            self._file.close()
            raise

    def propose(self, keyframe: Keyframe, instruction: Instruction) -> CandidateSet:
        """Return what was answered then; raises what was recorded as a failure, and for a question that is unknown."""
        image = image_hash(keyframe)
        key = (keyframe.frame.stamp_ns, image, instruction.text)
        places = self._places.get(key)
        if places is None:
            raise ReasoningError(
                f"replay: {self._path} holds no answer about keyframe {keyframe.id} (stamp {key[0]} ns, image {image}) "
                f"for {plain_text(instruction.text, SHOWN_CHARACTERS)!r}"
            )
        number, offset = places[min(self._asked[key], len(places) - 1)]
        self._asked[key] += 1
        try:
            self._file.seek(offset)
            outcome = read_answer(self._file.readline(MAX_LINE_BYTES), keyframe, instruction)
        except (OSError, ValueError) as error:
            raise ReasoningError(f"replay: {self._path}, line {number}: {error}") from error
        if isinstance(outcome, ReasoningError):
            raise outcome
        return outcome

    def diagnose(self) -> dict[str, object]:
        """Return what is replayed."""
        return {"answers of": self._replayed, "questions known": len(self._places)}

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _read_places(self) -> None:
        offset, number = 0, 0
        while line := self._file.readline(MAX_LINE_BYTES):
            number += 1
            whole = line.endswith(b"\n")
            if not whole and len(line) < MAX_LINE_BYTES:
                break
            try:
                if not whole:
                    raise ValueError(f"is longer than {MAX_LINE_BYTES} bytes")
                question = read_question(line)
            except ValueError as error:
                raise ReasoningError(
                    f"{self._path}, line {number}: is not a recorded exchange: {plain_text(str(error), 200)}"
                ) from error
            if number == 1:
                # Batches of another size would ask in another order.
                self.batch_size, self._replayed = question.batch_size, question.reasoner
            self._places.setdefault((question.stamp_ns, question.image, question.text), []).append((number, offset))
            offset += len(line)
        if not self._places:
            raise ReasoningError(f"reasoner.replay.exchanges: {self._path} holds no recorded exchange")

"""Record what a server is asked and answers in text, as lines of JSON, and answer from such a record.

One line is one question: schema, messages (as sent), model, latency_s, answer (text and cut; null when there is none)
and error (kind, message, retry_after_s; null without). The key of the server is in none of them.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from lira_ros.reasoning.contracts import ReasoningError, ServerUnavailable
from lira_ros.reasoning.exchanges import MAX_LINE_BYTES, ExchangeFile
from lira_ros.reasoning.plain_text import plain_text
from lira_ros.reasoning.remote.client import MAX_MODEL_NAME_CHARACTERS, Question, Reply

SCHEMA = 1
MAX_PROBLEM_CHARACTERS = 200


class Chat(Protocol):
    """What answers questions: a server, or a record of one. Methods as of ChatClient."""

    @property
    def address(self) -> str:
        """Return who answers, for messages."""

    @property
    def shown_model(self) -> str:
        """Return the name of the model for a person, "" while it is not known."""

    def ask(self, write: Callable[[str], Question]) -> Reply:
        """Return the answer to the question that ``write`` makes for a model of that name."""

    def diagnose(self) -> dict[str, object]:
        """Return what a person wants to know."""

    def close(self) -> None:
        """Let go of connections, threads and files."""


class RecordedChat:
    """Passes every question on and appends it with its answer to a file; a disk that is full spoils no answer."""

    def __init__(self, chat: Chat, file: ExchangeFile) -> None:
        self._chat = chat
        self._file = file
        self._lock = threading.Lock()
        self._recorded = self._failed = 0

    @property
    def address(self) -> str:
        """Return who answers, for messages."""
        return self._chat.address

    @property
    def shown_model(self) -> str:
        """Return the name of the model for a person, "" while it is not known."""
        return self._chat.shown_model

    def ask(self, write: Callable[[str], Question]) -> Reply:
        """Return what the other one answers; raises what it raises."""
        asked: list[Question] = []

        def write_and_note(model: str) -> Question:
            asked.append(write(model))
            return asked[-1]

        try:
            reply = self._chat.ask(write_and_note)
        except ReasoningError as error:
            # A server that was not reached was asked nothing.
            if asked:
                self._append(asked[-1], None, error)
            raise
        self._append(asked[-1], reply, None)
        return reply

    def diagnose(self) -> dict[str, object]:
        """Return what the other one says of itself, and how much was recorded."""
        values = {**self._chat.diagnose(), "exchanges recorded": self._recorded}
        if self._failed:
            values["exchanges not recorded"] = self._failed
        return values

    def close(self) -> None:
        """Close both."""
        self._chat.close()
        self._file.close()

    def _append(self, question: Question, reply: Reply | None, error: ReasoningError | None) -> None:
        failure = None
        if error is not None:
            retry_after_s = error.retry_after_s if isinstance(error, ServerUnavailable) else 0.0
            failure = {"kind": type(error).__name__, "message": str(error), "retry_after_s": retry_after_s}
        line = {
            "schema": SCHEMA,
            "messages": list(question.messages),
            "model": self._chat.shown_model,
            "latency_s": 0.0 if reply is None else reply.latency_s,
            "answer": None if reply is None else {"text": reply.text, "cut": reply.cut},
            "error": failure,
        }
        try:
            self._file.append(json.dumps(line, allow_nan=False, separators=(",", ":")).encode())
        except (OSError, ValueError):
            with self._lock:
                self._failed += 1
        else:
            with self._lock:
                self._recorded += 1


class ReplayedChat:
    """Answers what was recorded about the same messages, the first time what came first and the last answer again.

    name: of the parameter, for messages. Raises ReasoningError for a file that cannot be read, naming the line that is
    no recorded exchange; a last line without an end is what a process has left that was killed, and is left out.
    """

    def __init__(self, path: str | Path, name: str) -> None:
        self._path = Path(path).expanduser()
        self._answers: dict[str, list[Reply | ReasoningError]] = {}
        self._asked: Counter[str] = Counter()
        self._unknown = 0
        self.shown_model = ""
        try:
            with self._path.open("rb") as file:
                number = 0
                while (line := file.readline(MAX_LINE_BYTES)).endswith(b"\n"):
                    number += 1
                    self._take(line, number)
        except OSError as error:
            raise ReasoningError(f"{name}: cannot read {self._path}: {error.strerror or error}") from error
        if not self._answers:
            raise ReasoningError(f"{name}: {self._path} holds no recorded exchange")
        self.address = str(self._path)

    def ask(self, write: Callable[[str], Question]) -> Reply:
        """Return what was answered then; raises what went wrong then, and for a question that is unknown."""
        key = _key_of(write(self.shown_model).messages)
        answers = self._answers.get(key)
        if answers is None:
            self._unknown += 1
            raise ReasoningError(f"{self.address} holds no answer to this question")
        answer = answers[min(self._asked[key], len(answers) - 1)]
        self._asked[key] += 1
        if isinstance(answer, ReasoningError):
            raise answer
        return answer

    def diagnose(self) -> dict[str, object]:
        """Return what is replayed."""
        return {"answers of": self.shown_model, "questions known": len(self._answers), "unknown": self._unknown}

    def close(self) -> None:
        """Do nothing: the file is closed already."""

    def _take(self, line: bytes, number: int) -> None:
        try:
            values = json.loads(line)
            if values["schema"] != SCHEMA:
                raise ValueError(f"expected schema {SCHEMA}, got {values['schema']!r}")
            key = _key_of(values["messages"])
            model = plain_text(values["model"], MAX_MODEL_NAME_CHARACTERS)
            answer: Reply | ReasoningError
            if values["answer"] is not None:
                answer = Reply(str(values["answer"]["text"]), bool(values["answer"]["cut"]), float(values["latency_s"]))
            elif values["error"]["kind"] == ServerUnavailable.__name__:
                answer = ServerUnavailable(str(values["error"]["message"]), float(values["error"]["retry_after_s"]))
            else:
                answer = ReasoningError(str(values["error"]["message"]))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            said = plain_text(f"{type(error).__name__}: {error}", MAX_PROBLEM_CHARACTERS)
            raise ReasoningError(f"{self._path}, line {number}: is not a recorded exchange: {said}") from error
        self.shown_model = self.shown_model or model
        self._answers.setdefault(key, []).append(answer)


def _key_of(messages: Any) -> str:
    return hashlib.blake2b(json.dumps(messages, sort_keys=True).encode(), digest_size=16).hexdigest()

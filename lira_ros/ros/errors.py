"""The errors of the border: a message that cannot be used, a service that does not answer. Free of ROS imports."""

from __future__ import annotations

import traceback

from lira_ros.reasoning.plain_text import plain_text

# A sentence that names a topic, what was expected and what came, with room for a list of names.
MAX_SENTENCE_CHARACTERS = 2000
# A line of code within a trace, or of a list of files with their paths; more lines than either has.
MAX_LINE_CHARACTERS = 500
MAX_LINES = 200


class ConversionError(ValueError):
    """A message cannot be converted; the text names the topic, what was expected and what came."""


class ServiceError(RuntimeError):
    """A service is not there, did not answer in time or refused; the text names it."""


def plain_sentence(text: str) -> str:
    """Return a text as one line without control characters, for logs, diagnostics and answers of services."""
    return plain_text(text, MAX_SENTENCE_CHARACTERS)


def plain_lines(text: str) -> str:
    """Return a text of several lines without control characters; all but the first begin with "| ".

    So no line of it passes for an entry of the log.
    """
    return "\n| ".join(
        " " * (len(line) - len(line.lstrip(" "))) + plain_text(line, MAX_LINE_CHARACTERS)
        for line in text.splitlines()[:MAX_LINES]
    )


def plain_trace(error: BaseException) -> str:
    """Return the trace of an error for a log, as plain_lines()."""
    return "| " + plain_lines("".join(traceback.format_exception(error)))

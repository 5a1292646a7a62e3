"""Where the search for an instruction stands, in words: how far it is, and what keeps answers from coming."""

from __future__ import annotations

from lira_ros.fusion.contracts import InstructionStatus, SearchState
from lira_ros.reasoning.scheduler import Progress

# Until then a model of several seconds a keyframe is at work, and nothing is wrong.
SLOW_S = 15.0


def search_status(instruction_id: str, progress: Progress, thinking_s: float) -> InstructionStatus:
    """Return the status of an instruction as the reasoning sees it; thinking_s: of the longest call in hand."""
    if progress.answered:
        state, sentences = SearchState.SEARCHING, [f"{progress.answered} keyframes answered, {progress.pending} to go."]
    elif progress.failed:
        state, sentences = SearchState.FAILED, []
    else:
        state, sentences = SearchState.PENDING, ["No keyframe was answered yet."]
    if progress.skipped:
        sentences.append(f"{progress.skipped} keyframes show nothing new.")
    sentences.append(trouble(progress, thinking_s))
    return InstructionStatus(
        instruction_id, state, " ".join(filter(None, sentences)), progress.answered, progress.pending
    )


def trouble(progress: Progress, thinking_s: float) -> str:
    """Return what keeps answers from coming, "" for nothing: a slow model, and failures with the last of them."""
    sentences = []
    if progress.pending and max(progress.oldest_s, thinking_s) >= SLOW_S:
        sentences.append(f"The oldest question has waited for {progress.oldest_s:.0f} s.")
        if thinking_s >= SLOW_S:
            sentences.append(f"The model has been thinking for {thinking_s:.0f} s.")
    if progress.failures:
        given_up = f", {_counted(progress.failed, 'keyframe')} given up" if progress.failed else ""
        sentences.append(f"{_counted(progress.failures, 'failure')}{given_up}, the last: {progress.last_failure}")
    return " ".join(sentences)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"

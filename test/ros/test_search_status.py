"""What is said of a search: its state, and what keeps answers from coming."""

import pytest

from lira_ros.fusion.contracts import SearchState
from lira_ros.reasoning.scheduler import Progress
from lira_ros.ros.search_status import search_status


@pytest.mark.parametrize(
    ("progress", "thinking_s", "state", "reason"),
    [
        (Progress(0, 0, 0, 0, 0, "", 0.0), 0.0, SearchState.PENDING, "No keyframe was answered yet."),
        (Progress(3, 2, 0, 0, 0, "", 9.0), 9.0, SearchState.SEARCHING, "3 keyframes answered, 2 to go."),
        (
            Progress(0, 5, 0, 0, 4, "the server is away", 31.4),
            0.0,
            SearchState.PENDING,
            "No keyframe was answered yet. The oldest question has waited for 31 s. "
            "4 failures, the last: the server is away",
        ),
        (Progress(0, 0, 1, 0, 2, "no memory", 0.0), 0.0, SearchState.FAILED,
         "2 failures, 1 keyframe given up, the last: no memory"),
        (
            Progress(7, 2, 2, 4, 5, "no JSON", 40.0),
            22.0,
            SearchState.SEARCHING,
            "7 keyframes answered, 2 to go. 4 keyframes show nothing new. The oldest question has waited for 40 s. "
            "The model has been thinking for 22 s. 5 failures, 2 keyframes given up, the last: no JSON",
        ),
    ],
)  # fmt: skip
def test_the_reason_tells_what_is_wrong_and_nothing_else(progress, thinking_s, state, reason):
    status = search_status("find-1", progress, thinking_s)
    assert (status.instruction_id, status.state, status.reason) == ("find-1", state, reason)
    assert (status.keyframes_answered, status.keyframes_pending) == (progress.answered, progress.pending)

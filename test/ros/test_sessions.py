import pytest

from lira_ros.ros import sessions
from lira_ros.ros.errors import ConversionError
from lira_ros.ros.sessions import MappingSessions


def test_a_session_begins_goes_on_and_ends():
    known = MappingSessions(10)
    assert known.begin(7, "map", "keyframe 1")
    assert not known.begin(7, "map", "keyframe 2")
    assert known.begin(8, "map", "keyframe 1")
    with pytest.raises(ConversionError, match="keyframe 3: expected mapping session 8, got 7, which has ended"):
        known.begin(7, "map", "keyframe 3")
    with pytest.raises(ConversionError, match="candidates: expected mapping session 8, got 7"):
        known.refuse_ended(7, "candidates")
    known.refuse_ended(9, "candidates")  # may still begin
    assert (known.current, known.map_frame) == (8, "map")


@pytest.mark.parametrize(("session", "frame"), [(7, ""), (8, ""), (7, "odom")])
def test_a_wrong_frame_changes_nothing(session, frame):
    known = MappingSessions(10)
    known.begin(7, "map", "keyframe 1")
    with pytest.raises(ConversionError, match=r"keyframe 2: expected .*frame.*, got '(odom)?'"):
        known.begin(session, frame, "keyframe 2")
    assert (known.current, known.map_frame) == (7, "map")


def test_what_comes_early_waits_for_its_session_and_no_other():
    known = MappingSessions(3)
    for session, message in ((7, "lost"), (8, "other"), (7, "first"), (7, "second")):
        known.keep(session, "candidates", message)
    known.begin(7, "map", "keyframe 1")
    assert known.take_early() == [("candidates", "first"), ("candidates", "second")]
    assert known.take_early() == []
    known.begin(8, "map", "keyframe 1")
    assert known.take_early() == [("candidates", "other")]


def test_what_waits_for_too_long_is_returned_once(monkeypatch):
    now_s = 100.0
    monkeypatch.setattr(sessions.time, "monotonic", lambda: now_s)
    known = MappingSessions(3)
    known.keep(7, "fragments", "old")
    now_s = 104.0
    known.keep(9, "candidates", "new")
    assert known.take_overdue(5.0) == []
    now_s = 106.0
    assert [(item.session, item.message) for item in known.take_overdue(5.0)] == [(7, "old")]
    assert known.take_overdue(5.0) == []
    known.begin(9, "map", "keyframe 1")
    assert known.take_early() == [("candidates", "new")]

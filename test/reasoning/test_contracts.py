import numpy as np

from lira_ros.reasoning.contracts import MAX_LABEL_CHARACTERS, MAX_REASON_CHARACTERS, Attributes, Candidate, Role


def test_texts_of_a_candidate_are_one_line_without_control_characters_and_bounded():
    mask = np.zeros((2, 2), dtype=bool)
    hostile = "\x1b[31mred\x00 mug\n../../\u202eetc"
    candidate = Candidate(1, mask, hostile, 0.5, 0.5, Role.TARGET, Attributes(), reason="line\r\nline" + "x" * 9999)
    assert candidate.label == "[31mred mug ../../etc"
    assert candidate.reason.startswith("line line")
    assert len(candidate.reason) <= MAX_REASON_CHARACTERS
    long = Candidate(1, mask, "a" * 100_000, 0.5, 0.5, Role.TARGET, Attributes())
    assert len(long.label) == MAX_LABEL_CHARACTERS

"""Answers to questions about pictures, against instance images."""

import numpy as np
import pytest

from lira_ros.datasets.reference import ReferenceInstruction
from lira_ros.evaluation.picture_answers import PictureAnswers
from lira_ros.reasoning.contracts import Attributes, Candidate, CandidateSet, Reasoner, Role

QUESTIONS = {
    "chairs": ReferenceInstruction("all chairs", (1, 2), "class"),
    "nothing": ReferenceInstruction("what swims", (), "implicit"),
    "nearest": ReferenceInstruction("the chair nearest to the table", (1,), "distance rank"),
}


def image():
    """Object 1 on the left, 100 pixels; 2 on the right, 10 pixels; 3 below."""
    ids = np.zeros((20, 30), np.uint16)
    ids[:10, :10] = 1
    ids[:10, 29] = 2
    ids[15:] = 3
    return ids


def answered(name, *masks, stamp_ns=5, roles=()):
    roles = roles or (Role.TARGET,) * len(masks)
    candidates = tuple(
        Candidate(i, mask, "chair", 1.0, 1.0, role, Attributes())
        for i, (mask, role) in enumerate(zip(masks, roles, strict=True))
    )
    return CandidateSet(1, stamp_ns, name, "test", 0.0, candidates)


def scores(*answers, minimum_px=5, seen=True):
    pictures = PictureAnswers(QUESTIONS, minimum_px)
    for item in answers:
        pictures.note(item)
    if seen:
        pictures.see(5, image())
    return pictures.counts().scores()


def test_right_missed_and_made_up():
    left, right, below = (image() == i for i in (1, 2, 3))
    assert scores(answered("chairs", right, left)).g_iou_per_mask == 1.0
    assert scores(answered("chairs", left)).g_iou_per_mask == 0.5
    assert scores(answered("chairs", left, right, below)).g_iou_per_mask == pytest.approx(2 / 3)
    assert scores(answered("chairs")).c_iou == 0.0


def test_what_is_not_there_should_not_be_drawn():
    found = scores(answered("nothing"), answered("nothing", image() == 3))
    assert (found.n_acc, found.empty_samples) == (0.5, 2)


def test_only_candidates_for_a_target_are_an_answer():
    left, right, below = (image() == i for i in (1, 2, 3))
    roles = (Role.TARGET, Role.TARGET, Role.ANCHOR)
    assert scores(answered("chairs", left, right, below, roles=roles)).g_iou_per_mask == 1.0
    assert scores(answered("nothing", below, roles=(Role.CONTEXT,))).n_acc == 1.0


def test_a_sliver_of_a_target_is_neither_asked_for_nor_wrong():
    left, right, below = (image() == i for i in (1, 2, 3))
    for drawn in ((left,), (left, right)):
        assert scores(answered("chairs", *drawn), minimum_px=50).g_iou_per_mask == 1.0
    assert scores(answered("chairs", left, below), minimum_px=50).g_iou_per_mask == 0.5
    # Nothing of the targets is there to be drawn.
    assert scores(answered("chairs", right), minimum_px=500).n_acc == 1.0


def test_what_only_the_map_can_tell_is_not_scored():
    assert scores(answered("nearest", image() == 3)).samples == 0


def test_frames_without_annotation_are_left_out():
    assert scores(answered("chairs"), seen=False).samples == 0
    assert scores(answered("chairs", stamp_ns=6)).samples == 0
    pictures = PictureAnswers(QUESTIONS, 5)
    pictures.see(5, None)
    pictures.note(answered("chairs"))
    assert pictures.counts().samples == 0


def test_masks_of_another_size_are_refused():
    with pytest.raises(ValueError, match="one size for a picture"):
        scores(answered("chairs", np.ones((5, 5), bool)))


def test_the_reasoner_is_asked_and_its_answer_passed_on():
    class Asked(Reasoner):
        name = "asked"

        def propose(self, keyframe, instruction):
            return answered(instruction, image() == 1, image() == 2)

    pictures = PictureAnswers(QUESTIONS, 5)
    reasoner = pictures.listening(Asked())
    assert reasoner.name == "asked"
    assert len(reasoner.propose(None, "chairs").candidates) == 2
    pictures.see(5, image())
    assert pictures.counts().scores().g_iou_per_mask == 1.0

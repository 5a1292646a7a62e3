"""Following masks on a stream without an end: ids stay, memory stays flat, things come and go."""

import sys

import numpy as np
import pytest

if sys.version_info < (3, 11):
    pytest.skip("transformers runs from Python 3.11 on", allow_module_level=True)

import torch
from tiny_vision_models import sam2_video

from lira_ros.reasoning.compute import ComputeConfiguration
from lira_ros.reasoning.segmentation.video_tracking import MaskTracker

ROWS, COLUMNS = 48, 64


def frame(number):
    return np.random.default_rng(number).integers(0, 255, (ROWS, COLUMNS, 3), dtype=np.uint8)


def block(left):
    mask = np.zeros((ROWS, COLUMNS), dtype=bool)
    mask[10:30, left : left + 14] = True
    return mask


@pytest.fixture(scope="module")
def model():
    return sam2_video()


@pytest.fixture
def tracker(model):
    tracker = MaskTracker(model, ComputeConfiguration("cpu", "float32"))
    tracker.start(frame(0), {7: block(5), 3: block(30)})
    return tracker


@pytest.fixture
def sure(model, monkeypatch):
    """Let the model always think that things are visible."""
    original = model._single_frame_forward

    def visible(*arguments, **options):
        output = original(*arguments, **options)
        output.object_score_logits = torch.full_like(output.object_score_logits, 5.0)
        return output

    monkeypatch.setattr(model, "_single_frame_forward", visible)


def stored(tracker):
    """Count the outputs that are kept of all things."""
    outputs = tracker._session.output_dict_per_obj.values()
    return sum(len(kept) for output in outputs for kept in output.values())


def test_memory_stays_flat_while_things_come_are_corrected_and_go(tracker, sure):
    held, counts = [], []
    for number in range(1, 71):
        found = tracker.update(frame(number))
        assert set(found) <= set(tracker.ids)
        assert all(mask.shape == (ROWS, COLUMNS) and mask.dtype == np.bool_ for mask in found.values())
        if number % 3 == 0:
            tracker.prompt(3, block(number % 40))
        held.append(tracker.stored_bytes())
        counts.append(stored(tracker))
    # From where both memories are full on, nothing grows; a given mask that waits is there in every third frame.
    assert max(held[40:]) <= max(held[20:40])
    assert max(counts[40:]) <= max(counts[20:40])
    assert len(tracker._session.processed_frames) == 1
    tracker.prompt(11, block(45))
    tracker.update(frame(71))
    assert tracker.ids == (7, 3, 11)
    tracker.remove(3)
    before = tracker.stored_bytes()
    for number in range(72, 95):
        tracker.update(frame(number))
    assert tracker.ids == (7, 11)
    assert tracker.stored_bytes() < max(held)
    assert before < max(held)


def test_pruning_changes_no_mask(model, sure):
    pruned, whole = (MaskTracker(model, ComputeConfiguration("cpu", "float32")) for _ in range(2))
    whole._prune = lambda: None
    for tracker in (pruned, whole):
        tracker.start(frame(0), {1: block(5), 2: block(30)})
    seen = 0
    for number in range(1, 26):
        first, second = pruned.update(frame(number)), whole.update(frame(number))
        assert first.keys() == second.keys()
        for identity, mask in first.items():
            assert np.array_equal(mask, second[identity])
            seen += int(mask.sum())
    assert seen > 0
    assert pruned.stored_bytes() < 0.7 * whole.stored_bytes()


def test_removing_a_thing_does_not_change_the_others(model, sure):
    both, one = (MaskTracker(model, ComputeConfiguration("cpu", "float32")) for _ in range(2))
    for tracker in (both, one):
        tracker.start(frame(0), {1: block(5), 2: block(30)})
        tracker.update(frame(1))
    one.remove(1)
    for number in range(2, 6):
        kept, alone = both.update(frame(number)), one.update(frame(number))
        assert set(alone) <= {2}
        assert (2 in kept) == (2 in alone)
        if 2 in kept:
            assert np.array_equal(kept[2], alone[2])


def test_a_hidden_thing_has_no_mask_but_keeps_its_id(tracker, model, monkeypatch):
    original = model._single_frame_forward

    def hidden(*arguments, **options):
        output = original(*arguments, **options)
        output.object_score_logits = torch.full_like(output.object_score_logits, -5.0)
        return output

    monkeypatch.setattr(model, "_single_frame_forward", hidden)
    assert tracker.update(frame(1)) == {}
    assert tracker.ids == (7, 3)


def test_without_things_frames_pass_and_one_can_be_added(tracker, sure):
    tracker.remove(7)
    tracker.remove(3)
    assert tracker.update(frame(1)) == {}
    tracker.prompt(5, block(12))
    tracker.update(frame(2))
    assert tracker.ids == (5,)


def test_wrong_use_is_named(tracker, model):
    with pytest.raises(ValueError, match="start"):
        MaskTracker(model, ComputeConfiguration("cpu", "float32")).update(frame(0))
    with pytest.raises(ValueError, match="mask of"):
        tracker.prompt(1, np.zeros((4, 4), dtype=bool))
    with pytest.raises(ValueError, match="frame of"):
        tracker.update(np.zeros((4, 4, 3), dtype=np.uint8))
    with pytest.raises(KeyError):
        tracker.remove(99)

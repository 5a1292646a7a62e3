"""A reasoner on annotated pictures: scores by hand, failures apart, and going on after a kill."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from lira_ros.cli.main import main
from lira_ros.datasets.annotated_pictures import PictureTask, open_pictures
from lira_ros.evaluation.picture_scores import compared, format_pictures, score_pictures, write_summary
from lira_ros.evaluation.results import ResultsError
from lira_ros.reasoning import backends
from lira_ros.reasoning.contracts import Attributes, Candidate, CandidateSet, Reasoner, ReasoningError, Role

SIZE = (30, 40)


def mask(*columns):
    found = np.zeros(SIZE, bool)
    found[:, list(columns)] = True
    return found


def answer(*drawn, keyframe=1, instruction="picture-0"):
    candidates = tuple(
        Candidate(number, item, "mug", 0.5, 0.5, role, Attributes()) for number, (item, role) in enumerate(drawn, 1)
    )
    return CandidateSet(keyframe, 0, instruction, "fake", 0.0, candidates)


def task(*right, **more):
    masks = np.stack(right) if right else np.zeros((0, *SIZE), bool)
    return PictureTask("a", None, "the mug", masks, **more)


def test_targets_are_compared_one_by_one_and_together():
    scores = compared(
        task(mask(0, 1), mask(10, 11)), answer((mask(0, 1), Role.TARGET), (mask(11, 12, 13), Role.TARGET))
    ).scores()
    assert scores.g_iou_per_mask == pytest.approx((1 + 1 / 4) / 2)
    assert scores.g_iou_per_sample == scores.c_iou_per_sample == pytest.approx(3 / 6)
    assert (scores.precision_50, scores.recall_50) == (0.5, 0.5)


def test_pictures_weigh_by_their_pixels_in_ciou_and_alike_in_giou():
    total = compared(task(mask(0)), answer((mask(0), Role.TARGET))) + compared(
        task(mask(0, 1, 2)), answer((mask(7), Role.TARGET))
    )
    assert total.scores().g_iou_per_sample == 0.5
    assert total.scores().c_iou_per_sample == pytest.approx(1 / (1 + 4))
    nothing = compared(task(), answer((mask(1), Role.TARGET)))
    assert (total + nothing).scores().c_iou_per_sample == pytest.approx(1 / 6)


def test_helpers_count_only_where_they_are_annotated():
    both = answer((mask(0), Role.TARGET), (mask(5), Role.ANCHOR), (mask(9), Role.CONTEXT))
    assert compared(task(mask(0)), both).scores().g_iou_per_mask == 1.0
    helpers = task(mask(0), mask(5), with_helpers=True)
    assert compared(helpers, both).scores().g_iou_per_mask == 1.0
    assert compared(helpers, both, all_help=True).scores().g_iou_per_mask == pytest.approx(2 / 3)
    assert compared(task(mask(0)), both, all_help=True).scores().g_iou_per_mask == 1.0


def test_what_is_ignored_is_neither_right_nor_wrong():
    drawn = answer((mask(0, 1), Role.TARGET), (mask(20), Role.TARGET))
    scores = compared(task(mask(0, 1, 2), ignored=mask(2, 20)), drawn).scores()
    assert (scores.g_iou_per_sample, scores.precision_50, scores.recall_50) == (1.0, 1.0, 1.0)


def test_a_mask_of_another_size_is_compared_in_pixels_of_the_file():
    small = np.zeros((15, 20), bool)
    small[:, :5] = True
    assert compared(task(mask(*range(10))), answer((small, Role.TARGET))).scores().g_iou_per_mask == 1.0


class Fake(Reasoner):
    """Draws the left half for a sofa, breaks for the moon, crashes for the sun."""

    name = "fake"
    batch_size = 2

    def __init__(self):
        self.asked = []
        self.closed = False

    def propose(self, keyframe, instruction):
        self.asked.append(instruction.text)
        if "moon" in instruction.text:
            raise ReasoningError("the model fell silent")
        if "sun" in instruction.text:
            raise RuntimeError("too bright")
        left = mask(*range(20)) if "sofa" in instruction.text else mask()
        return answer((left, Role.TARGET), keyframe=keyframe.id, instruction=instruction.id)

    def close(self):
        self.closed = True


@pytest.fixture
def folder(tmp_path):
    half = [[0, 0], [19, 0], [19, 29], [0, 29]]
    for name, text in (("a", "the sofa"), ("b", "the chair"), ("c", "the moon"), ("d", "the sofa")):
        Image.new("RGB", (40, 30)).save(tmp_path / f"{name}.png")
        shapes = [{"label": "target", "points": half}] if "sofa" in text else []
        (tmp_path / f"{name}.json").write_text(json.dumps({"text": text, "shapes": shapes}))
    (tmp_path / "d.png").write_bytes(b"no picture")
    return tmp_path


def test_what_fails_is_told_and_asked_again_and_nothing_else_is(folder, tmp_path):
    reasoner = Fake()
    noted = []

    def score():
        return score_pictures(
            open_pictures(str(folder)), lambda: reasoner, tmp_path / "out", {"x": 1}, note=noted.append
        )

    results = score()
    assert [item.unit for item in noted] == ["a", "b", "c", "d"]
    assert reasoner.closed
    summary = write_summary(results, tmp_path / "out")
    assert {item["picture"]: item["why"].split(":")[0] for item in summary["failed"]} == {
        "c": "ReasoningError",
        "d": "SequenceError",
    }
    assert summary["scores"]["samples"] == 2
    assert summary["scores"]["g_iou_per_sample"] == 1.0
    assert summary["scores"]["n_acc"] == 1.0
    assert json.loads((tmp_path / "out" / "summary.json").read_text()) == summary
    Image.new("RGB", (40, 30)).save(folder / "d.png")
    reasoner.asked.clear()
    assert [item.unit for item in score().failed] == ["c"]
    assert reasoner.asked == ["the moon", "the sofa"]
    with pytest.raises(ResultsError, match="x was 1, is 2"):
        score_pictures(open_pictures(str(folder)), lambda: reasoner, tmp_path / "out", {"x": 2})


def test_a_crash_of_a_model_is_no_answer_and_the_others_go_on(folder, tmp_path):
    for name in "abcd":
        Image.new("RGB", (40, 30)).save(folder / f"{name}.png")
    (folder / "a.json").write_text('{"text": "the sun", "shapes": []}')
    results = score_pictures(open_pictures(str(folder)), Fake, tmp_path / "out", {})
    failed = {item.unit: item.failed for item in results.failed}
    assert failed.keys() == {"a", "b", "c"}, "a crash costs the answers of its batch"
    assert failed["a"] == "RuntimeError: too bright"
    assert not results.units["d"].failed


def test_scores_are_printed_in_percent(folder, tmp_path):
    results = score_pictures(open_pictures(str(folder)), Fake, tmp_path / "out", {})
    text = format_pictures(write_summary(results, tmp_path / "out"))
    lines = {line[:-5].rstrip(): line[-5:] for line in text.splitlines() if line}
    assert lines["gIoU (mean over pictures, as LISA)"] == "100.0"
    assert "2 pictures with 1 masks, 1 pictures with none" in text


def test_the_command_scores_a_folder(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(backends.BACKENDS, "fake", backends.Backend("a fake", lambda *_: Fake()))
    command = ["evaluate", "--pictures", str(folder), "--reasoner", "fake", "--out", str(tmp_path / "out")]
    assert main(command) == 1
    printed = capsys.readouterr()
    assert re.search(r"^cIoU \(all pixels, as LISA\) +100\.0$", printed.out, re.MULTILINE)
    assert "2 pictures are not scored" in printed.out
    assert "lira: not scored: c: ReasoningError: the model fell silent" in printed.err
    (folder / "c.json").unlink()
    (folder / "d.json").unlink()
    assert main([*command[:-1], str(tmp_path / "other")]) == 0
    assert main(["evaluate", "room:5", "--pictures", str(folder)]) == 2
    assert "does not go with RECORDING" in capsys.readouterr().err


def test_a_reasoner_that_needs_depth_says_so_for_each_picture(folder, tmp_path):
    class Blind(Fake):
        needs_depth = True

    results = score_pictures(open_pictures(str(folder)), Blind, tmp_path / "out", {})
    assert len(results.failed) == 4
    assert "there is no depth image beside it" in results.units["a"].failed

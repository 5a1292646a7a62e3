import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from lira_ros.cli.main import main
from lira_ros.datasets.image_files import to_millimetres, write_png
from lira_ros.datasets.rooms import RoomSequence
from lira_ros.reasoning import backends
from lira_ros.reasoning.contracts import CandidateSet, Exchange, Reasoner, ReasoningError, Role
from lira_ros.reasoning.sightings import Sighting, candidates_from_sightings


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    """Return the options for a picture of the showroom with its depth and intrinsics."""
    folder = tmp_path_factory.mktemp("ask")
    frame = RoomSequence(seed=0, rate_hz=1.0, width_px=320, duration_s=5.0).frame(4)
    write_png(folder / "color.png", frame.color)
    write_png(folder / "depth.png", to_millimetres(frame.depth_m))
    camera = frame.camera
    intrinsics = f"{camera.fx},{camera.fy},{camera.cx},{camera.cy}"
    return [str(folder / "color.png")], ["--depth", str(folder / "depth.png"), "--intrinsics", intrinsics]


class FakeReasoner(Reasoner):
    """Sees a mug in the left upper quarter; breaks when asked for the moon."""

    name = "fake/model"

    def propose(self, keyframe, instruction):
        exchange = Exchange("look\x1b[31m\ud800", '[{"label": "mug"}]', latency_s=0.5)
        if "moon" in instruction.text:
            raise ReasoningError("the model fell silent", (Exchange("look", "", "nothing came"),))
        mask = np.zeros(keyframe.frame.depth_m.shape, bool)
        mask[: mask.shape[0] // 2, : mask.shape[1] // 2] = True
        seen = Sighting(mask, "mug", 0.75, 0.5, Role.TARGET, 0.25, reason="it was there")
        found = candidates_from_sightings(keyframe, [seen])
        return CandidateSet(1, 0, instruction.id, self.name, 0.125, found, (exchange,))

    def close(self):
        self.closed = True


@pytest.fixture
def fake(monkeypatch):
    reasoner = FakeReasoner()
    monkeypatch.setitem(backends.BACKENDS, "fake", backends.Backend("a fake", lambda *_: reasoner))
    return reasoner


def test_a_picture_with_depth_is_answered_by_compact(room, tmp_path, capsys):
    picture, depth = room
    questions = ["Find the sofa.", "something to sit on"]
    assert main(["ask", *picture, *questions, *depth, "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr()
    assert "target" in printed.out
    assert "sofa: " in printed.out
    assert "field of view" not in printed.err
    content = json.loads((tmp_path / "out" / "answers.json").read_text())
    assert content["picture"] == {"file": picture[0], "width_px": 320, "height_px": 240}
    assert content["has_depth"] is True
    assert content["camera"]["known"] is True
    assert [answer["overlay"] for answer in content["answers"]] == [
        "01-find-the-sofa.png",
        "02-something-to-sit-on.png",
    ]
    first = content["answers"][0]
    assert (first["instruction"], first["understood"], first["model"]) == ("Find the sofa.", "sofa", "compact")
    assert "exchanges" not in first
    sofa = next(item for item in first["candidates"] if item["role"] == "target")
    assert sofa["label"] == "sofa"
    mask = coco.decode(sofa["mask"]).astype(bool)
    assert mask.shape == (240, 320)
    assert sofa["area_px"] == mask.sum()
    left, top, right, bottom = sofa["box_px"]
    assert mask[top:bottom, left:right].sum() == mask.sum()
    assert sofa["attributes"]["size_m"][0] > 1.0
    overlay = Image.open(tmp_path / "out" / "01-find-the-sofa.png")
    # Three times as large, with a title above and a legend below.
    assert overlay.width == 3 * 320
    assert overlay.height > 3 * 240


def test_without_depth_compact_says_what_it_needs(room, tmp_path, capsys):
    assert main(["ask", *room[0], "Find the sofa.", "--out", str(tmp_path / "out")]) == 1
    assert "give the depth image of the picture (--depth)" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_model_answers_without_depth_in_pixels_of_the_file(fake, tmp_path, capsys):
    Image.new("RGB", (4096, 200), (200, 10, 10)).save(tmp_path / "wide.png")
    out = tmp_path / "out"
    assert main(["ask", str(tmp_path / "wide.png"), "the mug", "--reasoner", "fake", "--out", str(out)]) == 0
    assert "mug: " in capsys.readouterr().out
    content = json.loads((out / "answers.json").read_text())
    (candidate,) = content["answers"][0]["candidates"]
    assert candidate["box_px"] == [0, 0, 2048, 100]
    assert candidate["mask"]["size"] == [200, 4096]
    assert (candidate["score"], candidate["label_confidence"], candidate["target_confidence"]) == (0.5, 0.75, 0.25)
    assert candidate["attributes"]["size_m"] == [None, None, None]
    assert content["answers"][0]["latency_s"] == 0.125
    assert Image.open(out / "01-the-mug.png").width == 2048
    assert fake.closed


def test_exchanges_are_shown_and_written_on_request_and_a_failure_leaves_the_others(fake, room, tmp_path, capsys):
    out = tmp_path / "out"
    code = main(["ask", *room[0], "the moon", "the mug", "--reasoner", "fake", "--out", str(out), "--exchanges"])
    assert code == 1
    printed = capsys.readouterr().out
    assert "no answer: the model fell silent" in printed
    assert "prompt: look[31m\n" in printed
    assert "problem: nothing came" in printed
    moon, mug = json.loads((out / "answers.json").read_text())["answers"]
    assert (moon["problem"], moon["overlay"], moon["candidates"]) == ("the model fell silent", None, [])
    assert moon["exchanges"][0]["problem"] == "nothing came"
    assert mug["problem"] == ""
    assert mug["exchanges"] == [
        {"prompt": "look\x1b[31m\ud800", "answer": '[{"label": "mug"}]', "problem": "", "latency_s": 0.5}
    ]
    assert (out / "02-the-mug.png").is_file()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["/no/picture.png", "the mug"], "/no/picture.png"),
        (["PICTURE", "the"], "names nothing"),
        (["PICTURE", "x" * 5000], "2000"),
        (["PICTURE", "the mug", "--depth", "/no/depth.png"], "/no/depth.png"),
        (["PICTURE", "the mug", "--depth", "PICTURE"], "16-bit depth"),
        (["PICTURE", "the mug", "--intrinsics", "1,2"], "fx,fy,cx,cy"),
        (["PICTURE", "the mug", "--reasoner", "psychic"], "psychic"),
        (["PICTURE", "the mug", "--reasoner", "oracle"], "annotated"),
        (["PICTURE", "the mug", "--set", "reasoner.nothing=1"], "reasoner.nothing"),
    ],
)
def test_mistakes_are_answered_with_one_sentence(room, arguments, said, tmp_path, capsys):
    given = [room[0][0] if item == "PICTURE" else item for item in arguments]
    assert main(["ask", *given, "--out", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert error.startswith("lira: ")
    assert said in error
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_said_before_a_model_is_loaded(room, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(backends.BACKENDS, "fake", backends.Backend("a fake", lambda *_: pytest.fail("was loaded")))
    (tmp_path / "file").write_text("")
    command = ["ask", *room[0], "the mug", "--reasoner", "fake", "--out", str(tmp_path / "file" / "out")]
    assert main(command) == 1
    assert f"{tmp_path / 'file'} is none" in capsys.readouterr().err

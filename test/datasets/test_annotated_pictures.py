"""Annotated pictures in the forms of ReasonSeg and ReasonRecon."""

import json

import numpy as np
import pytest
from PIL import Image
from reasonrecon_files import write_picture

from lira_ros.datasets.annotated_pictures import open_pictures
from lira_ros.datasets.sequence import SequenceError


def square(left, top, side):
    """Corners of a square whose pixels are ``side`` + 1 in a row: OpenCV fills the border, too."""
    return [[left, top], [left + side, top], [left + side, top + side], [left, top + side]]


def shape(points, label="target", **more):
    return {"label": label, "points": points, "shape_type": "polygon", **more}


@pytest.fixture
def folder(tmp_path):
    def add(name, shapes, text="the thing to sit on", **save):
        Image.new("RGB", (40, 30), (9, 9, 9)).save(tmp_path / f"{name}.jpg", **save)
        (tmp_path / f"{name}.json").write_text(json.dumps({"text": text, "is_sentence": True, "shapes": shapes}))
        return tmp_path

    return add


def test_every_target_is_a_mask_and_the_first_sentence_counts(folder):
    root = folder("b", [shape(square(20, 0, 4)), shape(square(0, 0, 9))], ["sit", "rest"])
    folder("a", [])
    pictures = open_pictures(str(root))
    assert list(pictures.names) == ["a", "b"]
    task = pictures.task(1)
    assert (task.name, task.instruction, task.picture) == ("b", "sit", root / "b.jpg")
    assert task.masks.shape == (2, 30, 40)
    assert task.masks.sum(axis=(1, 2)).tolist() == [100, 25]
    assert not task.with_helpers
    assert task.ignored is None
    assert (task.depth, task.intrinsics) == (None, None)
    assert pictures.task(0).masks.shape == (0, 30, 40)


def test_smaller_shapes_lie_on_larger_ones_and_what_is_ignored_is_told(folder):
    shapes = [
        shape(square(2, 2, 3), "ignore"),
        shape(square(0, 0, 9)),
        shape(square(20, 20, 3), group_id=4),
        shape(square(30, 20, 3), group_id=4),
        shape(square(30, 2, 3), "flag"),
    ]
    task = open_pictures(str(folder("a", shapes))).task(0)
    assert task.masks.sum(axis=(1, 2)).tolist() == [100 - 16, 32]
    assert task.ignored.sum() == 16
    assert not (task.masks.any(axis=0) & task.ignored).any()


def test_depth_and_intrinsics_beside_the_picture_are_named(folder):
    root = folder("a", [])
    (root / "a.depth.png").write_bytes(b"")
    (root / "K.txt").write_text("")
    task = open_pictures(str(root)).task(0)
    assert (task.depth, task.intrinsics) == (root / "a.depth.png", root / "K.txt")


def test_a_picture_that_lies_on_its_side_is_annotated_upright(folder):
    exif = Image.Exif()
    exif[0x0112] = 6
    assert open_pictures(str(folder("a", [shape(square(0, 0, 4))], exif=exif))).task(0).masks.shape == (1, 40, 30)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[]", "text and shapes"),
        ('{"text": "x"}', "shapes"),
        ('{"text": "", "shapes": []}', "sentence"),
        ('{"text": [], "shapes": []}', "text and shapes"),
        ('{"text": "x", "shapes": [{"label": "target", "points": [[0, 0], [1, 1]]}]}', "three corners"),
        ('{"text": "x", "shapes": [{"label": "target", "points": [[0, 0], [1, 1], [1, NaN]]}]}', "three corners"),
        (
            '{"text": "x", "shapes": [{"label": "target", "points": [[0, 0], [1, 1], [0, 1]], "group_id": "a"}]}',
            "group_id",
        ),
        ("{", "a.json"),
    ],
)
def test_a_broken_annotation_is_named(folder, content, said):
    root = folder("a", [])
    (root / "a.json").write_text(content)
    with pytest.raises(SequenceError, match=r"a\.json.*") as error:
        open_pictures(str(root)).task(0)
    assert said in str(error.value)


def test_what_is_missing_is_named(folder, tmp_path):
    for spec, said in (
        (str(tmp_path / "no"), "expected a folder"),
        (str(tmp_path), "found no .json"),
        (f"reasonrecon:{tmp_path}:test", "one of the splits"),
        (f"reasonrecon:{tmp_path}", "annotated pictures are missing"),
    ):
        with pytest.raises(SequenceError, match=said):
            open_pictures(spec)
    root = folder("a", [])
    (root / "a.jpg").unlink()
    with pytest.raises(SequenceError, match="beside it, found none"):
        open_pictures(str(root)).task(0)


def test_reasonrecon_asks_without_the_sentence_that_only_its_own_models_know(tmp_path):
    path = write_picture(tmp_path, 0, [[[0, 0, 9, 0, 9, 9, 0, 9]]])
    content = json.loads(path.read_text())
    content["text"] = ["I spilled coffee. Please give all objects that are helpful in it, as well as colors."]
    path.write_text(json.dumps(content))
    image = tmp_path / "scans" / "scene0006_01" / "color" / "color_5.jpg"
    pictures = open_pictures(f"reasonrecon:{tmp_path}:val")
    with pytest.raises(SequenceError, match="image is missing"):
        pictures.task(0)
    image.parent.mkdir(parents=True)
    Image.new("RGB", (40, 30)).save(image)
    task = pictures.task(0)
    assert task.instruction == "I spilled coffee."
    assert task.with_helpers
    assert np.count_nonzero(task.masks) == 100

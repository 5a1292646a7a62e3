"""Grounding DINO and OWLv2 as detectors: as the library answers, with texts and pictures encoded once."""

import sys

import numpy as np
import pytest

if sys.version_info < (3, 11):
    pytest.skip("transformers runs from Python 3.11 on", allow_module_level=True)

import tiny_vision_models as tiny
import torch
from transformers import GroundingDinoImageProcessorPil, Owlv2ImageProcessorPil

from lira_ros.geometry.camera import Camera
from lira_ros.geometry.frame import Frame, Keyframe
from lira_ros.reasoning.compute import ComputeConfiguration
from lira_ros.reasoning.contracts import Instruction, ReasoningError
from lira_ros.reasoning.detector.configuration import DetectorConfiguration
from lira_ros.reasoning.detector.detections import choose
from lira_ros.reasoning.detector.grounding_dino import GroundingDinoDetector
from lira_ros.reasoning.detector.owlv2 import Owlv2Detector
from lira_ros.reasoning.detector.reasoner import create_detector_reasoner
from lira_ros.reasoning.embeddings.configuration import EmbeddingConfiguration
from lira_ros.reasoning.language.parser import parse
from lira_ros.reasoning.relevance import Relevance
from lira_ros.reasoning.segmentation.configuration import SegmentationConfiguration

CPU = ComputeConfiguration("cpu", "float32")
PHRASES = ("red chair", "table", "lamp")
FAMILIES = ("grounding_dino", "owlv2")


def keyframe(number, rows=60, columns=80):
    color = np.random.default_rng(number).integers(0, 255, (rows, columns, 3), dtype=np.uint8)
    camera = Camera(columns, rows, 80.0, 80.0, columns / 2, rows / 2)
    frame = Frame(number, color, np.ones((rows, columns), np.float32), camera, np.eye(4))
    return Keyframe(number, frame, np.array([0.0, 0.0, 1.0]), 0.0)


def parts(family):
    """Return a new tiny model, its tokenizer and its image processor."""
    if family == "owlv2":
        size = {"height": 32, "width": 32}
        return tiny.owlv2(), tiny.clip_tokenizer(), Owlv2ImageProcessorPil(size=size)
    words = tuple(word for phrase in PHRASES for word in phrase.split())
    size = {"shortest_edge": 96, "longest_edge": 160}
    return tiny.grounding_dino(), tiny.bert_tokenizer(words), GroundingDinoImageProcessorPil(size=size)


def detector(family, threshold=0.0, cache_mib=10):
    model, tokenizer, processor = parts(family)
    if family == "owlv2":
        return Owlv2Detector(model, tokenizer, processor, CPU, threshold, cache_mib), model
    return GroundingDinoDetector(model, tokenizer, processor, CPU, threshold, cache_mib), model


def library_answer(family, picture):
    """Return (Q, 4) boxes [px] and (Q, P) scores by the library's own forward pass."""
    model, tokenizer, processor = parts(family)
    pixels = processor([picture.frame.color], input_data_format="channels_last", return_tensors="pt")
    if family == "owlv2":
        texts = tokenizer(
            [f"a photo of a {phrase}" for phrase in PHRASES],
            padding="max_length", max_length=16, truncation=True, return_tensors="pt",
        )  # fmt: skip
        with torch.no_grad():
            output = model(
                pixel_values=pixels["pixel_values"],
                input_ids=texts["input_ids"],
                attention_mask=texts["attention_mask"],
            )
        scores, scale = output.logits[0].sigmoid().numpy(), np.array([80.0] * 4)
    else:
        ids = tokenizer("red chair. table. lamp.")["input_ids"]
        text = torch.tensor([[101, *ids, 102]])
        with torch.no_grad():
            output = model(
                pixel_values=pixels["pixel_values"], pixel_mask=pixels["pixel_mask"], input_ids=text,
                attention_mask=torch.ones_like(text), token_type_ids=torch.zeros_like(text),
            )  # fmt: skip
        tokens = output.logits[0].sigmoid().numpy()
        # [CLS] red chair . table . lamp . [SEP]
        scores = np.stack([tokens[:, 1:3].max(axis=1), tokens[:, 4], tokens[:, 6]], axis=1)
        scale = np.array([80.0, 60.0, 80.0, 60.0])
    centers = output.pred_boxes[0].numpy()
    boxes = np.concatenate([centers[:, :2] - centers[:, 2:] / 2, centers[:, :2] + centers[:, 2:] / 2], axis=1)
    return boxes * scale, scores


@pytest.mark.parametrize("family", FAMILIES)
def test_boxes_and_scores_are_those_of_the_library(family):
    boxes, scores = library_answer(family, keyframe(1))
    wanted = choose(boxes, scores, PHRASES, 0.0, (80, 60))
    (found,) = detector(family)[0].detect([keyframe(1)], PHRASES)
    assert len(found) == len(wanted) > 1
    for ours, theirs in zip(found, wanted, strict=True):
        assert ours.phrase == theirs.phrase
        assert ours.score == pytest.approx(theirs.score, abs=1e-4)
        assert np.allclose(ours.box_px, theirs.box_px, atol=0.02)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_batch_answers_as_single_pictures_do(family):
    detecting, _ = detector(family)
    together = detecting.detect([keyframe(1), keyframe(2)], PHRASES)
    for number, found in enumerate(together, 1):
        (alone,) = detector(family)[0].detect([keyframe(number)], PHRASES)
        assert [item.phrase for item in found] == [item.phrase for item in alone]
        assert np.allclose([item.box_px for item in found], [item.box_px for item in alone], atol=0.05)
    assert detecting.detect([keyframe(1)], ()) == [[]]
    assert detecting.detect([], PHRASES) == []


@pytest.mark.parametrize("family", FAMILIES)
def test_names_are_encoded_once(family, monkeypatch):
    detecting, model = detector(family)
    part = model.owlv2.text_model if family == "owlv2" else detecting.text_reads.encoder
    reads = []
    original = part.forward

    def counted(*arguments, **options):
        reads.append(1)
        return original(*arguments, **options)

    monkeypatch.setattr(part, "forward", counted)
    for number in (1, 2, 3):
        detecting.detect([keyframe(number)], PHRASES)
    # OWLv2 reads name by name: its answers must not depend on which others were asked for before.
    assert len(reads) == (len(PHRASES) if family == "owlv2" else 1)


def seen_by(family, model, monkeypatch):
    """Return a list to which the picture encoder adds how many pictures it is given."""
    part = model.owlv2.vision_model if family == "owlv2" else model.model.backbone.conv_encoder.encoder
    seen, original = [], part.forward

    def counted(*arguments, **options):
        seen.append(len(arguments[0] if arguments else options["pixel_values"]))
        return original(*arguments, **options)

    monkeypatch.setattr(part, "forward", counted)
    return seen


@pytest.mark.parametrize("family", FAMILIES)
def test_a_picture_is_encoded_once_within_the_budget(family, monkeypatch):
    detecting, model = detector(family)
    seen = seen_by(family, model, monkeypatch)
    detecting.detect([keyframe(1)], PHRASES)
    found = detecting.detect([keyframe(1), keyframe(2), keyframe(3)], ("lamp",))
    assert seen == [1, 2]
    assert detecting.cache.hits == 1
    fresh, model = detector(family, cache_mib=0)
    seen = seen_by(family, model, monkeypatch)
    for ours, theirs in zip(found, fresh.detect([keyframe(1), keyframe(2), keyframe(3)], ("lamp",)), strict=True):
        assert np.allclose([item.box_px for item in ours], [item.box_px for item in theirs], atol=0.05)
    fresh.detect([keyframe(1)], ("lamp",))
    assert seen == [3, 1]
    assert (fresh.cache.held_bytes, fresh.cache.hits) == (0, 0)


def test_a_picture_that_others_pad_is_encoded_anew():
    detecting, _ = detector("grounding_dino")
    wide = keyframe(2, rows=40, columns=80)
    (alone,) = detecting.detect([keyframe(1)], PHRASES)
    padded, _ = detecting.detect([keyframe(1), wide], PHRASES)
    (again,) = detecting.detect([keyframe(1)], PHRASES)
    wanted, _ = detector("grounding_dino")[0].detect([keyframe(1), wide], PHRASES)
    for ours, theirs in ((again, alone), (padded, wanted)):
        assert [item.phrase for item in ours] == [item.phrase for item in theirs]
        assert np.allclose([item.box_px for item in ours], [item.box_px for item in theirs], atol=0.05)


def test_more_names_than_a_text_holds_are_asked_in_several(monkeypatch):
    detecting, model = detector("grounding_dino", cache_mib=0)
    seen = seen_by("grounding_dino", model, monkeypatch)
    many = tuple(f"red chair {'lamp ' * number}".strip() for number in range(1, 12))
    (found,) = detecting.detect([keyframe(1)], many)
    assert detecting.text_reads.count > 1
    assert seen == [1]
    assert {item.phrase for item in found} <= set(many)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_back_end_is_made_from_a_folder(family, tmp_path, monkeypatch):
    monkeypatch.setenv("LIRA_MODELS", str(tmp_path))
    card = tiny.write_card(tmp_path / "card.yaml", "tiny", "detector", family, score_threshold=0.05)
    arguments = (SegmentationConfiguration("depth"), EmbeddingConfiguration(), CPU, Relevance(None))
    with pytest.raises(ReasoningError, match=r"model\.safetensors"):
        create_detector_reasoner(DetectorConfiguration(str(card)), *arguments)
    model, *others = parts(family)
    tiny.saved(model, tmp_path / "tiny", *others)
    reasoner = create_detector_reasoner(DetectorConfiguration(str(card)), *arguments)
    text = "the red chair next to the table"
    answer = reasoner.propose(keyframe(1), Instruction("1", text, parse(text)))
    assert answer.model == "detector tiny, depth"
    assert answer.exchanges[0].prompt == "chair. table"
    assert {candidate.label for candidate in answer.candidates} <= {"chair", "table"}


def test_a_card_without_a_threshold_or_of_something_else_is_refused(tmp_path):
    arguments = (SegmentationConfiguration("depth"), EmbeddingConfiguration(), CPU, Relevance(None))
    card = tiny.write_card(tmp_path / "card.yaml", "tiny", "detector", "owlv2")
    with pytest.raises(ReasoningError, match="score_threshold"):
        create_detector_reasoner(DetectorConfiguration(str(card)), *arguments)
    card = tiny.write_card(tmp_path / "card.yaml", "tiny", "segmenter", "sam")
    with pytest.raises(ReasoningError, match="expected a detector"):
        create_detector_reasoner(DetectorConfiguration(str(card)), *arguments)


def test_a_picture_of_which_nothing_would_be_left_is_refused_by_its_size():
    with pytest.raises(ReasoningError, match="2000 x 5 px"):
        detector("grounding_dino")[0].detect([keyframe(1, 5, 2000)], PHRASES)
    assert detector("owlv2")[0].detect([keyframe(1, 5, 2000)], PHRASES)

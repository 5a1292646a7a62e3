"""SAM 3 as a segmenter: phrases find instances, boxes choose among them, and depth stands in for what has no name."""

import sys

import numpy as np
import pytest

if sys.version_info < (3, 11):
    pytest.skip("transformers runs from Python 3.11 on", allow_module_level=True)

import tiny_vision_models as tiny
import torch

from lira_ros.geometry.camera import Camera
from lira_ros.geometry.frame import Frame, Keyframe
from lira_ros.reasoning.compute import ComputeConfiguration
from lira_ros.reasoning.segmentation import sam3 as module
from lira_ros.reasoning.segmentation.configuration import SegmentationConfiguration
from lira_ros.reasoning.segmentation.contracts import RegionPrompt
from lira_ros.reasoning.segmentation.creation import create_segmenter
from lira_ros.reasoning.segmentation.depth import DepthSegmenter
from lira_ros.reasoning.segmentation.image_preprocessing import SAM3_MEAN, SAM3_STD, squash

CPU = ComputeConfiguration("cpu", "float32")
PHRASES = ("red cup", "chair")


@pytest.fixture(scope="module")
def model():
    return tiny.sam3()


@pytest.fixture(scope="module")
def tokenizer():
    return tiny.clip_tokenizer()


@pytest.fixture(scope="module")
def picture():
    color = np.random.default_rng(1).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    frame = Frame(1, color, np.ones((60, 80), np.float32), Camera(80, 60, 80.0, 80.0, 40.0, 30.0), np.eye(4))
    return Keyframe(1, frame, np.array([0.0, 0.0, 1.0]), 0.0)


def expected(model, tokenizer, picture, phrase):
    """Return boxes [px], scores and masks as the library's own way gives them."""
    tokens = tokenizer(phrase, padding="max_length", max_length=16, return_tensors="pt")
    pixels = squash(picture.frame.color, 56, SAM3_MEAN, SAM3_STD)[None]
    with torch.no_grad():
        output = model(pixel_values=pixels, input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"])
    scores = (output.pred_logits.sigmoid() * output.presence_logits.sigmoid())[0]
    masks = torch.nn.functional.interpolate(output.pred_masks, (60, 80), mode="bilinear", align_corners=False)[0] > 0
    return (output.pred_boxes[0] * torch.tensor([80, 60, 80, 60])).numpy(), scores.numpy(), masks.numpy()


def test_the_instance_under_the_box_is_chosen(model, tokenizer, picture, monkeypatch):
    monkeypatch.setattr(module, "LEAST_SCORE", 0.0)
    prompts, wanted = [], []
    for phrase in PHRASES:
        boxes, scores, masks = expected(model, tokenizer, picture, phrase)
        for number in range(0, len(boxes), 4):
            prompts.append(RegionPrompt(tuple(np.clip(boxes[number], 0, [80, 60, 80, 60]).tolist()), None, phrase))
            wanted.append((boxes, scores, masks))
    (found,) = module.Sam3Segmenter(model, tokenizer, CPU, 10).segment([(picture, prompts)])
    for prompt, region, (boxes, scores, masks) in zip(prompts, found, wanted, strict=True):
        overlaps = module.box_overlap(torch.from_numpy(boxes), torch.tensor(prompt.box_px)).numpy()
        best = int(overlaps.argmax())
        if overlaps[best] >= module.LEAST_OVERLAP:
            assert (region.mask != masks[best]).mean() < 0.005
            assert region.quality == pytest.approx(scores[best], abs=1e-4)
    assert len({region.mask.tobytes() for region in found}) > 1


def test_what_no_instance_answers_to_is_cut_out_by_depth(model, tokenizer, picture, monkeypatch):
    monkeypatch.setattr(module, "LEAST_SCORE", 1.1)
    prompt = RegionPrompt((10.0, 10.0, 40.0, 40.0), None, "chair")
    (found,) = module.Sam3Segmenter(model, tokenizer, CPU, 10).segment([(picture, [prompt])])
    (cut,) = DepthSegmenter().segment([(picture, [prompt])])
    assert np.array_equal(found[0].mask, cut[0].mask)
    assert found[0].quality == cut[0].quality


def test_pictures_and_phrases_are_encoded_once(model, tokenizer, picture, monkeypatch):
    counts = {"vision_encoder": 0, "text_encoder": 0}
    for name in counts:
        part = getattr(model, name)

        def counted(*arguments, _name=name, _original=part.forward, **options):
            counts[_name] += 1
            return _original(*arguments, **options)

        monkeypatch.setattr(part, "forward", counted)
    segmenter = module.Sam3Segmenter(model, tokenizer, CPU, 10)
    for _ in range(2):
        segmenter.segment([(picture, [RegionPrompt((5.0, 5.0, 30.0, 30.0), None, phrase) for phrase in PHRASES])])
    assert counts == {"vision_encoder": 1, "text_encoder": 2}


def test_a_folder_is_loaded_by_its_card(model, tokenizer, picture, tmp_path, monkeypatch):
    monkeypatch.setenv("LIRA_MODELS", str(tmp_path))
    card = tiny.write_card(tmp_path / "card.yaml", "tiny", "segmenter", "sam3")
    tiny.saved(model, tmp_path / "tiny", tokenizer)
    loaded = create_segmenter(SegmentationConfiguration("model", str(card), 10), CPU)
    prompts = [RegionPrompt((5.0, 5.0, 60.0, 50.0), None, "chair"), RegionPrompt((90.0, 5.0, 95.0, 50.0))]
    ours = loaded.segment([(picture, prompts)])[0]
    theirs = module.Sam3Segmenter(model, tokenizer, CPU, 10).segment([(picture, prompts)])[0]
    assert [np.array_equal(a.mask, b.mask) for a, b in zip(ours, theirs, strict=True)] == [True, True]
    assert not ours[1].mask.any()

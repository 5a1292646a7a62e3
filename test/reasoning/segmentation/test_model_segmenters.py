"""SAM and SAM 2 as segmenters: as the library answers, in batches, with features kept, loaded from folders."""

import importlib.util
import sys

import numpy as np
import pytest

if sys.version_info < (3, 11):
    pytest.skip("transformers runs from Python 3.11 on", allow_module_level=True)

import tiny_vision_models as tiny
import torch
from recorded_pixels import check_recorded, patterned

from lira_ros.geometry.camera import Camera
from lira_ros.geometry.frame import Frame, Keyframe
from lira_ros.reasoning.compute import ComputeConfiguration
from lira_ros.reasoning.contracts import ReasoningError
from lira_ros.reasoning.segmentation.configuration import SegmentationConfiguration
from lira_ros.reasoning.segmentation.contracts import RegionPrompt
from lira_ros.reasoning.segmentation.creation import create_mask_tracker, create_segmenter
from lira_ros.reasoning.segmentation.depth import DepthSegmenter
from lira_ros.reasoning.segmentation.image_preprocessing import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    SAM3_MEAN,
    SAM3_STD,
    pad,
    squash,
)
from lira_ros.reasoning.segmentation.sam import SamSegmenter
from lira_ros.reasoning.segmentation.sam2 import Sam2Segmenter

CPU = ComputeConfiguration("cpu", "float32")
BOXES = [(4.0, 3.0, 40.0, 30.0), (20.0, 10.0, 70.0, 50.0), (60.5, 20.2, 90.0, 60.0)]


def keyframe(number):
    color = np.random.default_rng(number).integers(0, 255, (72, 96, 3), dtype=np.uint8)
    frame = Frame(number, color, np.ones((72, 96), np.float32), Camera(96, 72, 90.0, 90.0, 48.0, 36.0), np.eye(4))
    return Keyframe(number, frame, np.array([0.0, 0.0, 1.0]), 0.0)


@pytest.fixture(scope="module")
def sam():
    return tiny.sam()


@pytest.fixture(scope="module")
def sam2():
    return tiny.sam2()


@pytest.mark.parametrize("multimask", [False, True])
@pytest.mark.parametrize("points", [None, (30.0, 20.0)])
def test_sam_answers_as_the_library_does(sam, multimask, points):
    from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil
    from transformers.models.sam.processing_sam import SamProcessor

    image_processor = SamImageProcessorPil(size={"longest_edge": 64}, pad_size={"height": 64, "width": 64})
    processor = SamProcessor(image_processor)
    picture = keyframe(1)
    given = {"input_points": [[[list(points)]] * 3]} if points else {}
    inputs = processor(picture.frame.color, input_boxes=[[list(box) for box in BOXES]], return_tensors="pt", **given)
    inputs = {name: value.float() if value.is_floating_point() else value for name, value in inputs.items()}
    sizes = inputs.pop("original_sizes"), inputs.pop("reshaped_input_sizes")
    with torch.no_grad():
        output = sam(**inputs, multimask_output=multimask)
    # The library's first resizing goes to pad_size, 1024 where it is not told.
    masks = processor.image_processor.post_process_masks(
        output.pred_masks, *sizes, pad_size={"height": 64, "width": 64}
    )[0].numpy()
    segmenter = SamSegmenter(sam, CPU, 10, multimask)
    (found,) = segmenter.segment([(picture, [RegionPrompt(box, points) for box in BOXES])])
    for number, region in enumerate(found):
        best = int(output.iou_scores[0, number].argmax())
        assert (region.mask != masks[number, best]).mean() < 0.002
        assert region.quality == pytest.approx(float(output.iou_scores[0, number, best].clamp(0, 1)), abs=1e-5)
    assert any(region.mask.any() and not region.mask.all() for region in found)


@pytest.mark.parametrize("multimask", [False, True])
def test_sam2_answers_as_the_library_does(sam2, multimask):
    picture = keyframe(2)
    pixels = squash(picture.frame.color, 64, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))[None]
    scale = torch.tensor([64 / 96, 64 / 72] * 2)
    with torch.no_grad():
        output = sam2(pixel_values=pixels, input_boxes=(torch.tensor(BOXES) * scale)[None], multimask_output=multimask)
    masks = torch.nn.functional.interpolate(output.pred_masks[0], (72, 96), mode="bilinear", align_corners=False) > 0
    (found,) = Sam2Segmenter(sam2, CPU, 10, multimask).segment([(picture, [RegionPrompt(box) for box in BOXES])])
    for number, region in enumerate(found):
        best = int(output.iou_scores[0, number].argmax())
        assert (region.mask != masks[number, best].numpy()).mean() < 0.002
        assert region.quality == pytest.approx(float(output.iou_scores[0, number, best].clamp(0, 1)), abs=1e-5)
    assert any(region.mask.any() and not region.mask.all() for region in found)


@pytest.mark.parametrize("kind", ["sam", "sam2"])
def test_batches_answer_as_single_questions_do(kind, request):
    model = request.getfixturevalue(kind)
    kinds = {"sam": SamSegmenter, "sam2": Sam2Segmenter}
    questions = [
        (keyframe(1), [RegionPrompt(BOXES[0]), RegionPrompt(BOXES[1], (30.0, 20.0))]),
        (keyframe(2), []),
        (keyframe(3), [RegionPrompt((200.0, 0.0, 220.0, 10.0)), RegionPrompt(BOXES[2])]),
    ]
    together = kinds[kind](model, CPU, 10).segment(questions)
    assert [len(answer) for answer in together] == [2, 0, 2]
    assert not together[2][0].mask.any()
    for (picture, prompts), answers in zip(questions, together, strict=True):
        for prompt, answer in zip(prompts, answers, strict=True):
            alone = kinds[kind](model, CPU, 10).segment([(picture, [prompt])])[0][0]
            assert (alone.mask != answer.mask).mean() < 0.002
            assert alone.quality == pytest.approx(answer.quality, abs=1e-4)


@pytest.mark.parametrize("kind", ["sam", "sam2"])
def test_a_picture_is_encoded_once_within_the_budget(kind, request, monkeypatch):
    model = request.getfixturevalue(kind)
    runs = []
    original = model.vision_encoder.forward

    def counted(*arguments, **options):
        runs.append(1)
        return original(*arguments, **options)

    monkeypatch.setattr(model.vision_encoder, "forward", counted)
    segmenter = {"sam": SamSegmenter, "sam2": Sam2Segmenter}[kind](model, CPU, 1)
    for box in BOXES:
        segmenter.segment([(keyframe(1), [RegionPrompt(box)])])
    assert len(runs) == 1
    assert 0 < segmenter.cache.held_bytes <= 1 << 20
    without = {"sam": SamSegmenter, "sam2": Sam2Segmenter}[kind](model, CPU, 0)
    for box in BOXES:
        without.segment([(keyframe(1), [RegionPrompt(box)])])
    assert len(runs) == 4
    assert without.cache.held_bytes == 0


def test_bfloat16_is_for_the_encoder_alone():
    model = tiny.sam2()
    segmenter = Sam2Segmenter(model, ComputeConfiguration("cpu", "bfloat16"), 10)
    (found,) = segmenter.segment([(keyframe(1), [RegionPrompt(box) for box in BOXES])])
    assert next(model.vision_encoder.parameters()).dtype == torch.bfloat16
    assert next(model.mask_decoder.parameters()).dtype == torch.float32
    exact = Sam2Segmenter(tiny.sam2(), CPU, 10).segment([(keyframe(1), [RegionPrompt(box) for box in BOXES])])[0]
    for coarse, fine in zip(found, exact, strict=True):
        assert (coarse.mask != fine.mask).mean() < 0.1


def test_sam_pictures_are_those_of_the_library():
    from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil

    for shape in ((72, 96, 3), (96, 50, 3), (333, 500, 3)):
        color = np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)
        expected = SamImageProcessorPil()(color, return_tensors="pt")["pixel_values"][0]
        assert torch.allclose(pad(color, 1024), expected, atol=1e-5)


@pytest.mark.parametrize("family", ["sam2", "sam3"])
def test_sam2_and_sam3_pictures_are_those_of_the_library(family):
    if importlib.util.find_spec("torchvision") is None:
        pytest.skip("the processors of SAM 2 and SAM 3 need torchvision, which is not installed here")
    from transformers import Sam2ImageProcessor, Sam3ImageProcessor

    color = np.random.default_rng(0).integers(0, 255, (480, 640, 3), dtype=np.uint8)
    if family == "sam2":
        expected = Sam2ImageProcessor()(color, return_tensors="pt")["pixel_values"][0]
        own = squash(color, 1024, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    else:
        expected = Sam3ImageProcessor()(color, return_tensors="pt")["pixel_values"][0]
        own = squash(color, 1008, SAM3_MEAN, SAM3_STD)
    assert torch.allclose(own, expected, atol=1e-5)


# Of Sam2ImageProcessor and Sam3ImageProcessor with a size of 64 px.
RECORDED = [
    (IMAGENET_MEAN, IMAGENET_STD, (90, 131), [-1.689785, -0.251306, 0.348061, 1.395658, 0.065126, 0.391634, 0.618214],
     0.228262, 0.523477),
    (SAM3_MEAN, SAM3_STD, (90, 131), [-0.803922, -0.145098, 0.129412, 0.537255, -0.058824, -0.011765, 0.090196],
     0.00077, 0.227927),
    (IMAGENET_MEAN, IMAGENET_STD, (37, 20), [-2.117904, 0.365185, 0.142564, -0.390056, -0.670168, -0.932985, -0.497255],
     0.230359, 0.836072),
    (SAM3_MEAN, SAM3_STD, (37, 20), [-1.0, 0.137255, 0.035294, -0.262745, -0.388235, -0.607843, -0.411765],
     0.00163, 0.371135),
]  # fmt: skip


@pytest.mark.parametrize(("center", "spread", "size", "numbers", "mean", "deviation"), RECORDED)
def test_squashed_pictures_have_the_pixels_that_torchvision_makes(center, spread, size, numbers, mean, deviation):
    check_recorded(squash(patterned(*size), 64, center, spread), (3, 64, 64), numbers, mean, deviation)


@pytest.mark.parametrize("kind", ["sam", "sam2"])
def test_a_folder_is_loaded_by_its_card(kind, request, tmp_path, monkeypatch):
    model = request.getfixturevalue(kind)
    monkeypatch.setenv("LIRA_MODELS", str(tmp_path))
    card = tiny.write_card(tmp_path / "card.yaml", "tiny", "segmenter", kind, multimask=True)
    configuration = SegmentationConfiguration("model", str(card), 10)
    with pytest.raises(ReasoningError, match=r"model\.safetensors"):
        create_segmenter(configuration, CPU)
    assert isinstance(create_segmenter(SegmentationConfiguration("auto", str(card), 10), CPU), DepthSegmenter)
    tiny.saved(model, tmp_path / "tiny")
    loaded = create_segmenter(configuration, CPU)
    assert loaded.name == kind
    prompts = [RegionPrompt(box) for box in BOXES]
    expected = {"sam": SamSegmenter, "sam2": Sam2Segmenter}[kind](model, CPU, 10, True)
    for ours, theirs in zip(
        loaded.segment([(keyframe(1), prompts)])[0], expected.segment([(keyframe(1), prompts)])[0], strict=True
    ):
        assert np.array_equal(ours.mask, theirs.mask)
    assert create_segmenter(SegmentationConfiguration("auto", str(card), 10), CPU).name == kind
    (tmp_path / "tiny" / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(ReasoningError, match="tiny"):
        create_segmenter(configuration, CPU)


def test_weights_that_are_missing_are_named(sam, tmp_path, monkeypatch):
    from safetensors.torch import load_file, save_file

    monkeypatch.setenv("LIRA_MODELS", str(tmp_path))
    card = tiny.write_card(tmp_path / "card.yaml", "tiny", "segmenter", "sam")
    file = tiny.saved(sam, tmp_path / "tiny") / "model.safetensors"
    weights = load_file(file)
    del weights["mask_decoder.iou_token.weight"]
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(ReasoningError, match=r"mask_decoder\.iou_token\.weight"):
        create_segmenter(SegmentationConfiguration("model", str(card), 10), CPU)


def test_a_card_of_something_else_is_refused(tmp_path):
    card = tiny.write_card(tmp_path / "card.yaml", "tiny", "detector", "owlv2")
    with pytest.raises(ReasoningError, match="expected a segmenter"):
        create_segmenter(SegmentationConfiguration("auto", str(card), 10), CPU)
    with pytest.raises(ReasoningError, match="sam2"):
        create_mask_tracker(SegmentationConfiguration("model", str(card), 10), CPU)
    assert isinstance(create_segmenter(SegmentationConfiguration("depth", "no such card", 10), CPU), DepthSegmenter)


def test_a_tracker_is_loaded_by_its_card(tmp_path, monkeypatch):
    monkeypatch.setenv("LIRA_MODELS", str(tmp_path))
    card = tiny.write_card(tmp_path / "card.yaml", "tiny", "segmenter", "sam2")
    tiny.saved(tiny.sam2_video(), tmp_path / "tiny")
    tracker = create_mask_tracker(SegmentationConfiguration("model", str(card), 10), CPU)
    tracker.start(keyframe(1).frame.color, {1: np.ones((72, 96), dtype=bool)})
    assert tracker.ids == (1,)
    # The published SAM 2 folders are those of the video model; pictures alone take what they need of it.
    assert create_segmenter(SegmentationConfiguration("model", str(card), 10), CPU).name == "sam2"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU that PyTorch sees")
@pytest.mark.parametrize("kind", ["sam", "sam2"])
def test_a_gpu_answers_as_the_processor_does(kind):
    kinds = {"sam": (tiny.sam, SamSegmenter), "sam2": (tiny.sam2, Sam2Segmenter)}
    make, segmenter = kinds[kind]
    prompts = [RegionPrompt(box) for box in BOXES]
    expected = segmenter(make(), CPU, 10).segment([(keyframe(1), prompts)])[0]
    for precision, bound in (("float32", 0.01), ("bfloat16", 0.1)):
        found = segmenter(make(), ComputeConfiguration("cuda", precision), 10).segment([(keyframe(1), prompts)])[0]
        for ours, theirs in zip(found, expected, strict=True):
            assert (ours.mask != theirs.mask).mean() < bound

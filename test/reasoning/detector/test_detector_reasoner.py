"""The detector back end: what it looks for, which boxes it keeps, and what becomes of them."""

import math

import numpy as np
import pytest

from lira_ros.geometry.camera import Camera
from lira_ros.geometry.frame import Frame, Keyframe
from lira_ros.reasoning.contracts import Instruction, ReasoningError, Role, Task
from lira_ros.reasoning.detector.configuration import DetectorConfiguration
from lira_ros.reasoning.detector.detections import Detection, Detector, choose
from lira_ros.reasoning.detector.phrases import detector_phrases
from lira_ros.reasoning.detector.reasoner import DetectorReasoner
from lira_ros.reasoning.embeddings.appearance import AppearanceRegionEncoder
from lira_ros.reasoning.language.parser import parse
from lira_ros.reasoning.relevance import LanguageConfiguration, Relevance, create_relevance
from lira_ros.reasoning.segmentation.depth import DepthSegmenter

WORDS_ALONE = Relevance(None)


def keyframe(number=1):
    """Return a red and a blue box before a gray wall."""
    color = np.full((120, 160, 3), 128, dtype=np.uint8)
    depth_m = np.full((120, 160), 3.0, dtype=np.float32)
    color[40:90, 20:60], depth_m[40:90, 20:60] = (200, 20, 20), 2.0
    color[40:90, 100:140], depth_m[40:90, 100:140] = (20, 20, 200), 2.0
    frame = Frame(number, color, depth_m, Camera(160, 120, 150.0, 150.0, 79.5, 59.5), np.eye(4))
    return Keyframe(number, frame, np.array([0.0, -1.0, 0.0]), -1.0)


class FixedDetector(Detector):
    """Finds both boxes as the first phrase, or fails."""

    name = "fixed"

    def __init__(self, failing=False):
        self.failing = failing
        self.asked = []

    def detect(self, keyframes, phrases):
        self.asked.append(([frame.id for frame in keyframes], tuple(phrases)))
        if self.failing:
            raise ReasoningError("fixed: the memory is not enough")
        boxes = ((20.0, 40.0, 60.0, 90.0), (100.0, 40.0, 140.0, 90.0))
        return [[Detection(box, phrases[0], 0.6) for box in boxes] for _ in keyframes]


def instruction(text, identity="1"):
    return Instruction(identity, text, parse(text))


def reasoner(detector, **options):
    return DetectorReasoner(
        detector, DepthSegmenter(), AppearanceRegionEncoder(), WORDS_ALONE, DetectorConfiguration(**options)
    )


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("the red chair", ("chair",)),
        ("the coffee table next to the sofa", ("coffee table", "sofa")),
        ("find a chair or a stool", ("chair", "stool")),
        ("the lamp between the bed and the window", ("lamp", "bed", "window")),
        ("the basket with fruit", ("basket", "fruit")),
    ],
)
def test_names_without_colours_are_looked_for_targets_first(text, names):
    assert detector_phrases(parse(text), WORDS_ALONE, 12) == names


def test_a_use_and_a_general_word_stand_for_known_names():
    relevance = create_relevance(LanguageConfiguration())
    if relevance.encoder is None:
        pytest.skip("the sentence encoder is not installed")
    assert set(detector_phrases(parse("I want to sit down"), relevance, 12)) & {"chair", "sofa", "armchair", "stool"}
    assert "bed" in detector_phrases(parse("somewhere to sleep at night"), relevance, 12)
    furniture = detector_phrases(parse("the largest piece of furniture"), relevance, 4)
    assert 0 < len(furniture) <= 4


def test_things_are_cut_out_measured_and_judged():
    detector = FixedDetector()
    answer = reasoner(detector).propose(keyframe(), instruction("the red cabinet"))
    red, blue = answer.candidates
    assert (red.label, red.attributes.color, red.role) == ("cabinet", "red", Role.TARGET)
    assert blue.attributes.color == "blue"
    assert blue.role is not Role.TARGET
    assert red.label_confidence == pytest.approx(0.6)
    assert math.isnan(red.target_confidence)
    assert red.mask[60, 40]
    assert not red.mask[60, 120]
    assert red.attributes.size_m[2] == pytest.approx(50 / 150 * 2.0, rel=0.1)
    (exchange,) = answer.exchanges
    assert exchange.prompt == "cabinet"
    assert "cabinet 0.60 [20, 40, 60, 90]" in exchange.answer


def test_keyframes_of_one_instruction_go_in_batches():
    detector = FixedDetector()
    tasks = [Task(keyframe(number), instruction("the red cabinet")) for number in (1, 2, 3)]
    tasks.insert(1, Task(keyframe(4), instruction("the lamp", "2")))
    answers = reasoner(detector, batch_size=2).propose_batch(tasks)
    assert [answer.keyframe_id for answer in answers] == [1, 4, 2, 3]
    assert [answer.instruction_id for answer in answers] == ["1", "2", "1", "1"]
    assert detector.asked == [([1, 2], ("cabinet",)), ([3], ("cabinet",)), ([4], ("lamp",))]


def test_an_instruction_is_read_once(monkeypatch):
    reads = []

    def counted(*arguments):
        reads.append(1)
        return detector_phrases(*arguments)

    monkeypatch.setattr("lira_ros.reasoning.detector.reasoner.detector_phrases", counted)
    answering = reasoner(FixedDetector())
    for number in (1, 2, 3):
        answering.propose(keyframe(number), instruction("the red cabinet"))
    answering.propose(keyframe(4), instruction("the lamp"))
    assert len(reads) == 2


def test_a_failure_comes_with_what_was_asked():
    answering = reasoner(FixedDetector(failing=True))
    with pytest.raises(ReasoningError, match="memory") as caught:
        answering.propose(keyframe(), instruction("the red cabinet"))
    assert caught.value.exchanges[0].prompt == "cabinet"
    assert answering.diagnose()["answers that failed"] == 1


def test_each_thing_is_kept_once():
    boxes = np.array(
        [
            [10, 10, 50, 50],
            [12, 10, 50, 50],  # the same chair again
            [11, 10, 50, 50],  # nearly the same box, called a stool
            [10, 10, 50, 35],  # a cushion on the chair
            [-20, -20, 5, 5],  # reaches out of the picture
            [60, 10, 60.5, 50],  # no area
            [70, 10, 90, 50],  # not certain enough
            [np.nan, 0, 1, 1],
        ]
    )
    scores = np.zeros((8, 3))
    for number, (name, score) in enumerate(
        [(0, 0.9), (0, 0.8), (1, 0.7), (2, 0.6), (2, 0.5), (0, 0.9), (0, 0.2), (0, 0.95)]
    ):
        scores[number, name] = score
    found = choose(boxes, scores, ("chair", "stool", "cushion"), 0.3, (100, 80))
    assert [(item.phrase, item.score) for item in found] == [("chair", 0.9), ("cushion", 0.6), ("cushion", 0.5)]
    assert found[2].box_px == (0.0, 0.0, 5.0, 5.0)

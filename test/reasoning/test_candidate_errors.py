import dataclasses
from collections import Counter

import numpy as np
import pytest

from lira_ros.configuration import ConfigurationError, build
from lira_ros.datasets.rooms.sequence import RoomSequence
from lira_ros.geometry.frame import Keyframe
from lira_ros.geometry.mask import intersection_over_union
from lira_ros.reasoning.backends import GroundTruth, ReasonerConfiguration, create_reasoner
from lira_ros.reasoning.candidate_errors import LEVELS, CandidateCorruption, CandidateErrors
from lira_ros.reasoning.contracts import Instruction
from lira_ros.reasoning.language.parser import parse
from lira_ros.reasoning.oracle import annotated_candidates
from lira_ros.reasoning.relevance import Relevance
from lira_ros.reasoning.sightings import MIN_PIXELS


@dataclasses.dataclass(frozen=True)
class Annotated:
    """An object of the home."""

    id: int
    label: str
    attributes: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Walk:
    """A part of the walk through a home, as clean candidates with what they were made of."""

    keyframes: list
    images: list
    clean: list
    objects: tuple
    made: dict = dataclasses.field(default_factory=dict)

    @property
    def labels(self):
        return [item.label for item in self.objects]

    def answers(self, level, seed=0):
        if (level, seed) not in self.made:
            corruption = CandidateCorruption(CandidateErrors(level, seed), self.labels)
            pairs = zip(self.keyframes, self.clean, strict=True)
            self.made[level, seed] = [corruption.corrupt(clean, key) for key, clean in pairs]
        return self.made[level, seed]


@pytest.fixture(name="walk", scope="module")
def walk_fixture():
    sequence = RoomSequence(1, rate_hz=1.0, width_px=160, duration_s=24.0)
    # Not those of the sequence: they bring the surface of the whole home, which nobody needs here.
    objects = {item.id: Annotated(item.id, item.label) for item in sequence.room.objects}
    walk = Walk([], [], [], tuple(objects.values()))
    for index in range(len(sequence)):
        walk.keyframes.append(Keyframe(index + 1, sequence.frame(index), np.array([0.0, 0.0, 1.0]), 0.0))
        walk.images.append(sequence.instance_image(index).copy())
        walk.clean.append(annotated_candidates(walk.keyframes[-1], walk.images[-1], objects))
    return walk


def best_overlaps(answers, clean):
    """Return for every candidate of all answers its largest IoU with an object, and for every object with one."""
    found, objects = [], []
    for answer, true in zip(answers, clean, strict=True):
        table = np.array(
            [[intersection_over_union(a.mask, b.mask) for b in true.candidates] for a in answer.candidates]
        ).reshape(len(answer.candidates), len(true.candidates))
        found += list(table.max(axis=1, initial=0.0))
        objects += list(table.max(axis=0, initial=0.0))
    return np.array(found), np.array(objects)


def test_without_errors_the_candidates_stay_as_they_are(walk):
    assert walk.answers("none") == walk.clean


def test_each_level_is_worse_than_the_one_before(walk):
    quality, missed, false, named = [], [], [], []
    for level in LEVELS:
        answers = walk.answers(level)
        found, objects = best_overlaps(answers, walk.clean)
        quality.append(found[found >= 0.25].mean())
        missed.append((objects < 0.25).mean())
        false.append((found < 0.25).sum())
        true = {item.id: item.label for answer in walk.clean for item in answer.candidates}
        own = [item for answer in answers for item in answer.candidates if item.id in true]
        named.append(np.mean([item.label == true[item.id] for item in own]))
    assert quality == sorted(quality, reverse=True)
    assert missed == sorted(missed)
    assert false == sorted(false)
    assert named == sorted(named, reverse=True)
    assert 0.7 < quality[1] < 0.9


def test_candidates_are_well_formed_and_measured_on_their_own_masks(walk):
    for answer, clean, keyframe in zip(walk.answers("heavy"), walk.clean, walk.keyframes, strict=True):
        assert (answer.keyframe_id, answer.stamp_ns) == (clean.keyframe_id, clean.stamp_ns)
        ids = [item.id for item in answer.candidates]
        assert len(set(ids)) == len(ids)
        for item in answer.candidates:
            assert item.mask.shape == keyframe.frame.depth_m.shape
            assert np.count_nonzero(item.mask) >= MIN_PIXELS
            assert 0.0 < item.score <= 1.0
            assert 0.0 < item.label_confidence <= 1.0
            assert item.label in walk.labels
            assert np.linalg.norm(item.embedding) == pytest.approx(1.0, abs=1e-4)
    one = {item.id: item for item in walk.clean[10].candidates}
    wrong = [item for item in walk.answers("heavy")[10].candidates if item.id in one]
    assert any(item.attributes.size_m != one[item.id].attributes.size_m for item in wrong)
    assert any(not np.array_equal(item.embedding, one[item.id].embedding) for item in wrong)


def test_errors_depend_on_the_seed_and_the_picture_and_not_on_the_order_of_calls(walk):
    part = slice(8, 16)
    keyframes, clean = walk.keyframes[part], walk.clean[part]
    corruption = CandidateCorruption(CandidateErrors("middle", 0), walk.labels)
    backwards = [corruption.corrupt(*pair) for pair in zip(clean[::-1], keyframes[::-1], strict=True)][::-1]

    def content(answers):
        return [[(item.id, item.label, item.score, item.mask.tobytes()) for item in a.candidates] for a in answers]

    assert content(backwards) == content(walk.answers("middle")[part])
    assert content(backwards) != content(walk.answers("middle", 1)[part])
    other_home = CandidateCorruption(CandidateErrors("middle", 0), [*walk.labels, walk.labels[0]])
    assert content(backwards) != content([other_home.corrupt(*pair) for pair in zip(clean, keyframes, strict=True)])


def test_small_objects_are_missed_more_than_large_ones(walk):
    missed = {True: [], False: []}
    for seed in range(2):
        for answer, clean in zip(walk.answers("middle", seed), walk.clean, strict=True):
            ids = {item.id for item in answer.candidates}
            for item in clean.candidates:
                missed[np.count_nonzero(item.mask) < 0.01 * item.mask.size].append(item.id not in ids)
    assert len(missed[True]) > 20
    assert np.mean(missed[True]) > 1.5 * np.mean(missed[False])


def test_a_wrong_name_comes_back(walk):
    names = {}
    for answer in walk.answers("heavy"):
        for item in answer.candidates:
            names.setdefault(item.id, Counter())[item.label] += 1
    true = {item.id: item.label for item in walk.objects}
    # Single mistakes spread over many names; one that an object keeps outweighs its right name.
    kept = [
        identity
        for identity, counts in names.items()
        if identity in true and counts.total() >= 5 and counts.most_common(1)[0][0] != true[identity]
    ]
    assert kept


def test_scores_and_confidences_tell_right_from_wrong_but_not_surely(walk):
    answers = walk.answers("middle")
    found, _ = best_overlaps(answers, walk.clean)
    scores = np.array([item.score for answer in answers for item in answer.candidates])
    assert 0.2 < np.corrcoef(scores, found)[0, 1] < 0.95
    true = {item.id: item.label for item in walk.objects}
    own = [item for answer in answers for item in answer.candidates if item.id in true]
    right = [item.label_confidence for item in own if item.label == true[item.id]]
    wrong = [item.label_confidence for item in own if item.label != true[item.id]]
    assert np.mean(right) > np.mean(wrong)
    assert max(wrong) > min(right)


def test_late_masks_are_those_of_the_earlier_picture(walk, monkeypatch):
    late = dataclasses.replace(
        LEVELS["light"], late=1.0, offset_cells=0.0, ripple_cells=0.0, shift_cells=0.0, missed_large=0.0,
        missed_small=0.0, split=0.0, merged=0.0, stains=0.0, parts=0.0,
    )  # fmt: skip
    monkeypatch.setitem(LEVELS, "light", late)
    asked = []

    def earlier(stamp_ns):
        asked.append(stamp_ns)
        return walk.images[9]

    corruption = CandidateCorruption(CandidateErrors("light"), walk.labels)
    answer = corruption.corrupt(walk.clean[10], walk.keyframes[10], earlier)
    assert asked == [walk.clean[10].stamp_ns - 250_000_000]
    assert answer.candidates
    for item in answer.candidates:
        assert np.array_equal(item.mask, walk.images[9] == item.id)
    # At the beginning of a recording there is no earlier picture.
    first = corruption.corrupt(walk.clean[10], walk.keyframes[10], lambda stamp_ns: None)
    assert all(np.array_equal(item.mask, walk.images[10] == item.id) for item in first.candidates)


def test_the_oracle_takes_the_errors_from_its_configuration_and_the_picture_before_from_the_recording(walk):
    configuration = build(
        ReasonerConfiguration,
        {"backend": "oracle", "oracle.errors.level": "heavy", "oracle.errors.seed": 1},
    )
    stamps = [key.frame.stamp_ns for key in walk.keyframes]
    images = dict(zip(stamps, walk.images, strict=True))
    reasoner = create_reasoner(configuration, Relevance(None), GroundTruth(images.get, walk.objects, stamps))
    instruction = Instruction("find-1", "Find the sofa.", parse("Find the sofa."))
    corruption = CandidateCorruption(CandidateErrors("heavy", 1), walk.labels)
    for number, key in list(enumerate(walk.keyframes))[:12]:
        answer = reasoner.propose(key, instruction)
        earlier = walk.images[number - 1] if number else None
        expected = corruption.corrupt(walk.clean[number], key, lambda stamp_ns, image=earlier: image)
        assert [item.label for item in answer.candidates] == [item.label for item in expected.candidates]
        for one, other in zip(answer.candidates, expected.candidates, strict=True):
            assert np.array_equal(one.mask, other.mask)


def test_an_unknown_level_is_refused_by_name():
    with pytest.raises(ConfigurationError, match=r"oracle\.errors\.level: 'terrible' is not one of none, light"):
        build(ReasonerConfiguration, {"oracle.errors.level": "terrible"})

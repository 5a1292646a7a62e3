"""Embeddings of any model on one scale: different things agree little, the same thing much."""

import dataclasses

import numpy as np
import pytest
from box_scene import Box, answer, keyframe

from lira_ros.fusion.configuration import FusionConfiguration
from lira_ros.fusion.embedding_agreement import EmbeddingAgreement
from lira_ros.fusion.instance_fusion import InstanceFusion
from lira_ros.reasoning.color import APPEARANCE_LENGTH, appearance

# Length, mean cosine of different things and of two views of one thing, as the models have them.
MODELS = {"sentences": (384, 0.2, 0.95), "clip": (512, 0.8, 0.93), "hidden states": (4096, 0.93, 0.985)}


def unit(vector):
    return (vector / np.linalg.norm(vector)).astype(np.float32)


class Model:
    """Makes embeddings with a common part, one of the thing and one of the view, of given mean cosines."""

    def __init__(self, length, different, same, seed=0):
        self.rng = np.random.default_rng(seed)
        self.length = length
        self.shares = np.sqrt([different, same - different, 1.0 - same])
        self.common = unit(self.rng.normal(size=length))

    def thing(self):
        return unit(self.rng.normal(size=self.length))

    def view(self, thing):
        parts = (self.common, thing, unit(self.rng.normal(size=self.length)))
        return unit(sum(share * part for share, part in zip(self.shares, parts, strict=True)))


@pytest.mark.parametrize("name", MODELS)
def test_different_things_agree_little_and_the_same_much_whatever_the_model(name):
    model, agreement = Model(*MODELS[name]), EmbeddingAgreement()
    things = [model.thing() for _ in range(6)]
    for _ in range(5):
        agreement.learn([model.view(thing) for thing in things])
    same = [agreement.between(model.view(thing), model.view(thing)) for thing in things]
    other = [agreement.between(model.view(a), model.view(b)) for a in things for b in things if a is not b]
    assert min(same) > 0.4
    assert np.mean(other) < 0.1
    assert max(other) < min(same)


def test_appearances_are_compared_as_they_are():
    rng = np.random.default_rng(1)
    looks = [appearance(rng.integers(0, 256, (200, 3), dtype=np.uint8)) for _ in range(5)]
    assert len(looks[0]) == APPEARANCE_LENGTH
    agreement = EmbeddingAgreement()
    agreement.learn(looks)
    assert agreement.between(looks[0], looks[1]) == pytest.approx(float(looks[0] @ looks[1]))


def test_nothing_is_said_before_different_things_were_seen_together_or_of_different_models():
    model = Model(*MODELS["clip"])
    thing = model.thing()
    agreement = EmbeddingAgreement()
    agreement.learn([model.view(thing)])
    agreement.learn([])
    assert agreement.between(model.view(thing), model.view(thing)) == 0.0
    assert agreement.between(model.view(thing), np.zeros(0, np.float32)) == 0.0
    assert agreement.between(model.view(thing), unit(np.ones(7))) == 0.0


@pytest.mark.parametrize("name", MODELS)
def test_a_thing_between_two_others_goes_to_the_one_that_it_resembles(name):
    """A mask lies half over one box and half over its neighbour: what it looks like to the model decides."""
    left, right = Box(1, (-0.3, -0.2, 0.0), (0.0, 0.2, 0.3)), Box(2, (0.0, -0.2, 0.0), (0.3, 0.2, 0.3))
    for wanted in (1, 2):
        model = Model(*MODELS[name])
        things = {1: model.thing(), 2: model.thing(), 3: model.thing()}
        elsewhere = Box(3, (0.5, -0.2, 0.0), (0.7, 0.2, 0.2))
        fusion = InstanceFusion(FusionConfiguration())
        for number in range(1, 4):
            key, ids = keyframe(number, [left, right, elsewhere], (0.05 * number - 0.1, -1.8, 1.2))
            fusion.add_keyframe(key)
            fusion.add_candidates(embedded(key, {box: ids == box for box in things}, things, model))
        key, ids = keyframe(4, [left, right, elsewhere], (0.0, -1.8, 1.2))
        fusion.add_keyframe(key)
        columns = np.arange(ids.shape[1])
        middle = (ids > 0) & (ids < 3) & (np.abs(columns - 79.5) < 8)[None]
        fusion.add_candidates(embedded(key, {wanted: middle}, things, model))
        newest = [item for item in fusion.instances() if item.last_seen_ns == key.frame.stamp_ns]
        assert [item.label for item in newest] == [f"box {wanted}"]


def embedded(key, masks, things, model):
    answered = answer(key, list(masks.values()))
    candidates = tuple(
        dataclasses.replace(candidate, embedding=model.view(things[box]), label=f"box {box}", label_confidence=0.0)
        for candidate, box in zip(answered.candidates, masks, strict=True)
    )
    return dataclasses.replace(answered, candidates=candidates)

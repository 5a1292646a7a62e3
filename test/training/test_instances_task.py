"""What the learned fusion learns from: comparisons written down beside the truth."""

import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "fusion"))

from box_scene import Box, walk  # noqa: E402

from lira_ros.fusion.configuration import FusionConfiguration  # noqa: E402
from lira_ros.fusion.learned.network import InstanceNetwork, NetworkShape  # noqa: E402
from lira_ros.reasoning.candidate_errors import CandidateErrors  # noqa: E402
from lira_ros.training.homes import HomeObject, HomeRecording  # noqa: E402
from lira_ros.training.instances_data import arrivals, read_samples, record, write_samples  # noqa: E402
from lira_ros.training.instances_task import InstancesTask  # noqa: E402

CRATE = Box(1, (-0.5, -0.2, 0.0), (-0.1, 0.2, 0.4))
PARCEL = Box(2, (0.15, -0.15, 0.0), (0.45, 0.15, 0.25))
SHAPE = NetworkShape(text_length=0, look_length=192, width=16, heads=2, rounds=1, pair_width=8, voxel_width=16)


@pytest.fixture(scope="module")
def recording():
    torch.set_num_threads(1)
    room = walk([CRATE, PARCEL], 5)
    objects = (HomeObject(1, "crate", {}), HomeObject(2, "parcel", {}))
    images = np.stack([ids for _, ids in room]).astype(np.uint16)
    return HomeRecording(1, "none", tuple(key for key, _ in room), images, objects)


@pytest.fixture(scope="module")
def samples(recording):
    return record(recording, CandidateErrors("light", 1), FusionConfiguration(), None, None)


def test_every_answer_is_a_sample_with_the_truth_of_what_was_compared(recording, samples):
    assert len(samples) == len(recording.keyframes)
    # The first keyframe meets nothing; later ones meet the instances that came of the earlier ones.
    assert len(samples[0].tokens.instances) == 0
    last = samples[-1]
    count = len(last.tokens.candidates)
    assert set(last.objects[:count]) <= {0, 1, 2}
    assert set(last.objects[count:]) >= {1, 2}
    assert ((last.overlap >= 0) & (last.overlap <= 1)).all()
    groups = [group for sample in samples for group in sample.groups]
    # Voxels inside of a nearly right mask are its own as a rule, those beside it are not.
    inside = np.concatenate([group.own[group.features[:, 2] > 0] for group in groups])
    outside = np.concatenate([group.own[group.features[:, 2] == 0] for group in groups])
    assert inside.mean() > 0.9
    assert len(outside) == 0 or outside.mean() < 0.5


def test_a_network_may_fuse_what_it_learns_from(recording):
    torch.manual_seed(0)
    network = InstanceNetwork(SHAPE).eval()
    fused = record(recording, CandidateErrors("none", 1), FusionConfiguration(), None, network)
    assert len(fused) == len(recording.keyframes)


def test_samples_come_back_from_their_file(samples, tmp_path):
    write_samples(tmp_path / "walk.npz", samples)
    back = read_samples(tmp_path / "walk.npz")
    assert len(back) == len(samples)
    for one, other in zip(samples, back, strict=True):
        np.testing.assert_array_equal(one.objects, other.objects)
        np.testing.assert_allclose(one.tokens.pairs, other.tokens.pairs, atol=2e-3)
        assert [len(item) for item in one.tokens.looks] == [len(item) for item in other.tokens.looks]
        for mine, theirs in zip(one.groups, other.groups, strict=True):
            assert (mine.c, mine.m) == (theirs.c, theirs.m)
            np.testing.assert_array_equal(mine.own, theirs.own)


def test_what_is_learned_makes_the_loss_smaller(samples):
    torch.manual_seed(0)
    task = InstancesTask(InstanceNetwork(SHAPE), samples * 4, samples, epochs=30)
    before = task.validate()["score"]
    for epoch in range(30):
        for batch in task.batches(epoch, np.random.default_rng(epoch)):
            task.optimizer.zero_grad()
            task.losses(batch)["total"].backward()
            task.optimizer.step()
    task.network.eval()
    with torch.no_grad():
        figures = task.validate()
    assert figures["score"] > before + 0.5
    assert figures["voxels F1"] > 0.9


def test_the_learning_rate_warms_up_and_ends_at_nothing(samples):
    task = InstancesTask(InstanceNetwork(SHAPE), samples * 400, samples, epochs=3)
    steps = task._steps
    factors = [task.learning_rate_factor(0, step) for step in range(steps)]
    assert factors[0] < 0.05
    assert max(factors) == pytest.approx(1.0, abs=1e-3)
    assert factors[-1] < 0.01


def test_batches_follow_from_their_generator_alone(samples):
    task = InstancesTask(InstanceNetwork(SHAPE), samples * 4, samples, epochs=1)
    first = [batch.tokens.pairs for batch in task.batches(0, np.random.default_rng(5))]
    second = [batch.tokens.pairs for batch in task.batches(0, np.random.default_rng(5))]
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one, other)


def test_every_keyframe_comes_before_its_answer_and_none_is_lost():
    order = arrivals(50, np.random.default_rng(2))
    assert sorted(index for index, answered in order if not answered) == list(range(50))
    assert sorted(index for index, answered in order if answered) == list(range(50))
    for index in range(50):
        assert order.index((index, False)) < order.index((index, True))
    answers = [index for index, answered in order if answered]
    assert answers != sorted(answers)

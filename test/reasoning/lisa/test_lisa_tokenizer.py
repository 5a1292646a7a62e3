import json
import shutil

import pytest
from lisa_checkpoints import golden_folder, train_tokenizer

from lira_ros.reasoning.contracts import ReasoningError
from lira_ros.reasoning.lisa.tokenizer import IMAGE_ID, LisaTokenizer


@pytest.fixture(name="model_file", scope="module")
def model_file_fixture(tmp_path_factory):
    return train_tokenizer(tmp_path_factory.mktemp("tokenizer") / "tokenizer.model")


def test_all_golden_texts_and_prompts_get_the_ids_of_training():
    folder = golden_folder()
    tokenizer = LisaTokenizer(folder / "tokenizer.model")
    cases = json.loads((folder / "tokenizer_golden.json").read_text())
    assert len(cases) == 25
    for case in cases:
        if "prompt" in case:
            assert tokenizer.encode_prompt(case["prompt"]) == case["tokenizer_image_token"]
            continue
        assert tokenizer.encode(case["text"]) == case["ids"], case["text"]
        assert tokenizer.encode(case["text"], start=False) == case["ids_no_special"], case["text"]
        assert tokenizer.decode(case["ids"]) == case["decoded"], case["text"]


# Of the slow LlamaTokenizer of transformers 4.31.0 with "legacy": false, as Llama 2 has it, on the golden model.
WITHOUT_LEGACY = [
    ("white sink [SEG], beige curtain[SEG].", [403, 522, 600, 595, 515, 507, 600, 589]),
    ("USER: <im_start>", [547, 590, 601]),
    ("<im_end>\nwhere can I sit? ASSISTANT:", [602, 0, 454, 474, 380, 596, 412, 590]),
    (" sink</s>sink", [560, 522, 2, 0]),
]


def test_tokenizers_of_llama_2_put_no_space_behind_a_token(tmp_path):
    shutil.copyfile(golden_folder() / "tokenizer.model", tmp_path / "tokenizer.model")
    (tmp_path / "tokenizer_config.json").write_text('{"legacy": false}')
    tokenizer = LisaTokenizer.load(tmp_path)
    legacy = LisaTokenizer(tmp_path / "tokenizer.model")
    for text, ids in WITHOUT_LEGACY:
        assert tokenizer.encode(text, start=False) == ids, text
    assert any(legacy.encode(text, start=False) != ids for text, ids in WITHOUT_LEGACY)


def test_tokens_that_are_not_stored_follow_the_pieces_as_lisa_appends_them(model_file):
    import sentencepiece

    pieces = sentencepiece.SentencePieceProcessor(model_file=str(model_file)).get_piece_size()
    tokenizer = LisaTokenizer(model_file)
    assert tokenizer.seg_id == pieces
    assert tokenizer.encode("[SEG]<im_start><im_end>", start=False) == [pieces, pieces + 1, pieces + 2]
    assert tokenizer.size == pieces + 3


def test_stored_tokens_keep_their_ids_and_rules(model_file, tmp_path):
    shutil.copyfile(model_file, tmp_path / "tokenizer.model")
    (tmp_path / "added_tokens.json").write_text(
        json.dumps({"<pad>": 500, "[SEG]": 503, "<im_start>": 501, "<im_end>": 502})
    )
    (tmp_path / "special_tokens_map.json").write_text(
        json.dumps({"bos_token": {"content": "<s>", "lstrip": False, "rstrip": False}, "pad_token": "<unk>"})
    )
    tokenizer = LisaTokenizer.load(tmp_path)
    assert (tokenizer.seg_id, tokenizer.size) == (503, 504)
    plain = tokenizer.encode("sink", start=False)
    # A token that was added as a plain string takes the space beside it, a special one of the model does not.
    assert tokenizer.encode("sink [SEG] sink", start=False) == [*plain, 503, *plain]
    assert tokenizer.encode("sink</s> sink", start=False) != [*plain, 2, *plain]
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps({"added_tokens_decoder": {"503": {"content": "[SEG]", "lstrip": False, "rstrip": False}}})
    )
    assert LisaTokenizer.load(tmp_path).encode("sink [SEG]sink", start=False) != [*plain, 503, *plain]


def test_ids_beyond_the_tokens_are_unknown(model_file):
    tokenizer = LisaTokenizer(model_file)
    assert tokenizer.decode([1, tokenizer.size + 7]) == tokenizer.decode([1, tokenizer.pad_id])


def test_a_prompt_has_one_picture(model_file):
    tokenizer = LisaTokenizer(model_file)
    assert tokenizer.encode_prompt("a <image> b").count(IMAGE_ID) == 1
    for prompt in ("none", "<image> and <image>"):
        with pytest.raises(ReasoningError, match="one <image>"):
            tokenizer.encode_prompt(prompt)


@pytest.mark.parametrize("text", ["a </s> b", "[SEG]", "<im<image>_start>", "<image>", "[S</s>EG]"])
def test_a_text_from_outside_cannot_spell_tokens(model_file, text):
    tokenizer = LisaTokenizer(model_file)
    safe = tokenizer.without_tokens(text)
    assert all(token not in safe for token in ("[SEG]", "<image>", "</s>", "<im_start>"))


def test_broken_files_are_named(model_file, tmp_path):
    with pytest.raises(ReasoningError, match=r"tokenizer\.model is missing"):
        LisaTokenizer.load(tmp_path)
    (tmp_path / "tokenizer.model").write_bytes(b"nothing")
    with pytest.raises(ReasoningError, match="sentencepiece"):
        LisaTokenizer.load(tmp_path)
    shutil.copyfile(model_file, tmp_path / "tokenizer.model")
    (tmp_path / "added_tokens.json").write_text('{"[SEG]": "many"}')
    with pytest.raises(ReasoningError, match="added tokens"):
        LisaTokenizer.load(tmp_path)
    for added in ({"[SEG]": -200}, {"": 500}, {"[SEG]": 500, "<im_start>": 500}):
        (tmp_path / "added_tokens.json").write_text(json.dumps(added))
        with pytest.raises(ReasoningError, match="an id of its own"):
            LisaTokenizer.load(tmp_path)

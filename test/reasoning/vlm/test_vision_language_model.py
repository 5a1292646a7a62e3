"""Tiny models of every family: loaded from a folder, asked in batches, held to the schema."""

import json
import re
from types import SimpleNamespace

import jsonschema
import numpy as np
import pytest
import torch
from tiny_models import FAMILIES, tiny_vlm_folder

from lira_ros.reasoning.answers.contracts import BoxUnits
from lira_ros.reasoning.answers.prompts import system_prompt, user_prompt
from lira_ros.reasoning.answers.schema import answer_schema
from lira_ros.reasoning.contracts import ReasoningError
from lira_ros.reasoning.vlm.families import VisualBudget, find_family
from lira_ros.reasoning.vlm.model import VisionLanguageModel

BUDGET = VisualBudget(4, 64)
USERS = (user_prompt("find the cup"), user_prompt("which chair stands next to the white table, and why?"))
# As short as an answer that the schema allows can be held: the texts of random models have no end.
SCHEMA = {
    "type": "object",
    "properties": {
        "label": {"type": "string", "maxLength": 6},
        "confidence": {"type": "number", "minimum": 0, "maximum": 1},
        "box": {
            "type": "array",
            "items": {"type": "integer", "minimum": 0, "maximum": 999},
            "minItems": 4,
            "maxItems": 4,
        },
    },
    "required": ["label", "confidence", "box"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    return {family: tiny_vlm_folder(root / family, family) for family in FAMILIES}


@pytest.fixture(scope="module")
def models(folders):
    return {family: VisionLanguageModel.load(folders[family], family, budget=BUDGET) for family in FAMILIES}


@pytest.fixture(scope="module")
def pictures():
    generator = np.random.default_rng(3)
    return [generator.integers(0, 256, (*size, 3), dtype=np.uint8) for size in ((120, 160), (100, 61))]


@pytest.mark.parametrize("family", FAMILIES)
def test_answers_keep_to_the_schema_and_do_not_depend_on_the_batch(family, models, pictures):
    model = models[family]
    assert model.unconstrained == ""
    together = model.answer(pictures, "Answer as JSON.", USERS, SCHEMA)
    for picture, user, text in zip(pictures, USERS, together, strict=True):
        jsonschema.validate(json.loads(text), SCHEMA)
        assert model.answer([picture], "Answer as JSON.", [user], SCHEMA) == [text]
    encoded = model.encode(pictures)
    assert model.answer(encoded, "Answer as JSON.", USERS, SCHEMA) == together
    assert model.answer(encoded[::-1], "Answer as JSON.", USERS[::-1], SCHEMA) == together[::-1]


@pytest.mark.parametrize("family", FAMILIES)
def test_features_that_were_kept_give_the_same_numbers_as_the_pixels(family, models, pictures):
    """The library's own way, pixels and all, against kept features: equal within 1e-5."""
    model = models[family]
    with torch.inference_mode():
        prepared = model._eyes.prepare(pictures[:1])
        (image,) = model.encode(pictures[:1])
        ids = torch.tensor([model.prompt_ids("Answer.", USERS[0], image.tokens)])
        common = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        if model.family.token_types:
            common["mm_token_type_ids"] = (ids == model._image_id).int()
        ours = model._model(**common, **model._eyes.outputs([image])).logits
        theirs = model._model(**common, **prepared).logits
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_picture_and_its_place_matter(family, models, pictures):
    model = models[family]
    (image,) = model.encode(pictures[:1])
    first = model.prompt_ids("Answer.", USERS[0], image.tokens, text_first=True)
    second = model.prompt_ids("Answer.", USERS[0], image.tokens, text_first=False)
    assert first.count(model._image_id) == second.count(model._image_id) == image.tokens
    assert first.index(model._image_id) > second.index(model._image_id)
    assert sorted(first) == sorted(second)


@pytest.mark.parametrize("family", FAMILIES)
def test_thoughts_are_switched_off(family, models):
    assert "<think>" not in models[family]._tokenizer.decode(models[family].prompt_ids("", "", 1))


def test_a_template_that_always_opens_a_thought_has_it_closed(models, monkeypatch):
    model = models["qwen3_5"]
    always = model._template.replace("enable_thinking is not defined or enable_thinking", "true")
    assert always != model._template
    monkeypatch.setattr(model, "_template", always)
    prompt = model._tokenizer.decode(model.prompt_ids("", "find the thoughtful cup", 1))
    assert prompt.endswith("assistant\n<think>\n\n</think>\n\n")


def test_a_question_cannot_bring_a_picture_of_its_own(models):
    with pytest.raises(ReasoningError, match="one picture"):
        models["qwen3_vl"].prompt_ids("Answer.", "find <|image_pad|>", 4)
    quoted = user_prompt("find <|image_pad|> <|im_end|>")
    ids = models["qwen3_vl"].prompt_ids("Answer.", quoted, 4)
    ends = models["qwen3_vl"]._tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert ids.count(ends) == 2  # of the system's turn and of the user's


def test_tokens_of_a_picture_stay_within_the_budget(models, folders):
    for family in FAMILIES:
        budget = VisualBudget(0, 40)
        model = VisionLanguageModel.load(folders[family], family, budget=budget)
        for size in ((480, 640), (50, 30), (1000, 20)):
            (image,) = model.encode([np.zeros((*size, 3), dtype=np.uint8)])
            # LLaVA adds a mark to the end of every row of tokens.
            assert image.tokens <= (40 if family != "llava_onevision" else 48)
    (qwen,) = models["qwen2_5_vl"].encode([np.zeros((100, 200, 3), dtype=np.uint8)])
    assert (qwen.grid_thw[2] * 14, qwen.grid_thw[1] * 14) == qwen.shown_size_px == (196, 112)


def test_pictures_of_any_size_are_taken_or_refused_by_name(models):
    for family in FAMILIES:
        assert models[family].encode([np.zeros((1, 1, 3), dtype=np.uint8)])[0].tokens > 0
    with pytest.raises(ReasoningError, match="2000 x 3 px"):
        models["qwen3_vl"].encode([np.zeros((3, 2000, 3), dtype=np.uint8)])


@pytest.mark.parametrize("size", [(120, 160), (61, 100), (300, 40), (57, 57), (640, 480)])
def test_llava_tokens_are_counted_as_its_own_processor_counts_them(size, models):
    from transformers import LlavaOnevisionProcessor

    model = models["llava_onevision"]
    (image,) = model.encode([np.zeros((*size, 3), dtype=np.uint8)])
    grids = model._eyes._processor.image_grid_pinpoints
    processor = SimpleNamespace(
        image_processor=SimpleNamespace(image_grid_pinpoints=grids),
        num_image_tokens=16,
        vision_aspect_ratio="anyres_max_9",
    )
    processor._get_unpadded_features = lambda *sizes: LlavaOnevisionProcessor._get_unpadded_features(processor, *sizes)
    assert image.tokens == LlavaOnevisionProcessor._get_number_of_features(processor, *size, 56, 56)


@pytest.mark.parametrize(
    ("family", "name", "videos"),
    [
        ("qwen2_5_vl", "Qwen2_5_VLProcessor", "Qwen2VLVideoProcessor"),
        ("qwen3_vl", "Qwen3VLProcessor", "Qwen3VLVideoProcessor"),
        ("llava_onevision", "LlavaOnevisionProcessor", "LlavaOnevisionVideoProcessor"),
    ],
)
def test_prompts_and_pixels_equal_those_of_the_library_processor(family, name, videos, folders, pictures):
    pytest.importorskip("torchvision", reason="the library's processors need torchvision, which is not installed here")
    import transformers

    model = VisionLanguageModel.load(folders[family], family)
    more = {"num_image_tokens": 16, "vision_feature_select_strategy": "full"} if family == "llava_onevision" else {}
    processor = getattr(transformers, name)(
        model._eyes._processor, model._tokenizer, video_processor=getattr(transformers, videos)(), **more
    )
    parts = [{"type": "text", "text": USERS[0]}, {"type": "image"}]
    text = model._tokenizer.apply_chat_template(
        [{"role": "system", "content": "Answer."}, {"role": "user", "content": parts}],
        tokenize=False,
        add_generation_prompt=True,
        enable_thinking=False,
    )
    theirs = processor(text=[text], images=[pictures[0]], return_tensors="pt")
    ours = model._eyes.prepare(pictures[:1])
    (image,) = model.encode(pictures[:1])
    assert model.prompt_ids("Answer.", USERS[0], image.tokens) == theirs["input_ids"][0].tolist()
    torch.testing.assert_close(ours["pixel_values"], theirs["pixel_values"], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("family", "name", "tolerance"),
    # LLaVA was trained on what Pillow resizes: that rounds to 8 bits between rows and columns, torchvision once, which
    # makes a step (0.015) or two at edges.
    [("qwen2_5_vl", "Qwen2VLImageProcessor", 1e-5), ("llava_onevision", "LlavaOnevisionImageProcessor", 0.035)],
)
def test_pixels_are_those_of_the_torchvision_processor(family, name, tolerance, folders):
    pytest.importorskip("torchvision", reason="the library's processors need torchvision, which is not installed here")
    import transformers

    rows, columns = np.mgrid[:120, :160]
    picture = np.stack([rows * 2, columns, 255 - rows - columns // 2], axis=-1).clip(0, 255).astype(np.uint8)
    picture[30:60, 40:90] = (200, 30, 30)
    model = VisionLanguageModel.load(folders[family], family)
    theirs = getattr(transformers, name).from_pretrained(folders[family])([picture], return_tensors="pt")
    torch.testing.assert_close(
        model._eyes.prepare([picture])["pixel_values"], theirs["pixel_values"], rtol=0, atol=tolerance
    )


def test_without_llguidance_the_answers_are_free_and_that_is_said(folders, pictures, monkeypatch, caplog):
    from lira_ros.reasoning.vlm import structured_output

    def refuse(*arguments, **named):
        raise ValueError("no such tokenizer")

    monkeypatch.setattr(structured_output, "_read_tokenizer", refuse)
    model = VisionLanguageModel.load(folders["qwen3_vl"], "qwen3_vl", budget=BUDGET)
    assert "no such tokenizer" in model.unconstrained
    assert caplog.text.count("not held to the schema") == 1
    (text,) = model.answer(pictures[:1], "Answer.", USERS[:1], SCHEMA, max_new_tokens=8)
    assert not text.startswith("{")


def test_an_unusable_schema_leaves_the_answers_free(folders, pictures):
    model = VisionLanguageModel.load(folders["qwen3_vl"], "qwen3_vl", budget=BUDGET)
    assert model.answer(pictures[:1], "Answer.", USERS[:1], {"type": "colour"}, max_new_tokens=4)
    assert "schema" in model.unconstrained


def test_answers_end_at_their_bound_and_when_somebody_ends_them(models, pictures):
    model = models["qwen2_5_vl"]
    schema = answer_schema(BoxUnits.PIXELS)
    assert model.answer([], "Answer.", [], schema) == []
    (text,) = model.answer(pictures[:1], system_prompt(BoxUnits.PIXELS), USERS[:1], schema, max_new_tokens=5)
    assert text.startswith('{"objects":[')
    written = model.tokens_written
    model.answer(pictures[:1], "Answer.", USERS[:1], schema, should_stop=lambda: True)
    assert model.tokens_written == written + 1
    with pytest.raises(ValueError, match="2 questions about 1 pictures"):
        model.answer(pictures[:1], "Answer.", USERS)


def test_numbers_that_overflow_are_not_an_answer(models, pictures, monkeypatch):
    model = models["qwen2_5_vl"]
    norm = model._model.model.language_model.norm
    monkeypatch.setattr(
        norm, "weight", torch.nn.Parameter(torch.full_like(norm.weight, torch.inf), requires_grad=False)
    )
    with pytest.raises(ReasoningError, match=r"not finite.*compute\.precision"):
        model.answer(pictures[:1], "Answer.", USERS[:1], SCHEMA)


def test_bfloat16(folders, pictures):
    model = VisionLanguageModel.load(folders["qwen3_vl"], "qwen3_vl", dtype=torch.bfloat16, budget=BUDGET)
    (text,) = model.answer(pictures[:1], "Answer.", USERS[:1], SCHEMA)
    jsonschema.validate(json.loads(text), SCHEMA)


@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_quantized_weights(precision, folders, pictures):
    pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed here")
    model = VisionLanguageModel.load(
        folders["qwen3_vl"], "qwen3_vl", dtype=torch.bfloat16, quantization=precision, budget=BUDGET
    )
    kinds = {type(part).__name__ for part in model._model.model.language_model.modules()}
    assert {"int8": "Linear8bitLt", "int4": "Linear4bit"}[precision] in kinds
    assert "Linear" in {type(part).__name__ for part in model._model.model.visual.modules()}
    (text,) = model.answer(pictures[:1], "Answer.", USERS[:1], SCHEMA)
    jsonschema.validate(json.loads(text), SCHEMA)


@pytest.fixture
def copy(folders, tmp_path):
    import shutil

    return shutil.copytree(folders["qwen3_vl"], tmp_path / "model")


@pytest.mark.parametrize(
    ("name", "content", "named"),
    [
        ("config.json", None, "config.json"),
        ("config.json", b"{", "config.json"),
        ("config.json", b"[]", "config.json"),
        ("config.json", b'{"model_type": "llama"}', "config.json"),
        ("model.safetensors", None, "model.safetensors"),
        ("model.safetensors", b"PK nothing", "model.safetensors"),
        ("preprocessor_config.json", b"\xff", "preprocessor_config.json"),
        ("tokenizer.json", b'{"a": ', "tokenizer.json"),
        (
            "model.safetensors.index.json",
            b'{"weight_map": {"a": "model-00002.safetensors"}}',
            "model-00002.safetensors",
        ),
        ("model.safetensors.index.json", b'{"weight_map": {"a": "../../secret"}}', "secret"),
    ],
)
def test_a_missing_or_broken_file_is_named(copy, name, content, named):
    if content is None:
        (copy / name).unlink()
    else:
        (copy / name).write_bytes(content)
    with pytest.raises(ReasoningError) as error:
        VisionLanguageModel.load(copy, "qwen3_vl")
    assert named in str(error.value)


@pytest.mark.parametrize("name", ["tokenizer.json", "preprocessor_config.json", "chat_template.jinja"])
def test_what_a_folder_lacks_is_said(copy, name):
    (copy / name).unlink()
    with pytest.raises(ReasoningError, match=re.escape(str(copy))):
        VisionLanguageModel.load(copy, "qwen3_vl")


def test_weights_that_are_missing_are_not_made_up(copy):
    from safetensors.torch import load_file, save_file

    weights = load_file(copy / "model.safetensors")
    weights.pop(next(name for name in weights if "q_proj" in name))
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ReasoningError, match=r"1 weights .* missing: .*q_proj"):
        VisionLanguageModel.load(copy, "qwen3_vl")


def test_an_unknown_family_or_folder_is_refused(tmp_path):
    with pytest.raises(ReasoningError, match="qwen2_5_vl, qwen3_vl"):
        find_family("gpt")
    with pytest.raises(ReasoningError, match="there is none"):
        VisionLanguageModel.load(tmp_path / "nothing", "qwen3_vl")


def test_the_prompt_of_a_constant_instruction_is_written_once(models, monkeypatch):
    model = models["qwen3_vl"]
    first = model.prompt_ids("Answer.", "find the constant mug", 4)
    monkeypatch.setattr(model._tokenizer, "apply_chat_template", lambda *_, **__: pytest.fail("written again"))
    second = model.prompt_ids("Answer.", "find the constant mug", 9)
    assert len(second) == len(first) + 5
    assert [number for number in first if number != model._image_id] == [
        number for number in second if number != model._image_id
    ]

import dataclasses

import pytest
from lisa_checkpoints import golden_settings

from lira_ros.reasoning.contracts import Instruction
from lira_ros.reasoning.language.parser import parse
from lira_ros.reasoning.lisa.prompts import LisaStyle
from lira_ros.reasoning.models.cards import ModelCardError, find_card, load_cards


def ask(text):
    return Instruction("1", text, parse(text))


def prompt_of(card, text):
    style = LisaStyle.from_card(find_card(card))
    return style.prompt(style.question_of(ask(text)))


def test_the_cards_give_the_prompts_of_training():
    settings = golden_settings()["prompts"]
    assert prompt_of("lira-7b", "where can I wash my hands?") == settings["case_a_b"]
    given = settings["case_c"][1].split(" black chair [SEG]")[0].replace("what is the", "What is the")
    assert prompt_of("lisa-7b-v1", "the black chair") == given


def test_a_need_is_asked_as_it_stands_and_llama_2_in_its_own_form():
    prompt = prompt_of("lisa-13b-llama2-v1-explanatory", "Where can I wash my hands?")
    assert prompt.startswith("[INST] <<SYS>>\nYou are a helpful language and vision assistant. ")
    assert prompt.endswith(
        "\n<</SYS>>\n\n<im_start><image><im_end>\n"
        "Where can I wash my hands? Please output segmentation mask and explain why. [/INST]"
    )


def test_a_model_without_marks_round_the_picture_gets_none():
    style = LisaStyle.from_card(find_card("lira-7b"))
    assert "USER: <image>\nq ASSISTANT:" in style.prompt("q", wraps_image=False)


def test_all_cards_of_lisa_can_be_used_and_state_what_people_need():
    cards = [card for card in load_cards().values() if card.kind == "lisa"]
    assert {card.options["answer"] for card in cards} == {"instances", "target"}
    for card in cards:
        LisaStyle.from_card(card)
        assert card.options["embedding_size"] in (4096, 5120)
        assert card.options["box_units"] == "none"
        assert [repository.part for repository in card.repositories] == ["", "clip"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"preprocessing": "stretch"}, "preprocessing: expected one of pad, squash"),
        ({"conversation": "vicuna"}, "conversation"),
        ({"answer": 3}, "answer"),
        ({"question": "no place"}, "question: expected a text with one"),
        ({"mask_threshold": 1.5}, "mask_threshold"),
        ({"seg_state_offset": 2}, "seg_state_offset"),
        ({"new": 1}, "unknown new"),
    ],
)
def test_a_card_that_is_wrong_is_named(change, message):
    card = find_card("lira-7b")
    with pytest.raises(ModelCardError, match=f"card lira-7b: .*{message}"):
        LisaStyle.from_card(dataclasses.replace(card, options={**card.options, **change}))
    with pytest.raises(ModelCardError, match="missing answer, conversation, preprocessing"):
        LisaStyle.from_card(dataclasses.replace(card, options={"question": "{instruction}"}))

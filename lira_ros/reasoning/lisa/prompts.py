"""How a checkpoint is asked and how its answer is meant, as its model card says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lira_ros.reasoning.constraint import is_plain_name
from lira_ros.reasoning.contracts import MAX_INSTRUCTION_CHARACTERS, Instruction
from lira_ros.reasoning.lisa.images import PREPROCESSINGS
from lira_ros.reasoning.lisa.tokenizer import IMAGE, IMAGE_END, IMAGE_START
from lira_ros.reasoning.models.cards import ModelCard, ModelCardError
from lira_ros.reasoning.plain_text import plain_text

# The forms of conversation that LLaVA models were trained in (LLaVA, conversation.py): the models know these words.
CONVERSATIONS = {
    "llava_v1": (
        "A chat between a curious human and an artificial intelligence assistant. The assistant gives helpful, "
        "detailed, and polite answers to the human's questions. USER: {question} ASSISTANT:"
    ),
    "llava_llama_2": (
        "[INST] <<SYS>>\nYou are a helpful language and vision assistant. You are able to understand the visual "
        "content that the user provides, and assist the user with a variety of tasks using natural language.\n"
        "<</SYS>>\n\n{question} [/INST]"
    ),
}
# instances: "<colour> <class> [SEG]" for everything that helps to find the targets, "No object." for nothing (LIRA).
# target: every mask is what was asked for, the words around it explain (LISA).
ANSWERS = ("instances", "target")
EMBEDDINGS = ("hidden_state", "appearance")
_PLACE = "{instruction}"


@dataclass(frozen=True)
class LisaStyle:
    """What a model card says of a LISA-like checkpoint.

    conversation: one of CONVERSATIONS. question: the user's turn with {instruction} in it; question_for_names: the same
    for instructions that only name things, "" = question. answer: one of ANSWERS. preprocessing: one of PREPROCESSINGS.
    mask_threshold: probability above which a pixel belongs to a mask. seg_state_offset: see SEG_STATE_OFFSETS.
    embedding: of candidates: the [SEG] state at unit length, or the appearance.
    """

    conversation: str
    question: str
    answer: str
    preprocessing: str
    question_for_names: str = ""
    mask_threshold: float = 0.5
    seg_state_offset: int = -1
    embedding: str = "hidden_state"

    @classmethod
    def from_card(cls, card: ModelCard) -> LisaStyle:
        """Read and check the options of a card; raises ModelCardError naming the option."""
        options: Mapping[str, Any] = card.options
        # What people and other programs read of the card; what the weights themselves say goes before.
        informative = {"box_units", "embedding_size"}
        unknown = sorted(set(options) - set(cls.__dataclass_fields__) - informative)
        missing = sorted({"conversation", "question", "answer", "preprocessing"} - set(options))
        if unknown or missing:
            raise ModelCardError(
                f"card {card.name}: options: missing {', '.join(missing) or 'nothing'}; "
                f"unknown {', '.join(unknown) or 'nothing'}"
            )
        for name, choices in (
            ("conversation", tuple(CONVERSATIONS)),
            ("answer", ANSWERS),
            ("preprocessing", PREPROCESSINGS),
            ("embedding", EMBEDDINGS),
            ("seg_state_offset", (-1, 0)),
        ):
            if name in options and options[name] not in choices:
                listed = ", ".join(str(choice) for choice in choices)
                raise ModelCardError(f"card {card.name}: {name}: expected one of {listed}, got {options[name]!r}")
        for name in ("question", "question_for_names"):
            text = options.get(name, _PLACE)
            if not isinstance(text, str) or (text and text.count(_PLACE) != 1):
                raise ModelCardError(f"card {card.name}: {name}: expected a text with one {_PLACE}, got {text!r}")
        threshold = options.get("mask_threshold", 0.5)
        if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0 < threshold < 1:
            raise ModelCardError(f"card {card.name}: mask_threshold: expected a number in (0, 1), got {threshold!r}")
        return cls(**{name: value for name, value in options.items() if name not in informative})

    def question_of(self, instruction: Instruction) -> str:
        """Return the user's words for an instruction, as one line."""
        text = plain_text(instruction.text, MAX_INSTRUCTION_CHARACTERS)
        named = self.question_for_names and is_plain_name(instruction.constraint)
        return (self.question_for_names if named else self.question).replace(_PLACE, text)

    def prompt(self, question: str, wraps_image: bool = True) -> str:
        """Return the whole prompt of a question, with the picture in front of it.

        wraps_image: the model was trained with marks round the picture. The question must hold no tokens.
        """
        picture = f"{IMAGE_START}{IMAGE}{IMAGE_END}" if wraps_image else IMAGE
        return CONVERSATIONS[self.conversation].replace("{question}", f"{picture}\n{question}")

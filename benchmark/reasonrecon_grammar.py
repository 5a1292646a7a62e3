"""How much of ReasonRecon's instruction grammar is understood (LIRA, 2025): every template with every class.

Named classes, colours, ranks by size and by the distance to a coloured anchor are compared with the constraint that the
template means. Definitions of one class and questions for several classes are answered over one thing of each class
of the grammar, by name alone, with the target inference: the classes that conform are compared with the answer.

Run: python benchmark/reasonrecon_grammar.py [--wrong]
     [--file ../shared/data/language/lira_reasonrecon/instruction_templates.json]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from lira_ros.fusion.box import oriented_box
from lira_ros.fusion.contracts import Conformity, Instance
from lira_ros.fusion.target_inference import TargetInference
from lira_ros.reasoning.constraint import Constraint, Phrase, Rank, RankKind
from lira_ros.reasoning.contracts import Attributes, Instruction
from lira_ros.reasoning.language.parser import InstructionError, describe, parse
from lira_ros.reasoning.relevance import LanguageConfiguration, create_relevance

UP = np.array([0.0, 0.0, 1.0])
# Things stand in a row, this far from one another [m]: no two of them touch.
SPACING_M = 3.0
VOXEL_M = 0.05
# Of the grammar.
COLORS = tuple(
    "green copper brown red white gold blue orange purple gray beige pink yellow silver black".split()  # noqa: SIM905
)
RANKS = {
    "largest": (RankKind.SIZE, True, 1),
    "smallest": (RankKind.SIZE, False, 1),
    "second_largest": (RankKind.SIZE, True, 2),
    "second_smallest": (RankKind.SIZE, False, 2),
    "closest": (RankKind.DISTANCE, False, 1),
    "farthest": (RankKind.DISTANCE, True, 1),
    "second_closest": (RankKind.DISTANCE, False, 2),
    "second_farthest": (RankKind.DISTANCE, True, 2),
}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path("../shared/data/language/lira_reasonrecon/instruction_templates.json")
    arguments.add_argument("--file", type=Path, default=default)
    arguments.add_argument("--wrong", action="store_true", help="print what was not understood")
    options = arguments.parse_args()
    templates = json.loads(options.file.read_text(encoding="utf-8"))
    names = sorted(templates["implicit_class_one"])
    for title, sentences in (
        ("class", named(templates, names)),
        ("class and colour", colored(templates, names)),
        ("rank by size", sized(templates, names)),
        ("rank by distance", distant(templates, names)),
    ):
        total = right = 0
        for text, meant in sentences:
            total += 1
            found = constraint_of(text)
            right += found is not None and essence(found) == meant
            if options.wrong and (found is None or essence(found) != meant):
                print(f"  {text}\n      {describe(found) if found is not None else '-'}")
        print(f"{title:24}{right:6d} of {total:6d} ({100 * right / total:.1f} %)")
    inference = TargetInference(create_relevance(LanguageConfiguration()))
    things = [thing(number, name) for number, name in enumerate(names)]
    one = [(text, {name}) for name, texts in templates["implicit_class_one"].items() for text in texts]
    several = [(item["Question"], set(item["Answer"])) for item in templates["implicit_more_classes"]]
    for title, questions in (("definition", one), ("several classes", several)):
        exact = contained = 0
        f1 = 0.0
        for text, answer in questions:
            found = {names[key] for key in conforming(inference, things, text)}
            exact += found == answer
            contained += bool(found & answer)
            f1 += 2 * len(found & answer) / (len(found) + len(answer))
            if options.wrong and found != answer:
                print(
                    f"  {text}\n      wanted {', '.join(sorted(answer))}; got {', '.join(sorted(found)) or 'nothing'}"
                )
        print(
            f"{title:24}{exact:6d} of {len(questions):6d} ({100 * exact / len(questions):.1f} %) exact, at least one "
            f"right {100 * contained / len(questions):.1f} %, F1 {f1 / len(questions):.3f}"
        )


def named(templates: dict, names: Sequence[str]) -> Iterator[tuple[str, Constraint]]:
    """Yield requests for a class."""
    for name in names:
        for template in templates["class_one"]:
            yield template.replace("A*", name), Constraint(Phrase(name))


def colored(templates: dict, names: Sequence[str]) -> Iterator[tuple[str, Constraint]]:
    """Yield requests for a class of a colour."""
    for name in names:
        for color in COLORS:
            for template in templates["class_one_color_one"]:
                yield template.replace("A*", name).replace("B*", color), Constraint(Phrase(name, colors=(color,)))


def sized(templates: dict, names: Sequence[str]) -> Iterator[tuple[str, Constraint]]:
    """Yield requests for the largest of a class and a colour."""
    for number, name in enumerate(names):
        color = COLORS[number % len(COLORS)]
        for kind, phrases in templates["howsize"].items():
            meant = Constraint(Phrase(name, colors=(color,)), rank=Rank(*RANKS[kind]))
            for phrase in phrases:
                for template in templates["class_color_bbox_size"]:
                    yield template.replace("A*", name).replace("C*", color).replace("howsize", phrase), meant


def distant(templates: dict, names: Sequence[str]) -> Iterator[tuple[str, Constraint]]:
    """Yield requests for the thing that is closest to a coloured anchor."""
    for number, name in enumerate(names):
        anchor, color = names[(number + 5) % len(names)], COLORS[number % len(COLORS)]
        for kind, phrases in templates["howfar"].items():
            meant = Constraint(
                Phrase(name), rank=Rank(*RANKS[kind], anchor=Constraint(Phrase(anchor, colors=(color,))))
            )
            for phrase in phrases:
                for template in templates["class_color_bbox_distance"]:
                    text = template.replace("A*", anchor).replace("B*", name).replace("C*", color)
                    yield text.replace("howfar", phrase), meant


def essence(constraint: Constraint) -> Constraint:
    """Return what a template decides of a constraint: name, colours, rank and its anchor, and whatever is too much."""
    rank = constraint.rank
    if rank is not None and rank.anchor is not None:
        rank = Rank(rank.kind, rank.descending, rank.ordinal, essence(rank.anchor))
    return Constraint(
        Phrase(constraint.phrase.text, colors=constraint.phrase.colors, shapes=constraint.phrase.shapes),
        relations=constraint.relations,
        rank=rank,
        excluded=constraint.excluded,
        alternatives=constraint.alternatives,
    )


def constraint_of(text: str) -> Constraint | None:
    """Return the constraint of a text, None where it is refused."""
    try:
        return parse(text)
    except InstructionError:
        return None


def thing(number: int, name: str) -> Instance:
    """Return a thing of a class of which the name alone is known."""
    voxels = np.array([[0, 0, 0], [0, 0, 1]], np.int32) + np.array([int(number * SPACING_M / VOXEL_M), 0, 0], np.int32)
    return Instance(
        id=number,
        label=name,
        label_confidence=1.0,
        existence=1.0,
        attributes=Attributes(),
        box=oriented_box(voxels * VOXEL_M, UP, 0.5 * VOXEL_M),
        voxel_size_m=VOXEL_M,
        voxels=voxels,
        voxel_colors=np.full((2, 3), 128, np.uint8),
        first_seen_ns=0,
        last_seen_ns=0,
        observations=50,
        names={name: 1.0},
    )


def conforming(inference: TargetInference, things: list[Instance], text: str) -> set[int]:
    """Return the ids of the things that answer a sentence."""
    constraint = constraint_of(text)
    if constraint is None:
        return set()
    judgement = inference.judge(
        things,
        Instruction("asked", text, constraint),
        up=UP,
        camera_position=np.array([0.0, 0.0, 1.5]),
        keyframes_answered=50,
        keyframes_pending=0,
    )
    return {key for key, verdict in judgement.verdicts.items() if verdict.conformity is Conformity.CONFORMS}


if __name__ == "__main__":
    main()

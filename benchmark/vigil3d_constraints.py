"""How many of the constraints that people put into sentences are recovered: ViGiL3D against its linguistic tags.

ViGiL3D (Wang et al., 2025) counts by hand what each of its prompts uses: colours, sizes, relations of several sorts,
negation and more. A prompt counts as recovered for a tag when the parsed constraint holds something of that sort
anywhere, anchors included. Its tags are wider than our words in two places: what stands on something or hangs at it is
tagged as near, and what a thing has ("with wheels", which we keep as open words) as containing. Precision is the
share of prompts with the tag among those in which something was found.

The grammar is developed on the failures of one half of the scenes (SHA-256 of the scene id with an even first
byte) and reported on the other half too, whose failures are not looked at.

Run: python benchmark/vigil3d_constraints.py [--file ../shared/data/language/vigil3d/vigil3d_scannet.csv]
     [--half development|held-out] [--wrong TAG]
"""

from __future__ import annotations

import argparse
import csv
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

from lira_ros.reasoning.constraint import Constraint, RankKind, RelationKind
from lira_ros.reasoning.language import lexicon
from lira_ros.reasoning.language.parser import InstructionError, describe, parse

HALVES = ("development", "held-out")
VERTICAL = {RelationKind.ON, RelationKind.UNDER, RelationKind.ABOVE, RelationKind.HOLDS}
SEEN_FROM = {RelationKind.LEFT_OF, RelationKind.RIGHT_OF, RelationKind.IN_FRONT_OF, RelationKind.BEHIND}
SIZES = {"small", "large", "tall", "low", "long", "wide", "narrow"}
OUTLINES = {"round", "oval", "square", "rectangular", "flat", "upright"}
MATERIALS = lexicon.word_set(
    """
    wood wooden metal metallic plastic glass leather fabric cloth paper cardboard ceramic porcelain marble stone steel
    iron concrete brick velvet cotton wool woolen rubber foam wicker bamboo granite tile tiled upholstered chrome
    """
)
MEASURES = {RankKind.SIZE, RankKind.HEIGHT, RankKind.LENGTH, RankKind.WIDTH}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path("../shared/data/language/vigil3d/vigil3d_scannet.csv")
    arguments.add_argument("--file", type=Path, default=default)
    arguments.add_argument(
        "--wrong", metavar="TAG", help="print the prompts in which a tag was missed or wrongly found"
    )
    arguments.add_argument("--half", choices=HALVES, help="only the scenes of one half; default: all")
    options = arguments.parse_args()
    if options.wrong and options.half != "development":
        arguments.error("--wrong shows what is developed on: it needs --half development")
    with options.file.open(encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if row["is_valid"] != "0"]
    rows = [row for row in rows if options.half in (None, half_of(row["scene_id"]))]
    parsed = [constraint_of(row["description"]) for row in rows]
    refused = sum(constraint is None for constraint in parsed)
    print(f"{len(rows)} prompts, {refused} refused")
    print(f"{'tag':42}{'prompts':>8}{'found':>7}{'recall %':>10}{'precision %':>13}")
    hits = tagged = claimed = 0
    for tag, holds in TAGS.items():
        truth = [number(row[tag]) > 0 for row in rows]
        found = [constraint is not None and any(holds(part) for part in parts(constraint)) for constraint in parsed]
        both = sum(a and b for a, b in zip(truth, found, strict=True))
        hits, tagged, claimed = hits + both, tagged + sum(truth), claimed + sum(found)
        print(f"{tag:42}{sum(truth):8d}{sum(found):7d}{share(both, sum(truth)):>10}{share(both, sum(found)):>13}")
        if options.wrong == tag:
            for row, constraint, wanted, got in zip(rows, parsed, truth, found, strict=True):
                if wanted != got:
                    shown = describe(constraint) if constraint is not None else "-"
                    print(f"  {'missed' if wanted else 'wrong'}: {row['description']}\n      {shown}")
    print(f"{'all':42}{tagged:8d}{claimed:7d}{share(hits, tagged):>10}{share(hits, claimed):>13}")
    named = [
        (row["object_name"], constraint) for row, constraint in zip(rows, parsed, strict=True) if row["object_name"]
    ]
    right = sum(constraint is not None and same_noun(name, constraint) for name, constraint in named)
    print(f"target noun as annotated: {right} of {len(named)} ({share(right, len(named))} %)")
    # Many prompts say "object", "container", "place to sleep on": there the noun cannot be read.
    written = [
        same_noun(row["object_name"], constraint)
        for row, constraint in zip(rows, parsed, strict=True)
        if constraint is not None and row["object_name"] and says(row["description"], row["object_name"])
    ]
    print(f"... where the prompt says it: {sum(written)} of {len(written)} ({share(sum(written), len(written))} %)")


def half_of(scene: str) -> str:
    """Return the half that a scene belongs to."""
    return HALVES[hashlib.sha256(scene.encode()).digest()[0] % 2]


def constraint_of(text: str) -> Constraint | None:
    """Return the constraint of a text, None where it is refused."""
    try:
        return parse(text)
    except InstructionError:
        return None


def parts(constraint: Constraint) -> Iterator[Constraint]:
    """Yield a constraint and everything that it refers to."""
    yield constraint
    yield from constraint.anchors()
    for other in (*constraint.excluded, *constraint.alternatives):
        yield from parts(other)


def number(text: str) -> float:
    """Return the number in a field, 0 for an empty one."""
    return float(text) if text else 0.0


def share(part: int, whole: int) -> str:
    """Return a share in percent, "-" of nothing."""
    return f"{100 * part / whole:.1f}" if whole else "-"


def same_noun(name: str, constraint: Constraint) -> bool:
    """Tell whether the target is named as in the annotation, in the last word."""
    wanted = lexicon.singular(name.lower().split()[-1])
    targets = (constraint, *constraint.alternatives)
    return any(wanted in {target.phrase.head, *target.phrase.text.split()} for target in targets)


def says(text: str, name: str) -> bool:
    """Tell whether a prompt holds the last word of a name."""
    words = [lexicon.singular(word.strip(".,;:!?\"'()")) for word in text.lower().split()]
    return lexicon.singular(name.lower().split()[-1]) in words


def related(kinds: set[RelationKind]) -> Callable[[Constraint], bool]:
    """Return the test for a relation of some kinds."""
    return lambda part: any(relation.kind in kinds for relation in part.relations)


def ranked(kinds: set[RankKind]) -> Callable[[Constraint], bool]:
    """Return the test for a rank of some kinds."""
    return lambda part: part.rank is not None and part.rank.kind in kinds


def shaped(words: set[str]) -> Callable[[Constraint], bool]:
    """Return the test for words of shape or size."""
    return lambda part: bool(words & {*part.phrase.shapes, *part.phrase.excluded_shapes})


def near(part: Constraint) -> bool:
    """Tell whether nearness or touch is said, by a relation or as a rank."""
    closest = part.rank is not None and part.rank.kind is RankKind.DISTANCE and not part.rank.descending
    return closest or related({RelationKind.NEAR, RelationKind.ON, RelationKind.HOLDS})(part)


def contains(part: Constraint) -> bool:
    """Tell whether something is said to be in or on something, or to have something."""
    owned = {"with", "without", "has", "have", "having"} & set(part.phrase.text.split())
    return bool(owned) or related({RelationKind.INSIDE, RelationKind.HOLDS})(part)


def compared(part: Constraint) -> bool:
    """Tell whether things are compared by a measure, and not by their order from the left."""
    return part.rank is not None and part.rank.kind not in {RankKind.LATERAL, RankKind.MIDDLE}


def far(part: Constraint) -> bool:
    """Tell whether distance is said, by a relation or as a rank."""
    farthest = part.rank is not None and part.rank.kind is RankKind.DISTANCE and part.rank.descending
    return farthest or related({RelationKind.FAR})(part)


def negated(part: Constraint) -> bool:
    """Tell whether something is denied."""
    phrase = part.phrase
    denied = any(relation.negated for relation in part.relations) or bool(part.excluded)
    return denied or bool(phrase.excluded_colors or phrase.excluded_shapes) or "not" in phrase.text.split()


def from_viewpoint(part: Constraint) -> bool:
    """Tell whether something depends on where one looks from."""
    return related(SEEN_FROM)(part) or ranked({RankKind.LATERAL})(part)


TAGS: dict[str, Callable[[Constraint], bool]] = {
    "num_attribute_type_color": lambda part: bool(part.phrase.colors or part.phrase.excluded_colors),
    "num_attribute_type_size": lambda part: shaped(SIZES)(part) or ranked(MEASURES)(part),
    "num_attribute_type_shape": shaped(OUTLINES),
    "num_attribute_type_number": lambda part: part.count is not None or part.at_least is not None,
    "num_attribute_type_material": lambda part: bool(MATERIALS & set(part.phrase.text.split())),
    "num_relationship_type_near": near,
    "num_relationship_type_far": far,
    "num_relationship_type_viewpoint_dependent": from_viewpoint,
    "num_relationship_type_vertical": lambda part: related(VERTICAL)(part) or ranked({RankKind.ELEVATION})(part),
    "num_relationship_type_contain": contains,
    "num_relationship_type_arrangement": related({RelationKind.BETWEEN}),
    "num_relationship_type_ordinal": lambda part: (
        part.rank is not None and (part.rank.ordinal > 1 or part.rank.kind is RankKind.MIDDLE)
    ),
    "num_relationship_type_comparison": compared,
    "num_negation": negated,
}


if __name__ == "__main__":
    main()

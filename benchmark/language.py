"""How well sentences are understood: ranking of classes for needs, and answers over perfect instances of a kitchen.

Run: python benchmark/language.py [--data ../shared/data]
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lira_ros.fusion.contracts import Conformity, Instance, OrientedBox
from lira_ros.fusion.target_inference import TargetInference
from lira_ros.reasoning.contracts import Attributes, Instruction
from lira_ros.reasoning.knowledge import classes
from lira_ros.reasoning.language.parser import InstructionError, parse
from lira_ros.reasoning.measurement import measure
from lira_ros.reasoning.relevance import LanguageConfiguration, Relevance, create_relevance

VOXEL_M = 0.03

# Needs and descriptions of our own, with the classes that answer them.
NEEDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("My mouth is dry, I would love a sip of something.", ("bottle", "juice", "glass", "cup", "water dispenser")),
    ("I knocked over my tea and there is a puddle.", ("tissue", "towel", "sponge")),
    ("We are five people and nobody wants to stand.", ("sofa", "bench")),
    ("Where could I hang my wet coat?", ("coat rack",)),
    ("It is pitch dark, I cannot see my book.", ("lamp", "floor lamp", "ceiling lamp")),
    ("The sun blinds me.", ("curtain",)),
    ("I have to type a long report.", ("laptop", "keyboard")),
    ("My trousers are full of mud and need washing.", ("washing machine",)),
    ("Where does this empty carton go?", ("trash can",)),
    ("The milk will go bad if it stays out here.", ("refrigerator",)),
    ("I want to stretch out for a while.", ("bed", "sofa", "mattress")),
    ("What can I carry my gym clothes in?", ("backpack", "bag", "suitcase")),
    ("I need to see whether my tie is straight.", ("mirror",)),
    ("Which thing shows me whether I am late?", ("clock", "phone")),
    ("The soup has gone cold.", ("microwave", "oven")),
    ("It is freezing in this room.", ("radiator", "blanket", "fireplace")),
    ("My neck needs something soft tonight.", ("pillow",)),
    ("I would like to jot something down.", ("pen", "paper")),
    ("The leaves look thirsty.", ("plant",)),
    ("Something to slice the bread with.", ("knife",)),
    ("How do I reach the top shelf?", ("ladder", "stool")),
    ("There is a fire in the bin!", ("fire extinguisher",)),
    ("I would like to hear some jazz.", ("speaker", "headphones")),
    ("Where can I rinse these plates?", ("sink", "dishwasher")),
    ("I am bored and want a game against a friend.", ("foosball table", "pool table", "ping-pong table", "board game")),
    ("An appliance in which ice cream survives.", ("refrigerator",)),
    ("Something with a blade that spins air.", ("fan",)),
    ("A piece of furniture for novels.", ("bookshelf",)),
    ("I need a coffee to wake up.", ("coffee machine",)),
    ("Somewhere to leave this hot plate for a moment.", ("table", "kitchen counter", "coffee table", "desk")),
)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", type=Path, default=Path("../shared/data"))
    data = arguments.parse_args().data
    relevance = create_relevance(LanguageConfiguration())
    rank_needs(relevance)
    kitchen = data / "hololens_kitchen"
    if (kitchen / "objects_weak.json").is_file():
        answer_kitchen(relevance, kitchen)
    else:
        print(f"skipped the kitchen: no {kitchen}")
    time_judgement(relevance)


def rank_needs(relevance: Relevance) -> None:
    first = third = 0
    for text, answers in NEEDS:
        ranking = ranked(relevance, text, sorted(classes()))
        first += ranking[0] in answers
        third += any(name in answers for name in ranking[:3])
        if not any(name in answers for name in ranking[:3]):
            print(f"  missed: {text} -> {ranking[:3]}")
    print(f"own needs over {len(classes())} classes: first {first}/{len(NEEDS)}, in first three {third}/{len(NEEDS)}")


def ranked(relevance: Relevance, text: str, names: Sequence[str]) -> list[str]:
    phrase = parse(text).phrase
    score = {name: relevance.match(phrase, {name: 1.0}, Attributes()).score for name in names}
    return sorted(names, key=lambda name: (-score[name], name))


def answer_kitchen(relevance: Relevance, folder: Path) -> None:
    objects = json.loads((folder / "objects_weak.json").read_text(encoding="utf-8"))
    instructions = json.loads((folder / "instructions_weak.json").read_text(encoding="utf-8"))["instructions"]
    for labelled in (True, False):
        instances = [instance_of(item, objects["floor_y"], labelled) for item in objects["objects"]]
        right = 0
        print("kitchen, " + ("perfect labels" if labelled else "measures only"))
        inference = TargetInference(relevance)
        for number, item in enumerate(instructions):
            judgement = inference.judge(
                instances,
                Instruction(str(number), item["text"], parse(item["text"])),
                up=np.array([0.0, 1.0, 0.0]),
                camera_position=np.array([0.0, 0.0, 0.0]),
                keyframes_answered=50,
                keyframes_pending=0,
            )
            found = [k for k, verdict in judgement.verdicts.items() if verdict.conformity is Conformity.CONFORMS]
            good = set(found) == set(item["ids"])
            right += good
            print(f"  {'ok ' if good else 'BAD'} {item['text']:68s} found {found} wanted {item['ids']}")
            for k in item["ids"] if not good else ():
                print(f"        #{k}: {judgement.verdicts[k].reason}")
        print(f"  {right}/{len(instructions)}")


def instance_of(item: dict, floor: float, labelled: bool) -> Instance:
    """Build the shell of an annotated object: its top and its sides."""
    polygon = np.array(item["footprint"])
    low, high = (np.array(corner) for corner in item["aabb_2_98"])
    xs, zs = (np.arange(polygon[:, k].min(), polygon[:, k].max(), VOXEL_M) for k in (0, 1))
    grid = np.stack(np.meshgrid(xs, zs, indexing="ij"), axis=-1)
    inside = np.ones(grid.shape[:2], dtype=bool)
    following = np.roll(polygon, -1, axis=0)
    area = float(np.sum(polygon[:, 0] * following[:, 1] - following[:, 0] * polygon[:, 1]))
    for start, end in zip(polygon, following, strict=True):
        side = end - start
        cross = side[0] * (grid[..., 1] - start[1]) - side[1] * (grid[..., 0] - start[0])
        inside &= (cross >= 0) == (area > 0)
    inside &= (grid >= low[[0, 2]]).all(axis=-1) & (grid <= high[[0, 2]]).all(axis=-1)
    border = inside & ~(np.roll(inside, 1, 0) & np.roll(inside, -1, 0) & np.roll(inside, 1, 1) & np.roll(inside, -1, 1))
    top = grid[inside]
    layers = [np.column_stack([top[:, 0], np.full(len(top), high[1]), top[:, 1]])]
    for height in np.arange(low[1], high[1], VOXEL_M):
        ring = grid[border]
        layers.append(np.column_stack([ring[:, 0], np.full(len(ring), height), ring[:, 1]]))
    points = np.concatenate(layers)
    voxels = np.unique(np.round(points / VOXEL_M).astype(np.int32), axis=0)
    colors = np.full((len(voxels), 3), 128, dtype=np.uint8)
    attributes = measure(voxels * VOXEL_M, colors, np.array([0.0, 1.0, 0.0]), floor)
    color = next((word for word in ("red", "brown", "yellow") if word in item["label"]), "")
    standing = "surface" if attributes.bottom_height_m > 0.3 and high[0] - low[0] < 0.6 else "floor"
    attributes = dataclasses.replace(attributes, color=color, supported_by=standing)
    pose = np.eye(4)
    pose[:3, :3] = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]]).T
    pose[:3, 3] = points.mean(axis=0)
    label = item["label"] if labelled else ""
    return Instance(
        id=item["id"],
        label=label,
        label_confidence=1.0 if labelled else 0.0,
        existence=1.0,
        attributes=attributes,
        box=OrientedBox(pose, (high - low)[[0, 2, 1]]),
        voxel_size_m=VOXEL_M,
        voxels=voxels,
        voxel_colors=colors,
        first_seen_ns=0,
        last_seen_ns=1,
        observations=5,
        names={label: 1.0} if labelled else {},
    )


def time_judgement(relevance: Relevance) -> None:
    random = np.random.default_rng(0)
    instances = []
    for number in range(1, 201):
        x, z = random.uniform(-5, 5, 2)
        w, d, h = random.uniform(0.05, 1.2, 3)
        item = {
            "id": number,
            "label": "thing",
            "footprint": [[x, z], [x + w, z], [x + w, z + d], [x, z + d]],
            "aabb_2_98": [[x, -1.5, z], [x + w, -1.5 + h, z + d]],
        }
        instances.append(instance_of(item, -1.5, labelled=False))
    texts = (
        "the largest table",
        "the cup on the table next to the sofa",
        "I am tired.",
        "the box closest to the chair",
    )
    inference = TargetInference(relevance)
    for title in ("first", "again"):
        start = time.perf_counter()
        for text in texts:
            inference.judge(
                instances,
                Instruction(text, text, parse(text)),
                up=np.array([0.0, 1.0, 0.0]),
                camera_position=np.zeros(3),
                keyframes_answered=9,
                keyframes_pending=1,
            )
        print(f"judging {len(instances)} instances, {title}: {(time.perf_counter() - start) / len(texts) * 1e3:.0f} ms")


if __name__ == "__main__":
    try:
        main()
    except InstructionError as error:
        raise SystemExit(f"{error.code}: {error}") from error

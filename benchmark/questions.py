"""Questions of people about rooms, read as instructions: none may fail or take long, and what of them is understood.

OpenEQA (Majumdar et al., 2024) and SQA3D (Ma et al., 2023) ask for answers and not for things; the things that they are
about are read all the same. Prints how many are parsed, how long the slowest one took, and with --sample the parsed
form of so many questions of OpenEQA, the same ones each time, to be judged by a person: is the thing that the question
is about the target, or its anchor where a place is asked for, and are its colour, size and relations recovered?

Run: python benchmark/questions.py [--data ../shared/data/language] [--sample 60] [--seed 1]
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import time
from collections.abc import Iterator
from pathlib import Path

from lira_ros.reasoning.language.parser import InstructionError, describe, parse


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=Path, default=Path("../shared/data/language"))
    arguments.add_argument("--sample", type=int, default=0, help="questions of OpenEQA to print for judging")
    arguments.add_argument("--seed", type=int, default=1, help="which questions; 0 was developed on")
    options = arguments.parse_args()
    for title, texts in (
        ("OpenEQA questions", questions_of_open_eqa(options.data)),
        ("SQA3D situations with their questions", situations_of_sqa3d(options.data)),
        ("ViGiL3D prompts", prompts_of_vigil3d(options.data)),
    ):
        refused, times_s = 0, []
        for text in texts:
            start = time.process_time()
            try:
                parse(text)
            except InstructionError:
                refused += 1
            times_s.append(time.process_time() - start)
        mean_ms, longest_ms = 1e3 * sum(times_s) / len(times_s), 1e3 * max(times_s)
        print(f"{title}: {len(times_s)}, refused {refused}, {mean_ms:.1f} ms each, at most {longest_ms:.1f} ms")
    for text in random.Random(options.seed).sample(list(questions_of_open_eqa(options.data)), options.sample):
        print(f"{text}\n    {describe(parse(text))}")


def questions_of_open_eqa(folder: Path) -> Iterator[str]:
    """Yield the questions."""
    for entry in json.loads((folder / "open_eqa" / "open-eqa-v0.json").read_text(encoding="utf-8")):
        yield entry["question"]


def situations_of_sqa3d(folder: Path) -> Iterator[str]:
    """Yield each situation followed by its question."""
    text = (folder / "sqa3d" / "sqa3d_test_excerpt400.json").read_text(encoding="utf-8")
    for entry in json.loads(text)["entries"]:
        yield f"{entry['situation']} {entry['question']}"


def prompts_of_vigil3d(folder: Path) -> Iterator[str]:
    """Yield the descriptions."""
    with (folder / "vigil3d" / "vigil3d_scannet.csv").open(encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            yield row["description"]


if __name__ == "__main__":
    main()

"""lira evaluate --pictures: score the masks that a reasoner draws into annotated pictures."""

from __future__ import annotations

import argparse
import sys
from hashlib import sha256
from pathlib import Path

from tqdm import tqdm

from lira_ros.cli.options import read_configuration
from lira_ros.configuration import flatten
from lira_ros.datasets.annotated_pictures import open_pictures
from lira_ros.evaluation.experiment_unit import program
from lira_ros.evaluation.file_names import folder_name
from lira_ros.evaluation.picture_scores import (
    ASKED_FOR_HELPERS,
    SUMMARY_FILE,
    format_pictures,
    score_pictures,
    write_summary,
)
from lira_ros.evaluation.results import UnitResult
from lira_ros.reasoning.backends import create_reasoner
from lira_ros.reasoning.contracts import Reasoner
from lira_ros.reasoning.plain_text import plain_text
from lira_ros.reasoning.relevance import create_relevance

OUTPUT = Path("out") / "evaluate"
SHOWN_CHARACTERS = 500


def run(options: argparse.Namespace) -> int:
    """Ask about every picture, print the scores; 1 when a picture got no answer, 2 for options that do not fit."""
    given = {
        "RECORDING": options.recording,
        "--data": options.data,
        "--seed": options.seed,
        "--questions": options.questions,
        "--alone": options.alone,
        "--nodes": options.nodes,
        "--ray": options.ray,
        "--jobs": options.jobs > 1,
        "--fusion": options.fusion,
        "--up": options.up,
    }
    unfit = [name for name, value in given.items() if value not in (None, False, [])]
    if unfit:
        print(f"lira evaluate --pictures: does not go with {', '.join(unfit)}", file=sys.stderr)
        return 2
    configuration = read_configuration(options)
    pictures = open_pictures(options.pictures)
    asked = {
        name: value for name, value in flatten(configuration).items() if name.startswith(("reasoner.", "language."))
    }
    description = {"pictures": options.pictures, "count": len(pictures.names), "configuration": asked}
    marks = sha256(f"{description} {program()}".encode()).hexdigest()[:8]
    directory = options.out or OUTPUT / f"{folder_name(f'{options.pictures}-{configuration.reasoner.backend}')}-{marks}"

    def make_reasoner() -> Reasoner:
        return create_reasoner(configuration.reasoner, create_relevance(configuration.language))

    with tqdm(total=len(pictures.names), unit="picture", disable=None) as bar:

        def note(result: UnitResult) -> None:
            bar.update()
            if result.failed:
                said = f"{plain_text(result.unit, 80)}: {plain_text(result.failed, SHOWN_CHARACTERS)}"
                bar.write(f"lira: not scored: {said}", file=sys.stderr)

        all_help = configuration.reasoner.backend in ASKED_FOR_HELPERS
        results = score_pictures(pictures, make_reasoner, directory, description, all_help=all_help, note=note)
    summary = write_summary(results, directory)
    print(format_pictures(summary))
    if summary["failed"]:
        print(f"\n{len(summary['failed'])} pictures are not scored; the same command asks about them again")
    print(f"wrote {directory / SUMMARY_FILE}")
    return 1 if summary["failed"] else 0

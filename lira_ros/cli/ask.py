"""lira ask: one picture and instructions in, overlays and JSON out; how a reasoner is tried in a minute."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from lira_ros.cli.options import add_value_options, read_configuration
from lira_ros.configuration import ConfigurationError
from lira_ros.datasets.picture import ASSUMED_FIELD_OF_VIEW_DEG, Picture, read_picture
from lira_ros.evaluation.picture_report import PictureAnswer, write_picture_report
from lira_ros.geometry.gravity import UP_CHOICES
from lira_ros.reasoning.backends import create_reasoner
from lira_ros.reasoning.contracts import Instruction, Reasoner, ReasoningError, Role
from lira_ros.reasoning.instructions import InstructionBook, InstructionConfiguration
from lira_ros.reasoning.language.parser import parse
from lira_ros.reasoning.plain_text import plain_text
from lira_ros.reasoning.relevance import create_relevance

# Of candidates that are neither asked for nor referred to, as many are printed; the JSON has all.
SHOWN_CONTEXT = 3
SHOWN_CHARACTERS = 2000


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser], summary: str) -> None:
    """Add the subcommand; ``summary`` is its line in the list of commands."""
    parser = subparsers.add_parser(
        "ask",
        help=summary,
        description="Ask a reasoner about one picture. Written are an overlay PNG for each instruction, and "
        "answers.json with candidates: role, label, colour, box and mask (COCO run lengths) in pixels of the picture, "
        "scores, measures, and the reason.",
    )
    parser.add_argument("picture", type=Path, metavar="PICTURE", help="PNG, JPEG or WebP")
    parser.add_argument(
        "instruction", nargs="+", metavar="INSTRUCTION", help="what to look for, in quotes; several may be given"
    )
    parser.add_argument(
        "--depth", type=Path, metavar="FILE", help="16-bit PNG in millimetres, registered to the picture"
    )
    parser.add_argument(
        "--intrinsics",
        default="",
        metavar="FX,FY,CX,CY",
        help="of the picture in pixels, or the file of a 3x3 matrix; without it a field of view of "
        f"{ASSUMED_FIELD_OF_VIEW_DEG:.0f} degrees is assumed",
    )
    parser.add_argument(
        "--up",
        dest="camera_up",
        default="auto",
        choices=[choice for choice in UP_CHOICES if choice not in ("imu", "tf")],
        help="against gravity in the axes of the camera (x right, y down, z forward); default: found from the depth",
    )
    parser.add_argument("--out", type=Path, default=Path("out/ask"), help="folder of the results (default: out/ask)")
    parser.add_argument(
        "--exchanges", action="store_true", help="show and write what the model was asked and what it answered"
    )
    add_value_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Ask, print the answers, write them; return 1 when an instruction got no answer."""
    configuration = read_configuration(options)
    for text in options.instruction:
        parse(text, any_language=True)  # what no back end takes is said before a model is loaded
    _check_folder(options.out)
    picture = read_picture(options.picture, options.depth, options.intrinsics, options.camera_up)
    reasoner = create_reasoner(configuration.reasoner, create_relevance(configuration.language))
    try:
        _check_depth(reasoner, picture)
        book = InstructionBook(InstructionConfiguration(), any_language=reasoner.any_language)
        instructions = [book.submit(text) for text in options.instruction]
        answers = [_ask(reasoner, picture, instruction) for instruction in instructions]
    finally:
        reasoner.close()
    for answer in answers:
        _show(answer, with_exchanges=options.exchanges)
    for path in write_picture_report(
        picture, str(options.picture), answers, options.out, with_exchanges=options.exchanges
    ):
        print(f"wrote {path}")
    return 1 if any(answer.problem for answer in answers) else 0


def _check_folder(folder: Path) -> None:
    """Say that results cannot be written before a model is loaded for a minute."""
    existing = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise ConfigurationError(f"--out {folder}: expected a folder that can be written, {existing} is none")


def _check_depth(reasoner: Reasoner, picture: Picture) -> None:
    if reasoner.needs_depth and not picture.has_depth:
        raise ReasoningError(
            f"reasoner {reasoner.name} sees things by their shape: give the depth image of the picture (--depth), or "
            "ask a reasoner with a model (--reasoner)"
        )
    if picture.has_depth and not picture.intrinsics_known:
        print(
            f"lira ask: no --intrinsics: a field of view of {ASSUMED_FIELD_OF_VIEW_DEG:.0f} degrees is assumed, so "
            "lengths may be wrong",
            file=sys.stderr,
        )


def _ask(reasoner: Reasoner, picture: Picture, instruction: Instruction) -> PictureAnswer:
    try:
        candidates = reasoner.propose(picture.keyframe, instruction)
    except ReasoningError as error:
        return PictureAnswer(instruction, None, str(error), error.exchanges)
    return PictureAnswer(instruction, candidates, exchanges=candidates.exchanges)


def _show(answer: PictureAnswer, *, with_exchanges: bool) -> None:
    print(f"{plain_text(answer.instruction.text, SHOWN_CHARACTERS)}")
    if with_exchanges:
        for exchange in answer.exchanges:
            for name in ("prompt", "answer", "problem"):
                if text := getattr(exchange, name):
                    print(f"  {name}: {plain_text(text, SHOWN_CHARACTERS)}")
            print(f"  after {exchange.latency_s:.2f} s")
    if answer.candidates is None:
        print(f"  no answer: {plain_text(answer.problem, SHOWN_CHARACTERS)}\n")
        return
    found = answer.candidates.candidates
    counts = {role: sum(item.role == role for item in found) for role in Role}
    print(
        f"  {plain_text(answer.candidates.model, 80)}, {answer.candidates.latency_s:.2f} s: "
        f"{counts[Role.TARGET]} asked for, {counts[Role.ANCHOR]} referred to, {counts[Role.CONTEXT]} others"
    )
    others = [item for item in found if item.role == Role.CONTEXT]
    for item in sorted(found, key=lambda item: (item.role, -item.score)):
        if item.role != Role.CONTEXT or item in others[:SHOWN_CONTEXT]:
            print(f"  {item.role.name.lower():<8}{item.score:.2f}  {item.label or '?'}: {item.reason}")
    print()

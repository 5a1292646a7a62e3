"""lira run: the whole pipeline over a recording, without ROS, faster than real time."""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import closing
from pathlib import Path

from lira_ros.cli.node_run import progress_line
from lira_ros.cli.options import add_configuration_options, list_parameters, read_configuration
from lira_ros.datasets import open_sequence
from lira_ros.evaluation.record import RunRecord
from lira_ros.evaluation.report import write_report
from lira_ros.evaluation.run_configuration import make_pipeline
from lira_ros.evaluation.runner import Request, run_sequence
from lira_ros.evaluation.tables import format_latencies, format_left_out, format_outcome


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser], summary: str) -> None:
    """Add the subcommand; ``summary`` is its line in the list of commands."""
    parser = subparsers.add_parser("run", help=summary)
    parser.add_argument("recording", nargs="?", help="folder, bag, or room:SEED for a generated room")
    parser.add_argument(
        "--instruction", "-i", action="append", default=[], metavar="TEXT", help="what to look for; may be repeated"
    )
    parser.add_argument("--out", type=Path, default=Path("out/run"), help="folder of the results (default: out/run)")
    parser.add_argument("--list-params", action="store_true", help="list every configuration value and end")
    add_configuration_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the pipeline, print the outcome, write the report."""
    if options.list_params:
        print(list_parameters())
        return 0
    if not options.recording:
        print("lira run: name a recording (a folder, a bag, or room:0)", file=sys.stderr)
        return 2
    configuration = read_configuration(options)
    sequence = open_sequence(options.recording)
    requests = [Request(text) for text in options.instruction]
    shown_s = time.monotonic()

    def progress(index: int, record: RunRecord) -> None:
        nonlocal shown_s
        if sys.stdout.isatty() and time.monotonic() - shown_s > 0.3:
            shown_s = time.monotonic()
            print(f"\r\033[Kframe {index} of {len(sequence)} | {progress_line(0.0, record)}", end="", flush=True)

    pipeline, reasoner = make_pipeline(configuration, sequence)
    with closing(reasoner):
        record = run_sequence(sequence, requests, pipeline, reasoner, progress)
    if sys.stdout.isatty():
        print("\r\033[K", end="")
    frames = len(sequence)
    print(
        f"{sequence.name}: {frames} frames in {record.duration_s:.1f} s ({frames / record.duration_s:.1f} frames/s)\n"
    )
    left_out = format_left_out(sequence, record)
    if left_out:
        print(left_out + "\n")
    print(format_outcome(record) + "\n")
    print(format_latencies(record.latency.summary()) + "\n")
    for path in write_report(record, options.out):
        print(f"wrote {path}")
    return 0

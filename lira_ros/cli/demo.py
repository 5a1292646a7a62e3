"""lira demo: the nodes as processes map a generated room and answer three instructions while the walk goes on."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from lira_ros.cli.node_run import NodeRun, progress_line, run_nodes
from lira_ros.evaluation.record import RunRecord
from lira_ros.evaluation.report import write_report
from lira_ros.evaluation.runner import Request
from lira_ros.evaluation.tables import format_latencies, format_outcome
from lira_ros.viewer.output import INSTALL, is_installed

# One explicit, one implicit, one that nothing in the room satisfies; given one after another during the walk.
REQUESTS = (
    Request("Find the red mug.", 2.0, "red-mug"),
    Request("Where can we have dinner together?", 20.0, "dinner"),
    Request("Find the bed.", 38.0, "bed"),
)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser], summary: str) -> None:
    """Add the subcommand; ``summary`` is its line in the list of commands."""
    parser = subparsers.add_parser("demo", help=summary)
    parser.add_argument("--out", type=Path, default=Path("out/demo"), help="folder of the results (default: out/demo)")
    parser.add_argument("--seed", type=int, default=0, help="which room (default 0)")
    parser.add_argument("--rate", type=float, default=1.0, help="speed of the walk, 1 = real time (default)")
    parser.add_argument("--suite", action="store_true", help="mapping, reasoning and fusion in one process")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the demo, print the outcome, write the report."""
    where = "one process" if options.suite else "three processes"
    print(f"Starting the ROS 2 nodes ({where}) and a walk of one minute through a generated room.", flush=True)
    shown_s = 0.0

    def progress(seconds: float, record: RunRecord) -> None:
        nonlocal shown_s
        terminal = sys.stdout.isatty()
        if time.monotonic() - shown_s < (0.5 if terminal else 5.0):
            return
        shown_s = time.monotonic()
        line = progress_line(seconds, record)
        print(f"\r\033[K{line}" if terminal else line, end="" if terminal else "\n", flush=True)

    recording = f"room:{options.seed}"
    viewer_file = options.out.resolve() / "demo.rrd"
    viewer_file.unlink(missing_ok=True)
    shown = str(viewer_file) if is_installed() else ""
    record = run_nodes(NodeRun(recording, REQUESTS, options.out, {}, options.suite, options.rate, shown), progress)
    if sys.stdout.isatty():
        print("\r\033[K", end="")
    record.title = "generated room"
    print(f"\n{format_outcome(record)}\n\n{format_latencies(record.latency.summary())}\n")
    for path in write_report(record, options.out):
        print(f"wrote {path}")
    if not shown:
        print(INSTALL)
    elif viewer_file.is_file():
        size_mb = viewer_file.stat().st_size / 1e6
        print(f"wrote {options.out / viewer_file.name} ({size_mb:.0f} MB), to be looked at with lira view")
    else:
        print(f"no recording for the viewer was written; see {options.out}/log/view_node.log")
    return 0

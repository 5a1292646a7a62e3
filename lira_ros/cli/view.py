"""lira view: look at running nodes, or at a recording as the pipeline maps and understands it, in the Rerun viewer."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path

from lira_ros.cli.options import add_configuration_options, read_configuration
from lira_ros.viewer.configuration import ViewerConfiguration
from lira_ros.viewer.output import INSTALL, ViewerError, has_display, is_installed


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser], summary: str) -> None:
    """Add the subcommand; ``summary`` is its line in the list of commands."""
    parser = subparsers.add_parser(
        "view",
        help=summary,
        description="Without a recording, the running nodes are shown until Ctrl-C.",
    )
    parser.add_argument("recording", nargs="?", help="folder, bag, or room:SEED to map and show, or an .rrd file")
    parser.add_argument(
        "--instruction", "-i", action="append", default=[], metavar="TEXT", help="what to look for; may be repeated"
    )
    parser.add_argument("--save", default="", metavar="FILE.rrd", help="write a file, to be looked at later")
    parser.add_argument("--web", action="store_true", help="show a page in the browser of this computer")
    parser.add_argument(
        "--serve", action="store_true", help="let viewers on other computers connect; everybody in the network can"
    )
    parser.add_argument("--namespace", default="lira", help="namespace of the running nodes (default: lira)")
    add_configuration_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Show what is asked for."""
    if not is_installed():
        raise ViewerError(INSTALL)
    if not options.recording:
        if options.instruction:
            print("lira view: nodes are given instructions with lira instruct", file=sys.stderr)
            return 2
        return _run_node(options)
    if options.recording.endswith(".rrd"):
        return _open_file(Path(options.recording))
    return _run_recording(options)


def _viewer(options: argparse.Namespace) -> str:
    return "web" if options.web else "server" if options.serve else "auto"


def _bind(options: argparse.Namespace) -> str:
    return "0.0.0.0" if options.serve else "127.0.0.1"


def _open_file(path: Path) -> int:
    if not path.is_file():
        print(f"lira view: {path}: no such file", file=sys.stderr)
        return 1
    if not has_display():
        raise ViewerError(
            f"there is no display for a window: copy {path} to a computer that has one and run rerun there"
        )
    return subprocess.call([sys.executable, "-m", "rerun_cli", str(path)])


def _run_node(options: argparse.Namespace) -> int:
    """Become the view node."""
    from lira_ros.cli.processes import NodeCommand

    parameters = {
        "viewer.open": _viewer(options),
        "viewer.save": options.save,
        "viewer.bind": _bind(options),
    }
    command = NodeCommand("view_node", options.namespace, {}, parameters).arguments()
    sys.stdout.flush()
    os.execv(command[0], command)


def _run_recording(options: argparse.Namespace) -> int:
    from lira_ros.datasets import open_sequence
    from lira_ros.evaluation import runner
    from lira_ros.evaluation.run_configuration import make_pipeline
    from lira_ros.evaluation.tables import format_outcome
    from lira_ros.viewer.output import Output

    configuration = read_configuration(options)
    sequence = open_sequence(options.recording)
    viewer = ViewerConfiguration(open=_viewer(options), save=options.save, bind=_bind(options))
    requests = [runner.Request(text) for text in options.instruction]
    pipeline, reasoner = make_pipeline(configuration, sequence)
    began_s = time.monotonic()
    with closing(reasoner), closing(Output(viewer)) as output:
        from lira_ros.viewer.pipeline_view import PipelineView

        print(output.notice, flush=True)
        record = runner.run_sequence(
            sequence, requests, pipeline, reasoner, keep_answers=False, view=PipelineView(output, viewer)
        )
        took_s = time.monotonic() - began_s
        print(f"{sequence.name}: {len(sequence)} frames in {took_s:.1f} s\n\n{format_outcome(record)}", flush=True)
        if output.is_looked_at:
            print("\nIt is there to be looked at until Ctrl-C, or until the window is closed.", flush=True)
            with suppress(KeyboardInterrupt):
                while output.is_looked_at:
                    time.sleep(0.5)
    if options.save:
        size_mb = Path(options.save).expanduser().stat().st_size / 1e6
        print(f"\nwrote {options.save} ({size_mb:.1f} MB): lira view {options.save}")
    return 0

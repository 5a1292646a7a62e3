"""The lira command: one entry point, one subcommand a file."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from lira_ros import __version__

# Only the module of the command that was given is imported: ``lira doctor`` answers at once, and without the packages
# that others need.
COMMANDS = {
    "demo": "real nodes map a generated room and answer three instructions",
    "run": "map a recording and answer instructions, without ROS",
    "ask": "ask a reasoner about one picture",
    "evaluate": "score recordings with known answers; compare two evaluations; measure running nodes",
    "instruct": "give an instruction to running nodes, list or cancel them",
    "web": "serve a page to talk to running nodes: instructions, camera, map in 3D, on a phone too",
    "view": "show running nodes, or a recording, in the Rerun viewer",
    "replay": "play a recording as the topics of a RealSense camera",
    "convert": "turn a recording into a bag, a .sens file or a folder",
    "export": "turn a saved map into a PLY, GLB or Open3D file",
    "train": "learn the weights of the fusion from generated homes",
    "models": "which models there are; check or download their files",
    "doctor": "what is installed, what a running robot lacks, and what mends it",
}

# What a person can mend: shown as one sentence. Anything else is our fault and keeps its traceback.
EXPECTED_ERRORS = (
    ("lira_ros.cli.export", "ExportError"),
    ("lira_ros.cli.processes", "ProcessError"),
    ("lira_ros.configuration", "ConfigurationError"),
    ("lira_ros.datasets.convert", "ConversionError"),
    ("lira_ros.datasets.sequence", "SequenceError"),
    ("lira_ros.evaluation.results", "ResultsError"),
    ("lira_ros.mapping.open3d_grid", "Open3DError"),
    ("lira_ros.mapping.storage", "MapFileError"),
    ("lira_ros.presets", "PresetError"),
    ("lira_ros.reasoning.contracts", "ReasoningError"),
    ("lira_ros.reasoning.language.encoder", "EncoderError"),
    ("lira_ros.reasoning.language.parser", "InstructionError"),
    ("lira_ros.ros.errors", "ServiceError"),
    ("lira_ros.web.access", "AccessError"),
    ("lira_ros.web.static_files", "WebError"),
    ("lira_ros.viewer.output", "ViewerError"),
)


def build_parser(command: str = "") -> argparse.ArgumentParser:
    """Return the argument parser of the lira command, with the options of one subcommand."""
    parser = argparse.ArgumentParser(
        prog="lira", description="Map what an instruction asks for, while the robot moves."
    )
    parser.add_argument("--version", action="version", version=f"lira_ros {__version__}")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        if name == command:
            import_module(f"lira_ros.cli.{name}").add_parser(subparsers, summary)
        else:
            subparsers.add_parser(name, help=summary)
    return parser


def is_expected(error: Exception) -> bool:
    """Tell whether an error is one that a person can mend."""
    # An error comes from a module that is imported; the others need not be.
    known = tuple(getattr(sys.modules[module], name) for module, name in EXPECTED_ERRORS if module in sys.modules)
    return isinstance(error, (OSError, *known))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the lira command; return its exit code: 0 done, 1 something is wrong, 2 wrong usage, 130 interrupted."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    command = next((item for item in given if not item.startswith("-")), "")
    try:
        options = build_parser(command).parse_args(given)
        return int(options.run(options))
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("lira_ros"):
            raise
        print(f"lira {command}: needs the package {error.name}, which is not installed", file=sys.stderr)
        return 1
    except Exception as error:
        if not is_expected(error):
            raise
        print(f"lira: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("lira: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())

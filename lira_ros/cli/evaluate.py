"""lira evaluate: run recordings with known answers and score what was found; compare two such evaluations."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from lira_ros.cli.node_run import NodeRun, run_nodes
from lira_ros.cli.options import add_configuration_options, read_configuration, read_values
from lira_ros.configuration import ConfigurationError
from lira_ros.datasets import open_sequence
from lira_ros.datasets.reference import read_instructions
from lira_ros.datasets.scene_sets import SCENES_OF_A_SPLIT, scenes
from lira_ros.evaluation.comparison import compare_results, format_comparison
from lira_ros.evaluation.experiment import Data, Experiment, description, fingerprint, run_experiments
from lira_ros.evaluation.experiment_unit import Scene, Task, Unit, compared_outcome
from lira_ros.evaluation.experiment_workers import Processes, RayWorkers, ThisProcess, Workers
from lira_ros.evaluation.file_names import folder_name
from lira_ros.evaluation.load import LoadSampler
from lira_ros.evaluation.pair_table import format_pairs
from lira_ros.evaluation.progress import ProgressBar
from lira_ros.evaluation.report import write_report
from lira_ros.evaluation.result_files import REPORT_FILE, write_files
from lira_ros.evaluation.results import Results, ResultsFolder, read_results
from lira_ros.evaluation.runner import Request
from lira_ros.evaluation.summary import format_summary
from lira_ros.evaluation.tables import format_stages

COMPARE = "compare"
PROTOCOLS = ("official", "strict", "points", "all")
# A table of more lines than a screen has is not read; the report and the Parquet file hold all of them.
PRINTED_PAIRS = 40
OUTPUT = Path("out") / "evaluate"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser], summary: str) -> None:
    """Add the subcommand; ``summary`` is its line in the list of commands."""
    parser = subparsers.add_parser(
        "evaluate",
        help=summary,
        description="Score recordings with known answers. An evaluation that was interrupted goes on where it was.",
    )
    parser.add_argument(
        "recording",
        nargs="*",
        metavar="RECORDING",
        help=f"short for --data; or: {COMPARE} A B, two folders of results",
    )
    parser.add_argument("--data", metavar="SPEC", help="recordings, folders of them, room:5, rooms:test, with commas")
    parser.add_argument(
        "--seed",
        type=int,
        metavar="N",
        help=f"{SCENES_OF_A_SPLIT} generated homes that nobody has tuned to, from this seed on (from 3000); for --data",
    )
    parser.add_argument(
        "--pictures",
        metavar="SPEC",
        help="score the masks that a reasoner draws into annotated pictures instead: a folder in the form of ReasonSeg "
        "(NAME.json beside NAME.jpg), or reasonrecon:ROOT[:SPLIT]",
    )
    parser.add_argument("--questions", type=Path, metavar="FILE", help="JSON of instructions with text and ids")
    parser.add_argument("--alone", action="store_true", help="a run of its own for every instruction, as LIRA does")
    parser.add_argument("--protocol", choices=PROTOCOLS, default="all", help="which scores to print (default: all)")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="runs at the same time, in N processes")
    parser.add_argument("--ray", metavar="ADDRESS", help="on a Ray cluster: auto, host:port, or local to start one")
    parser.add_argument("--out", type=Path, metavar="DIR", help=f"folder of the results (default: one in {OUTPUT})")
    parser.add_argument("--nodes", action="store_true", help="through the ROS nodes as processes, in real time")
    parser.add_argument("--suite", action="store_true", help="with --nodes: mapping, reasoning, fusion in one process")
    parser.add_argument("--rate", type=float, default=1.0, help="with --nodes: speed of the replay (default 1)")
    parser.add_argument("--live", action="store_true", help="listen to running nodes: rates, latencies, load")
    parser.add_argument("--seconds", type=float, default=10.0, help="with --live: how long to listen (default 10)")
    parser.add_argument("--namespace", default="lira", help="with --live: namespace of the nodes (default lira)")
    add_configuration_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Evaluate, compare or measure, and print what came out; 1 when a run failed."""
    if options.live:
        from lira_ros.cli import live

        return live.run(options)
    if options.recording[:1] == [COMPARE]:
        return _compare(options)
    if options.pictures is not None:
        from lira_ros.cli import evaluate_pictures

        return evaluate_pictures.run(options)
    given = [*options.recording, *([] if options.data is None else [options.data])]
    if options.seed is not None:
        given.append(f"rooms:{options.seed}-{options.seed + SCENES_OF_A_SPLIT - 1}")
    if len(given) != 1:
        print(
            f"lira evaluate: name one RECORDING, or --data SPEC, or --seed N, or --pictures SPEC, or {COMPARE} A B",
            file=sys.stderr,
        )
        return 2
    data = _data(options, given[0])
    directory, experiment = _experiment(options, data)
    if options.nodes:
        results = _through_nodes(options, data, experiment)
    else:
        progress = ProgressBar()
        try:
            with _workers(options, data) as workers:
                results = run_experiments([experiment], data, workers, progress)[0]
        finally:
            progress.close()
    return _show(results, options.protocol, directory)


def _data(options: argparse.Namespace, spec: str) -> Data:
    questions = None if options.questions is None else read_instructions(options.questions)
    names = scenes(spec)
    if questions is not None and len(names) > 1:
        raise ConfigurationError(f"--questions: the ids are those of one recording, {spec} names {len(names)}")
    return Data(spec, names, questions, options.alone)


def _experiment(options: argparse.Namespace, data: Data) -> tuple[Path, Experiment]:
    configuration = read_configuration(options)
    experiment = Experiment("evaluation", Path(), configuration)
    name = folder_name(f"{data.spec}-{configuration.reasoner.backend}-{configuration.fusion.method}")
    name += "-nodes" if options.nodes else ""
    directory = options.out or OUTPUT / f"{name}-{fingerprint(experiment, data)}"
    return directory, Experiment("evaluation", directory, configuration)


def _workers(options: argparse.Namespace, data: Data) -> Workers:
    if options.jobs < 1:
        raise ConfigurationError(f"--jobs: expected at least 1, got {options.jobs}")
    if options.ray is not None:
        return RayWorkers(options.ray, options.jobs)
    if options.jobs == 1 and len(data.scenes) == 1:
        return ThisProcess()
    return Processes(options.jobs)


def _through_nodes(options: argparse.Namespace, data: Data, experiment: Experiment) -> Results:
    """Run the nodes over one recording and score what they published."""
    if len(data.scenes) != 1 or data.alone:
        raise ConfigurationError("--nodes: runs one recording with all its instructions at once")
    how = {"nodes": True, "in one process": options.suite, "speed of the replay": options.rate}
    task = Task(experiment.name, experiment.configuration)
    unit = Unit(data.scenes[0], (task,), data.questions)
    with ResultsFolder(experiment.directory, {**description(experiment, data), **how}) as folder:
        if folder.results.is_done(unit.name):
            return folder.results
        sequence = open_sequence(unit.scene)
        scene = Scene(unit, sequence)
        requests = [Request(question.text, 0.0, f"q{number}") for number, question in scene.questions.items()]
        node_run = NodeRun(
            unit.scene, requests, experiment.directory, read_values(options), options.suite, options.rate
        )
        with LoadSampler() as sampler:
            record = run_nodes(node_run, lambda seconds, record: None)
        for index in range(len(sequence)):
            scene.look(index)
        outcome = compared_outcome(record, unit, task, scene, sampler.summary()["all"])
        folder.add(outcome.result, outcome.pairs)
        write_report(record, experiment.directory / "maps")
        return folder.results


def _show(results: Results, protocol: str, directory: Path) -> int:
    summary = write_files(results)
    pairs = [results.pairs[key] for key in sorted(results.pairs)]
    if 0 < len(pairs) <= PRINTED_PAIRS:
        print(format_pairs(pairs) + "\n")
    notes = dict.fromkeys(notice for unit in results.units.values() for notice in unit.notices)
    for notice in notes:
        print(f"note: {notice}")
    for reason, count in summary["dropped"].items():
        print(f"not used: {count} frames: {reason}")
    if pairs:
        print(format_summary(summary, protocol) + "\n")
        print(format_stages(summary["stages"]) + "\n")
    print(f"wrote {directory / REPORT_FILE}")
    for failure in summary["failed"]:
        print(f"lira: failed: {failure['run']}: {failure['why']}", file=sys.stderr)
    return 1 if summary["failed"] else 0


def _compare(options: argparse.Namespace) -> int:
    if len(options.recording) != 3:
        print(f"lira evaluate {COMPARE}: name two folders of results", file=sys.stderr)
        return 2
    first, second = (Path(name) for name in options.recording[1:])
    comparison = compare_results(read_results(first), read_results(second), (str(first), str(second)))
    print(format_comparison(comparison, options.protocol))
    return 0

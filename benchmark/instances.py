"""Measure the quality of instances: candidates with more and more errors x methods of fusion.

Usage: python benchmark/instances.py [--seeds 2000-2039] [--levels none,light,middle,heavy,compact]
       [--methods votes,geometry] [--jobs 2] [--set NAME=VALUE] [--out DIR]

Candidates are those of the oracle back end: without errors on exact poses ("none"), and with the errors of
lira_ros/reasoning/candidate_errors.py on walks with pose noise ("light", "middle", "heavy"); and those of the compact
back end on exact poses. Every home is drawn once for all configurations that share its poses; all instructions of a
home are given to one run. An interrupted call goes on where it was. Tables with intervals over homes are printed and
written to tables.md in the folder of the results.

Whole map, against the objects that were in sight (50 pixels of LIRA's 160 x 120 in one frame); instances that belong to
an object that was not are left out:

- F1 50: one to one at IoU above 0.5, without names; every other instance is wrong. Mean over homes.
- AP, AP50, AP25: class-agnostic, walls and floors void (class_agnostic.Protocol.OBJECTS).
- duplicates: share of the instances at the end that belong to an object to which another one belongs already; an
  instance belongs to the object that holds more than half of its vertices (online.belonging).
- id switches: at 20 moments of a walk, how often an object goes on under another id of an instance than the last one it
  had (online.identities), by the objects that ever had one; and by all times an object had an instance again.

Answers to the instructions: strict F1 at 0.5, the same for the best choice among the instances of the map, "there is
none" answered rightly, and official AP (LIRA's). ms a keyframe: all that the fusion does with answers and fragments,
by keyframes; ms a fragment: what it does when a fragment of the map is closed. Both are those of the median home, and
by the clock: they mean something on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from lira_ros.configuration import build, parameters_of
from lira_ros.datasets.scene_sets import scenes
from lira_ros.evaluation.bootstrap import Interval, ScoreTable, intervals, paired_differences, score_table
from lira_ros.evaluation.class_names import class_mapping
from lira_ros.evaluation.experiment import Data, Experiment, run_experiments
from lira_ros.evaluation.experiment_workers import Processes
from lira_ros.evaluation.online import belonging, duplicates
from lira_ros.evaluation.pair import PairComparison
from lira_ros.evaluation.progress import ProgressBar
from lira_ros.evaluation.results import Results, UnitResult, write_whole
from lira_ros.evaluation.run_configuration import RunConfiguration
from lira_ros.evaluation.summary import format_score
from lira_ros.fusion.configuration import FusionConfiguration
from lira_ros.reasoning.candidate_errors import LEVELS

TEST_SEEDS = "2000-2039"
# What a small computer maps in real time, and what the other tables of docs/results.md were measured with.
OPTIONS = "width_px=320&rate_hz=3"
CLEAN = ("none", "compact")
METHODS = next(item.info.choices for item in parameters_of(FusionConfiguration) if item.name == "method") or ()
# Every method is compared with these.
REFERENCES = ("tiff", "geometry")
# Title -> what it is a score of, and its name there.
COLUMNS = {
    "F1 50": ("map", "f1@0.5"),
    "AP": ("map", "AP"),
    "AP50": ("map", "AP50"),
    "AP25": ("map", "AP25"),
    "duplicates": ("map", "duplicates"),
    "id switches an object": ("map", "switches"),
    "and a time seen again": ("map", "switches again"),
    "answers: F1 50": ("answers", "f1@0.5"),
    "best choice: F1 50": ("best", "f1@0.5"),
    "none right": ("answers", "empty_accuracy"),
    "answers: AP": ("answers", "AP"),
    "answers: AP50": ("answers", "AP50"),
}
DIFFERENCES = ("F1 50", "AP", "AP50", "AP25", "duplicates", "answers: F1 50", "none right", "answers: AP")


def values_of(level: str) -> dict[str, object]:
    """Return what is set for a kind of candidates."""
    if level == "compact":
        return {"reasoner.backend": "compact"}
    return {"reasoner.backend": "oracle", "reasoner.oracle.errors.level": level}


def map_in_sight(unit: UnitResult) -> PairComparison:
    """Return the whole map against the objects that were in sight; instances of others are left out."""
    if unit.everything is None or unit.history is None:
        raise ValueError(f"{unit.unit}: the run left no whole map behind")
    seen = set(unit.history.seen)
    owners = belonging(unit.everything)
    return replace(
        unit.everything,
        targets=tuple(i for i in unit.everything.targets if i in seen),
        predictions=tuple(p for p in unit.everything.predictions if owners.get(p.id) is None or owners[p.id] in seen),
    )


def map_table(units: Sequence[UnitResult]) -> ScoreTable:
    """Return what the scores of whole maps are made of, a cluster a home."""
    maps = [map_in_sight(unit) for unit in units]
    # One class for all: names do not matter.
    table = score_table(maps, lambda label: "object", [unit.scene for unit in units])
    histories = [unit.history.identities for unit in units if unit.history is not None]
    ratios = {
        "duplicates": [(duplicates(pair), len(pair.predictions)) for pair in maps],
        "switches": [(item.switches, item.found) for item in histories],
        "switches again": [(item.switches, item.again) for item in histories],
    }
    added = np.array([ratios[name] for name in ratios], dtype=np.float64)
    return replace(
        table,
        ratios=(*table.ratios, *ratios),
        sums=np.column_stack([table.sums, added[:, :, 0].T]),
        counts=np.column_stack([table.counts, added[:, :, 1].T]),
    )


def tables_of(results: Results, homes: Sequence[str]) -> dict[str, ScoreTable]:
    """Return what all scores over some homes are made of: of the maps, the answers, the best choice of instances."""
    units = {unit.scene: unit for unit in results.units.values() if not unit.failed}
    pairs = [results.pairs[key] for home in homes for key in sorted(results.pairs) if key[0] == home]
    class_of = class_mapping(pair.answer for pair in pairs)
    owners = [pair.scene for pair in pairs]
    return {
        "map": map_table([units[home] for home in homes]),
        "answers": score_table([pair.answer for pair in pairs], class_of, owners),
        "best": score_table([pair.selected for pair in pairs], class_of, owners),
    }


def homes_of(results: Results) -> list[str]:
    """Return the homes that were run to the end."""
    return sorted(unit.scene for unit in results.units.values() if not unit.failed and unit.pairs)


def fusion_ms(results: Results) -> tuple[str, str]:
    """Return the time of the fusion by keyframe, and of one fragment: means of a home, the median home of all."""
    by_keyframe, by_fragment = [], []
    for unit in results.units.values():
        if unit.failed:
            continue
        answers, fragments = unit.stages.get("fuse candidates"), unit.stages.get("fuse a fragment")
        # A thinned sample stands for all that were measured.
        answers_ms, fragments_ms = (
            item.count * float(np.mean(item.sample_ms)) if item else 0.0 for item in (answers, fragments)
        )
        by_keyframe.append((answers_ms + fragments_ms) / max(1, unit.keyframes))
        if fragments:
            by_fragment.append(fragments_ms / fragments.count)
    # The first home of a process also compiles and loads: not the mean.
    keyframe, fragment = (f"{np.median(values):.1f}" if values else "-" for values in (by_keyframe, by_fragment))
    return keyframe, fragment


def score_rows(runs: Mapping[str, Results]) -> list[list[str]]:
    """Return the table of scores, a row a method."""
    rows = [["method", *COLUMNS, "ms a keyframe", "ms a fragment", "s a home"]]
    for method, results in runs.items():
        homes = homes_of(results)
        if not homes:
            continue
        found = {name: intervals(table) for name, table in tables_of(results, homes).items()}
        cells = [percent(found[table].get(name)) for table, name in COLUMNS.values()]
        seconds = np.mean([unit.duration_s for unit in results.units.values() if not unit.failed])
        rows.append([f"**{method}**", *cells, *fusion_ms(results), f"{seconds:.1f}"])
    return rows


def percent(score: Interval | None) -> str:
    """Format a score in percent with its interval."""
    return format_score(score).replace("..", " to ")


def difference_rows(runs: Mapping[str, Results]) -> list[list[str]]:
    """Return the table of paired differences from the references, on the homes that both have."""
    rows = [["minus", *DIFFERENCES]]
    for reference in REFERENCES:
        for method, results in runs.items():
            if reference not in runs or method == reference:
                continue
            homes = sorted(set(homes_of(results)) & set(homes_of(runs[reference])))
            if not homes:
                continue
            one, other = tables_of(runs[reference], homes), tables_of(results, homes)
            found = {name: paired_differences(one[name], other[name]) for name in one}
            cells = []
            for title in DIFFERENCES:
                table, name = COLUMNS[title]
                change = found[table].get(name)
                cells.append("-" if change is None else signed(change[0]))
            rows.append([f"{method} minus {reference}", *cells])
    return rows


def signed(change: Interval) -> str:
    """Format a difference in points of percent with its interval."""
    if change.value is None:
        return "-"
    if change.low is None or change.high is None:
        return f"{100 * change.value:+.1f}"
    return f"{100 * change.value:+.1f} ({100 * change.low:+.1f} to {100 * change.high:+.1f})"


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Format rows as a table of docs/results.md."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "| " + " | ".join("---" for _ in rows[0]) + " |")
    return "\n".join(lines)


def section(level: str, data: Data, runs: Mapping[str, Results]) -> str:
    """Return what was measured with one kind of candidates as text for docs/results.md."""
    failed = [f"{method}: {unit.unit}: {unit.failed}" for method, found in runs.items() for unit in found.failed]
    programs = {unit.program for found in runs.values() for unit in found.units.values() if not unit.failed}
    title = "compact" if level == "compact" else f"oracle, errors: {level}"
    differences = difference_rows(runs)
    lines = [
        f"### Candidates: {title} ({len(data.scenes)} homes, `{data.spec}`)",
        "",
        markdown(score_rows(runs)),
        *(["", markdown(differences)] if len(differences) > 1 else []),
        "",
        "In percent; in brackets the 95 % interval over homes.",
        *([f"- made with {len(programs)} states of the program"] if len(programs) > 1 else []),
        *(f"- failed: {line}" for line in failed),
    ]
    return "\n".join(lines) + "\n"


def run_levels(
    levels: Sequence[str],
    methods: Sequence[str],
    data: Data,
    directory: Path,
    jobs: int,
    values: Mapping[str, object],
) -> dict[str, dict[str, Results]]:
    """Run every method with every kind of candidates over the same frames; return the results by both."""
    experiments = [
        Experiment(
            f"{level}-{method}",
            directory / f"{level}-{method}",
            build(RunConfiguration, {**values_of(level), "fusion.method": method, **values}),
        )
        for level in levels
        for method in methods
    ]
    progress = ProgressBar()
    try:
        with Processes(jobs) as workers:
            found = iter(run_experiments(experiments, data, workers, progress))
    finally:
        progress.close()
    return {level: {method: next(found) for method in methods} for level in levels}


def listed(text: str, known: Sequence[str], what: str) -> list[str]:
    """Return the names in a list with commas; ends the program for one that is not known."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise SystemExit(f"--{what}: expected some of {', '.join(known)}, got {text!r}")
    return names


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is not done yet, print and write the tables; 1 when a run failed."""
    known = ("none", *LEVELS, "compact")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default=TEST_SEEDS, help=f"generated homes (default: {TEST_SEEDS}, the test split)")
    parser.add_argument("--levels", default=",".join(known), help="kinds of candidates (default: all)")
    parser.add_argument("--methods", default=",".join(METHODS), help="methods of fusion (default: all)")
    parser.add_argument("--options", default=OPTIONS, help=f"how homes are drawn (default: {OPTIONS})")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: one a core)")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="for every configuration")
    parser.add_argument("--out", type=Path, help="folder of the results (default: out/instances-SEEDS)")
    chosen = parser.parse_args(arguments)
    import yaml

    values = {name: yaml.safe_load(text) for name, _, text in (item.partition("=") for item in chosen.set)}
    levels, methods = listed(chosen.levels, known, "levels"), listed(chosen.methods, METHODS, "methods")
    directory = chosen.out or Path("out") / f"instances-{chosen.seeds}"
    parts, failed = [], False
    for poses, group in (
        ("", [level for level in levels if level in CLEAN]),
        ("&pose_errors=noise", [level for level in levels if level not in CLEAN]),
    ):
        spec = f"rooms:{chosen.seeds}?{chosen.options}{poses}"
        data = Data(spec, scenes(spec))
        for level, runs in run_levels(group, methods, data, directory, chosen.jobs, values).items() if group else ():
            parts.append(section(level, data, runs))
            failed |= any(found.failed for found in runs.values())
            print("\n" + parts[-1], flush=True)
            write_whole(directory / "tables.md", "\n".join(parts))
    print(f"wrote {directory / 'tables.md'}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())

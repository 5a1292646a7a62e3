"""Let the suite run for long: the same walk again and again, an instruction every 20 s, and nothing may grow.

Usage: python benchmark/soak.py [--minutes 60] [--speed 4] [--every 20] [--loop back|on] [--budget 0] [--room 5]
                                [--width 640] [--out out/soak] [--suite]

The walk through a generated home is drawn once into a folder and played in a loop, faster than it was. ``--loop back``:
stamps and clock jump back at the end, so the mapping starts another session each time. ``--loop on``: they go on, so
that one map is walked through for the whole time; ``--budget`` bounds its memory [MiB] (memory_budget_mib).
Minutes and the time between instructions are those of the walk. Of the instructions some are replaced, the oldest are
cancelled, and each has to be answered.

Printed: the memory of each process after the warm-up (the first quarter) and at the end, its threads and open files,
the time from an image to the mapped frame, to the candidates and to the published instance in the second and in the
last quarter, what queues dropped, and what is left of processes and shared memory at the end. Ends with code 1 and a
sentence for each limit that was broken. Memory is what the process has written itself and shared memory, without the
files it has mapped.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lira_ros.cli.node_run import NAMESPACE, REMAPPINGS, START_LIMIT_S, isolated_environment
from lira_ros.cli.processes import NodeCommand, NodeProcesses
from lira_ros.datasets import open_sequence
from lira_ros.datasets.writer import write_hololens_folder

# Those that the launch file starts by default.
NODES = ("mapping_node", "reasoning_node", "fusion_node", "planning_node")
REPLAY = "replay_node"
# Things that stand in some homes and not in others, asked for in ways that cost the suite different work.
SENTENCES = (
    "Find the sofa.",
    "Where can we have dinner together?",
    "Find the red mug.",
    "What is on the table?",
    "Find all chairs.",
    "Find the largest lamp.",
    "Where can I take a nap?",
    "Find the elephant.",
    "Find something to read.",
    "Find the chair next to the table.",
)
ACTIVE_AT_ONCE = 5
REPLACE_EVERY = 4  # each fourth instruction takes the place of an active one
SAMPLE_PERIOD_S = 1.0
# A first start compiles; other work on the machine makes that slower than a start is otherwise allowed to be.
READY_S = 3 * START_LIMIT_S
# What the issue of a long run calls flat: growth of a process between the second quarter and the last.
LARGEST_GROWTH = 0.05
# A process of a few tens of MB changes by more than 5 % when an allocator takes one more arena (64 MiB are reserved,
# the first touch takes megabytes).
LEAST_GROWTH_MIB = 8.0
# On a machine that others use as well the same work takes different time; a queue that grows shows as far more.
LARGEST_SLOWDOWN = 2.0
LEAST_SLOWDOWN_S = 0.1
SHARED_MEMORY = Path("/dev/shm")
REMEMBERED_STAMPS = 20_000


@dataclass(frozen=True)
class Sample:
    """One look at one process. memory_mib: written by it or shared, without mapped files."""

    at_s: float
    memory_mib: float
    threads: int
    files: int


@dataclass
class Figures:
    """What a soak has found; times are seconds since the first frame."""

    seconds: float = 0.0
    frames: int = 0
    loops: int = 0
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    latencies: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    submitted: int = 0
    replaced: int = 0
    cancelled: int = 0
    answered: int = 0
    unanswered: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    dropped: dict[str, int] = field(default_factory=dict)
    longest_queues: dict[str, int] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)
    exit_codes: dict[str, int | None] = field(default_factory=dict)
    left_behind: list[str] = field(default_factory=list)

    def quarter(self, values: Sequence[tuple[float, float]], number: int) -> list[float]:
        """Return the values of (time, value) pairs within a quarter of the run, 0 to 3."""
        begin, end = number * self.seconds / 4, (number + 1) * self.seconds / 4
        return [value for at_s, value in values if begin <= at_s <= end]


def problems(figures: Figures) -> list[str]:
    """Return a sentence for each limit that was broken."""
    said = []
    for name, samples in figures.samples.items():
        for what, unit, growth, slack in (
            ("memory", "MiB", LARGEST_GROWTH, LEAST_GROWTH_MIB),
            ("threads", "threads", 0.0, 0.0),
            ("open files", "files", 0.0, 2.0),
        ):
            values = [(item.at_s, _value(item, what)) for item in samples]
            before, after = (figures.quarter(values, number) for number in (1, 3))
            if not before or not after:
                said.append(f"{name}: no sample of {what} in the second or the last quarter of the run")
                continue
            low, high = float(np.median(before)), float(np.median(after))
            if high > low + max(growth * low, slack):
                said.append(f"{name}: {what} grew from {low:.0f} to {high:.0f} {unit} after the warm-up")
    for stage, values in figures.latencies.items():
        before, after = (figures.quarter(values, number) for number in (1, 3))
        if before and after:
            low, high = (float(np.percentile(part, 95)) for part in (before, after))
            if high > LARGEST_SLOWDOWN * low + LEAST_SLOWDOWN_S:
                said.append(f"{stage}: p95 rose from {low * 1e3:.0f} to {high * 1e3:.0f} ms after the warm-up")
    said += [f"instruction {name} was never answered" for name in figures.unanswered]
    said += [f"an instruction was refused: {text}" for text in figures.refused]
    said += [f"{what} {count} times" for what, count in figures.failures.items()]
    said += [f"{name} ended with code {code}" for name, code in figures.exit_codes.items() if code != 0]
    said += [f"left behind: {what}" for what in figures.left_behind]
    return said


def _value(sample: Sample, what: str) -> float:
    return {"memory": sample.memory_mib, "threads": sample.threads, "open files": sample.files}[what]


def look_at(process_id: int, at_s: float) -> Sample | None:
    """Return memory, threads and files of a process; None for one that has ended."""
    folder = Path("/proc") / str(process_id)
    try:
        status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
        files = len(os.listdir(folder / "fd"))
    except OSError:
        return None
    if "RssAnon" not in status:  # a zombie
        return None
    memory_kib = sum(int(status[name].split()[0]) for name in ("RssAnon", "RssShmem"))
    return Sample(at_s, memory_kib / 1024, int(status["Threads"]), files)


def shared_memory_of(process_id: int | str) -> set[str]:
    """Return the names of the files in /dev/shm that a process has mapped."""
    try:
        maps = (Path("/proc") / str(process_id) / "maps").read_text()
    except OSError:
        return set()
    prefix = f" {SHARED_MEMORY}/"
    return {line.split(prefix, 1)[1].split(" (deleted)")[0] for line in maps.splitlines() if prefix in line}


def left_of(names: set[str]) -> list[str]:
    """Return which of these files in /dev/shm are still there although no process uses them."""
    there = sorted(name for name in names if (SHARED_MEMORY / name).exists())
    if not there:
        return []
    used: set[str] = set()
    for process_id in (entry for entry in os.listdir("/proc") if entry.isdigit()):
        used |= shared_memory_of(process_id)
    return [f"{SHARED_MEMORY / name}" for name in there if name not in used]


class Watch:
    """Listens to the suite: how long it takes, what it answers, what its queues say."""

    def __init__(self, client: Any, figures: Figures) -> None:
        from diagnostic_msgs.msg import DiagnosticArray
        from geometry_msgs.msg import PoseStamped
        from sensor_msgs.msg import CameraInfo

        from lira_msgs.msg import CandidateArray, InstanceMapUpdate, InstructionStatusArray
        from lira_ros.ros import qos

        self._client = client
        self._figures = figures
        self._first_s: float | None = None
        self._newest_ns = 0
        self._came_s: dict[int, float] = {}
        self._order: deque[int] = deque()
        self.answered: set[str] = set()
        self.walked_s = 0.0
        for kind, topic, callback, profile in (
            (CameraInfo, REMAPPINGS["color/camera_info"], self._sensed, qos.sensor_input(100)),
            (PoseStamped, "pose", self._mapped, qos.stream(100)),
            (CandidateArray, "candidates", self._candidates, qos.stream(200)),
            (InstanceMapUpdate, "instance_map/updates", self._update, qos.instance_updates()),
            (InstructionStatusArray, "instruction_status", self._statuses, qos.latched()),
            (DiagnosticArray, "/diagnostics", self._diagnosed, qos.stream(50)),
        ):
            client.node.create_subscription(kind, topic, callback, profile)

    @property
    def at_s(self) -> float:
        """Return the seconds since the first image, 0 before it."""
        return 0.0 if self._first_s is None else time.monotonic() - self._first_s

    def spin(self, seconds: float) -> None:
        """Receive for a while."""
        until_s = time.monotonic() + seconds
        while (left_s := until_s - time.monotonic()) > 0:
            self._client.executor.spin_once(timeout_sec=left_s)

    def _sensed(self, message: Any) -> None:
        stamp_ns = _stamp_ns(message)
        self._first_s = self._first_s or time.monotonic()
        if stamp_ns in self._came_s:
            self._order.remove(stamp_ns)
        elif len(self._order) >= REMEMBERED_STAMPS:
            del self._came_s[self._order.popleft()]
        self._came_s[stamp_ns] = time.monotonic()
        self._order.append(stamp_ns)
        self._figures.frames += 1
        if stamp_ns < self._newest_ns:
            self._figures.loops += 1
        else:
            self.walked_s += (stamp_ns - self._newest_ns) * 1e-9 if self._newest_ns else 0.0
        self._newest_ns = stamp_ns

    def _mapped(self, message: Any) -> None:
        self._note("image to mapped frame", _stamp_ns(message))

    def _candidates(self, message: Any) -> None:
        self._note("image to candidates", _stamp_ns(message))

    def _update(self, message: Any) -> None:
        from lira_ros.ros.conversions.time import stamp_to_ns

        if message.changed:
            self._note(
                "image to published instance", max(stamp_to_ns(item.last_seen) for item in message.changed), 10.0
            )

    def _note(self, stage: str, stamp_ns: int, limit_s: float = float("inf")) -> None:
        came_s = self._came_s.get(stamp_ns)
        if came_s is not None and time.monotonic() - came_s < limit_s:
            self._figures.latencies.setdefault(stage, []).append((self.at_s, time.monotonic() - came_s))

    def _statuses(self, message: Any) -> None:
        self.answered |= {item.instruction_id for item in message.statuses if item.keyframes_answered > 0}

    def _diagnosed(self, message: Any) -> None:
        from lira_ros.ros.diagnostics import read_problems, read_queues

        figures = self._figures
        for status in message.status:
            node = status.name.rsplit("/", 1)[-1]
            values = {pair.key: pair.value for pair in status.values}
            for name, queue in read_queues(values).items():
                key = f"{node} {name}"
                figures.dropped[key] = queue["dropped"]
                figures.longest_queues[key] = max(queue["waiting"], figures.longest_queues.get(key, 0))
            for name, count in read_problems(values).items():
                if name.endswith(" failed"):
                    figures.failures[f"{node}: {name}"] = count


def _stamp_ns(message: Any) -> int:
    return int(message.header.stamp.sec * 10**9 + message.header.stamp.nanosec)


class Instructions:
    """Submits, replaces and cancels in a fixed order; every instruction has to be answered before it goes."""

    def __init__(self, client: Any, watch: Watch, figures: Figures) -> None:
        self._client = client
        self._watch = watch
        self._figures = figures
        self._active: deque[str] = deque()

    def next(self) -> None:
        """Give the next instruction."""
        number = self._figures.submitted
        text = SENTENCES[number % len(SENTENCES)]
        if number % REPLACE_EVERY == REPLACE_EVERY - 1 and self._active:
            name = self._active[0]
            self._active.rotate(-1)
            self._settle(name)
            self._figures.replaced += 1
            reply = self._client.submit(text, name, replace=True)
        else:
            if len(self._active) >= ACTIVE_AT_ONCE:
                oldest = self._active.popleft()
                self._settle(oldest)
                if not self._client.cancel(oldest).success:
                    self._figures.refused.append(f"cancel {oldest}")
                self._figures.cancelled += 1
            name = f"soak-{number}"
            self._active.append(name)
            reply = self._client.submit(text, name)
        self._figures.submitted += 1
        if not reply.success:
            self._figures.refused.append(f"{text!r}: {reply.message}")

    def finish(self) -> None:
        """Count those that are still active."""
        for name in self._active:
            self._settle(name)

    def _settle(self, name: str) -> None:
        if name in self._watch.answered:
            self._figures.answered += 1
            self._watch.answered.discard(name)
        else:
            self._figures.unanswered.append(name)


def drawn(room: int, width_px: int, duration_s: float, folder: Path, rate_hz: float = 6.0) -> Path:
    """Return the folder with the walk through a home; drawn when it is not there yet."""
    target = folder / f"room-{room}-{width_px}-{duration_s:g}-{rate_hz:g}"
    if not target.is_dir():
        sequence = open_sequence(f"room:{room}", width_px=width_px, duration_s=duration_s, rate_hz=rate_hz)
        write_hololens_folder(sequence, target)
    return target


def commands(options: argparse.Namespace) -> list[NodeCommand]:
    """Return the nodes of the suite."""
    values = {"use_sim_time": True}
    mapping = {"mapping.memory_budget_mib": options.budget} if options.budget else {}
    if options.suite:
        return [NodeCommand("suite", NAMESPACE, REMAPPINGS, {**values, **mapping})]
    return [
        NodeCommand(name, NAMESPACE, REMAPPINGS, {**values, **(mapping if name == "mapping_node" else {})})
        for name in NODES
    ]


def soak(options: argparse.Namespace) -> Figures:
    """Run the suite for as long as the options say and return what was found."""
    os.environ.update(isolated_environment())
    os.environ.setdefault("ROS_LOG_DIR", str(options.out / "log"))
    from lira_ros.ros.client import InstructionClient

    recording = drawn(options.room, options.width, options.walk, options.out)
    figures = Figures()
    names: set[str] = set()
    replay = {
        "recording": str(recording),
        "rate": options.speed,
        "loop": True,
        "loop_goes_on": options.loop == "on",
        "publish_clock": True,
        "wait_for_subscribers": True,
    }
    with NodeProcesses(options.out / "log", {}) as processes:
        processes.start(commands(options))
        with InstructionClient(NAMESPACE, START_LIMIT_S) as client:
            watch = Watch(client, figures)
            instructions = Instructions(client, watch, figures)
            until_s = time.monotonic() + READY_S
            while (reason := client.not_ready()) is not None:
                processes.check()
                if time.monotonic() > until_s:
                    raise RuntimeError(f"the nodes are not ready after {READY_S:.0f} s: {reason}")
            processes.start([NodeCommand(REPLAY, NAMESPACE, {}, replay)])
            duration_s, period_s = options.minutes * 60 / options.speed, options.every / options.speed
            next_s = 0.0
            while watch.at_s < duration_s:
                watch.spin(min(SAMPLE_PERIOD_S, period_s))
                processes.check()
                if not figures.frames:
                    if time.monotonic() > until_s + START_LIMIT_S:
                        raise RuntimeError(f"no image came; the logs are in {options.out / 'log'}")
                    continue
                if watch.at_s >= next_s and next_s < duration_s:  # one at the very end would get no answer
                    next_s += period_s
                    instructions.next()
                for name, process_id in processes.ids.items():
                    names |= shared_memory_of(process_id)
                    sample = look_at(process_id, watch.at_s)
                    if sample is not None:
                        figures.samples.setdefault(name, []).append(sample)
                if options.verbose and int(watch.at_s) % 10 == 0:
                    print(progress(figures, watch.at_s), flush=True)
            figures.seconds = watch.at_s
            watch.spin(period_s)
            instructions.finish()
            names |= shared_memory_of(os.getpid())
        process_ids = dict(processes.ids)
        figures.exit_codes = processes.stop()
    figures.left_behind = left_of(names) + [
        f"process {name}" for name, process_id in process_ids.items() if look_at(process_id, 0.0) is not None
    ]
    return figures


def progress(figures: Figures, at_s: float) -> str:
    """Return one line about where a run is."""
    newest = {name.removesuffix("_node"): samples[-1] for name, samples in figures.samples.items()}
    memory = ", ".join(f"{name} {item.memory_mib:.0f} MiB {item.threads} thr" for name, item in newest.items())
    return f"{at_s:6.0f} s | {figures.frames} frames | {figures.submitted} instructions | {memory}"


def table(figures: Figures) -> str:
    """Return the figures for a person."""
    lines = [
        f"{figures.seconds:.0f} s, {figures.frames} frames, {figures.loops} jumps back; {figures.submitted} "
        f"instructions: {figures.answered} answered, {figures.replaced} replaced, {figures.cancelled} cancelled",
        "",
        f"{'process':<16} {'after warm-up':>14} {'at the end':>11} {'growth':>8} {'highest':>9}   threads   files",
    ]
    for name, samples in figures.samples.items():
        memory = [(item.at_s, item.memory_mib) for item in samples]
        before, after = (figures.quarter(memory, number) or [float("nan")] for number in (1, 3))
        low, high = float(np.median(before)), float(np.median(after))
        highest = max(item.memory_mib for item in samples)
        threads, files = (sorted({getattr(item, key) for item in samples}) for key in ("threads", "files"))
        lines.append(
            f"{name:<16} {low:>10.0f} MiB {high:>7.0f} MiB {100 * (high / low - 1):>+7.1f}% {highest:>5.0f} MiB   "
            f"{threads[0]}-{threads[-1]}   {files[0]}-{files[-1]}"
        )
    lines += ["", f"{'latency':<28} {'second quarter p50, p95':>26} {'last quarter p50, p95':>26}"]
    for stage, values in figures.latencies.items():
        parts = []
        for number in (1, 3):
            part = figures.quarter(values, number) or [float("nan")]
            median, high = np.percentile(part, (50, 95)) * 1e3
            parts.append(f"{median:.0f}, {high:.0f} ms")
        lines.append(f"{stage:<28} {parts[0]:>26} {parts[1]:>26}")
    dropped = Counter({key: count for key, count in figures.dropped.items() if count})
    lines += ["", "dropped: " + (", ".join(f"{key} {count}" for key, count in dropped.items()) or "nothing")]
    longest = ", ".join(f"{key} {length}" for key, length in figures.longest_queues.items() if length > 1)
    lines += [f"longest queues seen: {longest or 'none'}", f"exit codes: {figures.exit_codes}"]
    return "\n".join(lines)


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60.0, help="minutes of the walk")
    parser.add_argument("--speed", type=float, default=4.0, help="how much faster than recorded")
    parser.add_argument("--every", type=float, default=20.0, help="seconds of the walk between instructions")
    parser.add_argument("--loop", choices=("back", "on"), default="back", help="whether stamps jump back or go on")
    parser.add_argument("--budget", type=int, default=0, help="memory_budget_mib of the map, 0 = none")
    parser.add_argument("--room", type=int, default=5, help="which generated home")
    parser.add_argument("--width", type=int, default=640, help="width of the pictures")
    parser.add_argument("--walk", type=float, default=1e9, help="seconds of the walk before it starts again")
    parser.add_argument("--suite", action="store_true", help="mapping, reasoning and fusion in one process")
    parser.add_argument("--verbose", action="store_true", help="say every ten seconds where it is")
    parser.add_argument("--out", type=Path, default=Path("out/soak"), help="folder of the walk, logs and figures")
    return parser.parse_args(given)


def main() -> int:
    """Soak, print the figures, and say what is wrong."""
    options = arguments()
    figures = soak(options)
    print(table(figures))
    (options.out / f"figures-{options.loop}.json").write_text(json.dumps(asdict(figures)), encoding="utf-8")
    said = problems(figures)
    for sentence in said:
        print(f"NOT GOOD: {sentence}", file=sys.stderr)
    print("" if said else "memory, threads, latency and queues stayed flat; nothing was left behind")
    return 1 if said else 0


if __name__ == "__main__":
    raise SystemExit(main())

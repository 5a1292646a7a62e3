"""Run the steps of the setup: say what happens, skip what is done, and end with one clear sentence on failure."""

from __future__ import annotations

import hashlib
import inspect
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

REPORT_EVERY_S = 10.0


class SetupError(RuntimeError):
    """The setup cannot go on; the text is a sentence for a person and names what mends it."""


@dataclass(frozen=True)
class Step:
    """One step: what it is called, what it does, and everything that makes it necessary to do it again.

    `action` returns a short remark, or an empty string. `inputs` are files, folders (with all files below) and values
    that the result depends on; `after` names steps whose repetition makes this one necessary again.
    """

    name: str
    title: str
    action: Callable[[], str]
    inputs: Sequence[Path | str] = field(default_factory=tuple)
    after: Sequence[str] = field(default_factory=tuple)


def fingerprint(step: Step, earlier: Mapping[str, str]) -> str:
    """Return the hash of all that a step depends on, its own source code included."""
    digest = hashlib.sha256(inspect.getsource(step.action).encode())
    for item in step.inputs:
        if isinstance(item, str):
            digest.update(b"\0value\0" + item.encode())
            continue
        for file in _files(item):
            digest.update(b"\0file\0" + str(file.relative_to(item.parent)).encode() + b"\0" + file.read_bytes())
    for name in step.after:
        digest.update(b"\0after\0" + earlier[name].encode())
    return digest.hexdigest()


def _files(path: Path) -> list[Path]:
    """Return the file itself, or all files below a folder that are not products of a build."""
    if path.is_file():
        return [path]
    products = {"__pycache__", "build"}
    return sorted(
        file
        for file in path.rglob("*")
        if file.is_file()
        and not products.intersection(file.parts[len(path.parts) :])
        and not any(part.endswith(".egg-info") for part in file.parts)
    )


def run_steps(steps: Iterable[Step], stamp_folder: Path, say: Callable[[str], None] = print) -> int:
    """Run every step whose inputs changed since it last succeeded; returns how many were run.

    `stamp_folder` holds one file per finished step; it may come into being with the first step.
    """
    steps = list(steps)
    fingerprints: dict[str, str] = {}
    done = 0
    for number, step in enumerate(steps, start=1):
        fingerprints[step.name] = fingerprint(step, fingerprints)
        stamp = stamp_folder / step.name
        if stamp.is_file() and stamp.read_text() == fingerprints[step.name]:
            continue
        say(f"[{number}/{len(steps)}] {step.title}")
        started = time.monotonic()
        stamp.unlink(missing_ok=True)
        remark = step.action()
        say(f"      done in {time.monotonic() - started:.0f} s" + (f": {remark}" if remark else ""))
        stamp_folder.mkdir(parents=True, exist_ok=True)
        stamp.write_text(fingerprints[step.name])
        done += 1
    return done


def run_command(
    command: Sequence[str | Path],
    log: Path,
    failure: str,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> None:
    """Run a program with its output in a log file; now and then show that it is still alive.

    Raises SetupError with `failure`, the end of the output and the place of the log when it does not succeed.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=dict(environment) if environment is not None else None,
            cwd=folder,
        )
        try:
            while True:
                try:
                    process.wait(REPORT_EVERY_S)
                    break
                except subprocess.TimeoutExpired:
                    last = _last_lines(log, 1)
                    print(f"      {time.monotonic() - started:4.0f} s  {last[0][:90] if last else ''}", flush=True)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
    if process.returncode != 0:
        lines = "\n".join("    " + line[:200] for line in _last_lines(log, 12))
        print(f"The last lines of {log}:\n{lines}", file=sys.stderr)
        raise SetupError(failure)


def _last_lines(log: Path, count: int) -> list[str]:
    """Return the last lines of a log that say something."""
    return [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()][-count:]

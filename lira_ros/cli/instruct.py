"""lira instruct: give an instruction to running nodes and follow it, list what is asked, or cancel."""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # only this subcommand of people without ROS needs rclpy
    from lira_ros.fusion.contracts import Instance, InstructionStatus
    from lira_ros.ros.searching import Lira, Search

# Exit codes besides 0 = found and 1 = refused or failed, for scripts.
NONE_CONFORMS, NOT_IN_TIME = 3, 4
# How often the terminal is written anew [s].
PERIOD_S = 0.25


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser], summary: str) -> None:
    """Add the subcommand; ``summary`` is its line in the list of commands."""
    parser = subparsers.add_parser(
        "instruct",
        help=summary,
        description="Give an instruction to running nodes and show how the search goes until something is found or "
        "nothing conforms. The instruction stays active; --cancel ends it.",
        epilog="Exit code: 0 found (or done), 1 refused or failed, 3 nothing conforms, 4 not found in time.",
    )
    parser.add_argument("text", nargs="?", help="what to look for, in your own words")
    parser.add_argument("--id", default="", help="id of the instruction (made up when left out)")
    parser.add_argument("--replace", action="store_true", help="replace the instruction with this id")
    parser.add_argument("--follow", action="store_true", help="go on after the first find, until --for or Ctrl-C")
    parser.add_argument("--for", dest="limit_s", type=float, metavar="S", help="search for so long at most [s]")
    parser.add_argument("--no-wait", action="store_true", help="only give the instruction")
    parser.add_argument("--list", action="store_true", help="list the instructions and where they stand")
    parser.add_argument("--cancel", metavar="ID", help="cancel an instruction; 'all' cancels every one")
    parser.add_argument("--namespace", default="lira", help="namespace of the nodes (default: lira)")
    parser.add_argument("--timeout", type=float, default=10.0, metavar="S", help="how long to wait for the nodes [s]")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Call the services and follow the search; return the exit code of the description."""
    from lira_ros.ros.client import InstructionClient
    from lira_ros.ros.searching import Lira

    if options.limit_s is not None and not options.limit_s > 0:
        print(f"lira instruct: --for: expected more than 0 s, got {options.limit_s:g}", file=sys.stderr)
        return 2
    if options.text and not options.list and options.cancel is None and not options.no_wait:
        with Lira(options.namespace, options.timeout) as lira:
            search = lira.submit(options.text, options.id, replace=options.replace)
            print(search.understood)
            return follow(lira, search, options)
    with InstructionClient(options.namespace, options.timeout) as client:
        if options.list:
            reply = client.list()
        elif options.cancel is not None:
            reply = client.cancel("" if options.cancel == "all" else options.cancel)
        elif options.text:
            reply = client.submit(options.text, options.id, options.replace)
        else:
            print("lira instruct: say what to look for, or use --list or --cancel ID", file=sys.stderr)
            return 2
    print(reply.message)
    return 0 if reply.success else 1


def follow(lira: Lira, search: Search, options: argparse.Namespace) -> int:
    """Show the search until it has ended, something is found or time is up; return the exit code."""
    from lira_ros.fusion.contracts import SearchState

    screen = Screen(sys.stdout.isatty())
    began_s = time.monotonic()
    shown: dict[int, str] = {}
    while True:
        lira.listen(PERIOD_S)
        status, elapsed_s = search.status, time.monotonic() - began_s
        here = {instance.id: instance_line(instance, search.id) for instance in search.instances}
        for number, line in here.items():
            if number not in shown:
                screen.say(f"  + {line}")
        for number in shown.keys() - here.keys():
            screen.say(f"  - #{number} does not conform any more, or is gone")
        shown = here
        screen.state(progress_line(status, elapsed_s), (status.state, status.reason if not here else ""))
        if status.state is SearchState.FOUND and here and not options.follow:
            screen.say(status.reason)
            return 0
        if status.state is SearchState.NONE_CONFORM and not options.follow:
            screen.say(status.reason)
            return NONE_CONFORMS
        if status.state in (SearchState.FAILED, SearchState.CANCELLED):
            screen.say(status.reason)
            return 1
        if options.limit_s is not None and elapsed_s > options.limit_s:
            screen.say(status.reason)
            return 0 if here else NOT_IN_TIME


class Screen:
    """Writes to a terminal, whose last line tells the state and is written over, or to a file, line by line."""

    def __init__(self, is_terminal: bool) -> None:
        self._is_terminal = is_terminal
        self._told: object = None

    def say(self, text: str) -> None:
        """Write a line that stays."""
        print(f"\r\033[K{text}" if self._is_terminal else text, flush=True)

    def state(self, text: str, key: object) -> None:
        """Write the state over the last one; to a file only when ``key`` is another than before."""
        if self._is_terminal:
            width = shutil.get_terminal_size().columns - 1  # a line that wraps cannot be written over
            print(f"\r\033[K{text[:width]}", end="", flush=True)
        elif key != self._told:
            print(text, flush=True)
        self._told = key


def progress_line(status: InstructionStatus, elapsed_s: float) -> str:
    """Return one line about how far a search is."""
    return (
        f"{elapsed_s:5.0f} s  {status.state.name.lower().replace('_', ' '):<12}  {status.keyframes_answered} keyframes"
        f" looked at, {status.keyframes_pending} to come, {status.instances_judged} things compared,"
        f" {status.instances_found} conform"
    )


def instance_line(instance: Instance, instruction_id: str) -> str:
    """Return one line about an instance: number, name, how well it fits, where it is, how large, and why."""
    verdict = instance.verdicts.get(instruction_id)
    x, y, z = instance.centroid
    sides = " x ".join(f"{side:.2f}" for side in instance.box.size_m)
    said = "" if verdict is None else f" {verdict.score:.2f}"
    why = "" if verdict is None else f": {verdict.reason}"
    return f"#{instance.id} {instance.label or 'thing'}{said} at ({x:.2f}, {y:.2f}, {z:.2f}) m, {sides} m{why}"

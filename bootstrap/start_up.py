"""Start-up hook of an environment that uses an installed ROS 2: give every terminal the variables of that ROS 2.

Copied into the environment by the setup, next to a JSON file with the recorded variables. The dynamic loader reads
LD_LIBRARY_PATH only when a program starts; so where something is missing, the interpreter is started once more with
everything in place. In a terminal in which ROS 2 is sourced, and in child processes, that was done already.
"""

import json
import os
import sys

GUARD = "LIRA_ROS_ENVIRONMENT"


def completed(recorded, present):
    """Return the variables of `present` with those of `recorded` added: path lists joined, plain values kept."""
    result = dict(present)
    for name, value in recorded.items():
        if name.endswith("PATH"):
            entries = [entry for entry in present.get(name, "").split(os.pathsep) if entry]
            missing = [entry for entry in value.split(os.pathsep) if entry and entry not in entries]
            result[name] = os.pathsep.join(missing + entries)
        else:
            result.setdefault(name, value)
    return result


def apply():
    """Start this interpreter once more with the recorded variables, unless they are in place."""
    if os.environ.get(GUARD) == sys.prefix or sys.platform != "linux":
        return
    with open(os.path.splitext(__file__)[0] + ".json", encoding="utf-8") as file:
        recorded = json.load(file)
    environment = completed(recorded, os.environ)
    environment[GUARD] = sys.prefix
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)

"""lira doctor: say in plain words what is installed, what a running robot lacks, and the line that mends it."""

from __future__ import annotations

import argparse
import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lira_ros import presets
from lira_ros.configuration import ConfigurationError
from lira_ros.doctor.cameras import judge_cameras
from lira_ros.doctor.finding import Finding, bad, exit_code, good, lines, note
from lira_ros.doctor.installation import judge_installation, judge_server
from lira_ros.doctor.observation import Observation, Setup
from lira_ros.doctor.report import report, write
from lira_ros.doctor.system import DdsFacts, judge_clock, judge_dds, judge_machine, judge_mismatches, judge_nodes
from lira_ros.doctor.transforms import judge_transforms

if TYPE_CHECKING:
    from lira_ros.ros.graph_observer import GraphObserver

# Long enough for a stable rate and for the poses of the first images, short enough to wait for.
OBSERVE_S = 5.0
LEAST_OBSERVE_S, MOST_OBSERVE_S = 0.5, 600.0
# What the preset "generic" reads, below the namespace of lira.
CAMERA_INPUTS = ("color/image", "color/camera_info", "depth/image", "depth/camera_info")

EPILOG = """\
Without --live or --no-live it looks at the installation, and at the ROS graph as well where there is one. Every finding
that is not ok is followed by the line that mends it (->). FAIL: nothing works without it; note: it could be better.

exit code: 0 everything required is well, 1 something required is wrong, 2 wrong usage

  lira doctor                                   installation, and the running robot if there is one
  lira doctor --live --json report.json         the running robot only, with a report for bug reports
  lira doctor --live --camera zed               before lira runs: is the camera as the preset wants it?
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser], summary: str) -> None:
    """Add the subcommand; ``summary`` is its line in the list of commands."""
    parser = subparsers.add_parser(
        "doctor", help=summary, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--live",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="look at the running ROS graph only, which must be there; --no-live: at the installation only",
    )
    parser.add_argument("--namespace", default="lira", help="namespace of lira's nodes (lira)")
    parser.add_argument(
        "--camera",
        default="",
        metavar="PRESET",
        help="look at the topics of this camera preset (name or .yaml file), not those of the running mapping_node",
    )
    parser.add_argument("--pose", default="tf", metavar="PRESET", help="pose preset that goes with --camera (tf)")
    parser.add_argument(
        "--seconds", type=float, default=OBSERVE_S, help=f"how long to look at the running graph ({OBSERVE_S:g})"
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="also write everything to a JSON file, without secrets"
    )
    parser.add_argument("--skip-dds", action="store_true", help="do not send test messages between two processes")
    parser.add_argument("--server", default="", metavar="URL", help="see whether this server answers (remote.url)")
    parser.add_argument(
        "--key-variable", default="", metavar="NAME", help="environment variable with the key of the server"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print all findings; return 0 when everything required is well, 1 otherwise."""
    if not LEAST_OBSERVE_S <= options.seconds <= MOST_OBSERVE_S:
        raise ConfigurationError(
            f"--seconds: expected {LEAST_OBSERVE_S:g} to {MOST_OBSERVE_S:g}, got {options.seconds:g}"
        )
    environment = dict(os.environ)  # before lira's own DDS profile is added to it
    findings: list[Finding] = []
    observation = None
    if not options.live:
        findings += _printed(judge_installation())
    if options.server:
        findings += _printed([judge_server(options.server, options.key_variable)])
    facts = _facts(environment)
    findings += _printed(judge_dds(facts))
    if options.live is not False:
        seen, observation = _live(options, facts)
        findings += _printed(seen)
    if options.live is not True and observation is None and not options.skip_dds:
        findings += _printed([_delivery()])
    if options.json is not None:
        write(options.json, report(findings, facts, observation))
    failed = ", ".join(dict.fromkeys(finding.subject for finding in findings if finding.failed))
    print(f"\nTo be mended: {failed}." if failed else "\nEverything that is needed is here.")
    return exit_code(findings)


def _printed(findings: list[Finding]) -> list[Finding]:
    """Print findings as soon as they are known, for looking takes some seconds."""
    for line in lines(findings):
        print(line, flush=True)
    return findings


def _delivery() -> Finding:
    if importlib.util.find_spec("rclpy") is None:
        return bad("dds", "cannot be tried without rclpy", "source /opt/ros/jazzy/setup.bash, or run make setup")
    from lira_ros.ros.delivery import try_delivery

    result = try_delivery()
    return good("dds", result.message) if result.well else bad("dds", result.message, result.mend)


def _facts(environment: Mapping[str, str]) -> DdsFacts:
    if importlib.util.find_spec("rclpy") is None:
        return DdsFacts.read(environment, environment.get("RMW_IMPLEMENTATION", ""), "")
    from lira_ros.ros.dds import middleware, share_directory

    shipped = str(share_directory(environment) / "config" / "fastdds.xml")
    return DdsFacts.read(environment, middleware(), shipped)


def _live(options: argparse.Namespace, facts: DdsFacts) -> tuple[list[Finding], Observation | None]:
    """Return what is found of the running ROS graph; without a graph no observation."""
    if importlib.util.find_spec("rclpy") is None:
        said = "cannot be looked at without rclpy"
        mend = "source /opt/ros/jazzy/setup.bash, or run make setup"
        return [bad("ros graph", said, mend) if options.live else note("ros graph", said, mend)], None
    from lira_ros.ros.graph_observer import GraphObserver

    if options.camera:
        _given(options)  # a preset that cannot be read is said before anything is waited for
    with GraphObserver(options.namespace) as observer:
        if not observer.discover():
            domain = facts.environment.get("ROS_DOMAIN_ID", "0")
            if not options.live:
                return [good("ros graph", f"no other node runs in domain {domain}: nothing to look at")], None
            mend = "ros2 launch lira_ros lira.launch.py, with the same ROS_DOMAIN_ID and network as here"
            return [bad("ros graph", f"no other node runs in domain {domain}", mend)], None
        setup, topics, findings = _choose(options, observer)
        print(f"\nLooking at {len(topics)} topics for {options.seconds:g} s, as {setup.source} has them.", flush=True)
        observation = observer.observe(setup, topics, options.seconds)
    findings += judge_nodes(observation) + judge_clock(observation)
    findings += judge_cameras(observation) + judge_transforms(observation)
    findings += judge_mismatches(observation) + judge_machine(observation)
    return findings, observation


def _choose(options: argparse.Namespace, observer: GraphObserver) -> tuple[Setup, dict[str, str], list[Finding]]:
    """Return what lira wants: as the running mapping node says, or a preset, given or guessed from the topics."""
    folder = _presets_folder()
    running = {} if options.camera or not observer.mapping_node else observer.parameters(observer.mapping_node)
    if running:
        topics = observer.inputs_of_mapping_node()
        fitting = _fitting_preset(folder, set(topics.values()))
        source, driver = f"the running {observer.mapping_node}", fitting.driver if fitting else ""
        return Setup.of(running, namespace=observer.namespace, source=source, driver=driver), topics, []
    fitting = _fitting_preset(folder, set(observer.graph()))
    camera, pose = _given(options) if options.camera else (fitting, presets.read("pose", options.pose, folder))
    if camera is None:
        said = "neither the mapping_node nor the topics of a known camera are there"
        mend = "start the camera; one of your own: lira doctor --live --camera my_camera.yaml"
        # Unasked, somebody else's nodes are no reason to fail.
        finding = bad("camera", said, mend) if options.live else note("camera", said, mend)
        return Setup(namespace=observer.namespace, source="nothing"), {}, [finding]
    values = {**camera.parameters.get("mapping_node", {}), **pose.parameters.get("mapping_node", {})}
    setup = Setup.of(values, namespace=observer.namespace, source=f"the preset {camera.name}", driver=camera.driver)
    topics = {**camera.topics, **pose.topics} or {role: role for role in CAMERA_INPUTS}
    return setup, observer.resolve(topics, setup.image_transport), []


def _presets_folder() -> Path:
    from lira_ros.ros.dds import share_directory

    return share_directory() / "config"


def _given(options: argparse.Namespace) -> tuple[presets.Preset, presets.Preset]:
    """Return the camera and the pose preset of the command line; raises PresetError."""
    folder = _presets_folder()
    return presets.read("camera", options.camera, folder), presets.read("pose", options.pose, folder)


def _fitting_preset(folder: Path, topics: set[str]) -> presets.Preset | None:
    """Return the shipped camera preset whose colour and depth topics are among these, below a robot or not."""
    for name in presets.names("camera", folder):
        preset = presets.read("camera", name, folder)
        images = [preset.topics[role] for role in ("color/image", "depth/image") if role in preset.topics]
        if images and all(any(topic.endswith(image) for topic in topics) for image in images):
            return preset
    return None

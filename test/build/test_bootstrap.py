"""The setup: where ROS 2 comes from, what a machine lacks, and that nothing is done twice."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY))

from bootstrap import machine, page, start_up  # noqa: E402
from bootstrap.plan import Plan  # noqa: E402
from bootstrap.progress import SetupError, Step, run_command, run_steps  # noqa: E402
from bootstrap.ros_choice import RosChoice, choose_ros  # noqa: E402


def works() -> str:
    return ""


@pytest.mark.parametrize(
    ("environment", "distribution"),
    [
        ({}, ""),
        ({"ROS_DISTRO": "jazzy"}, ""),  # a container image that names it without sourcing it
        ({"AMENT_PREFIX_PATH": "/opt/ros/jazzy"}, ""),
        ({"ROS_DISTRO": "humble", "AMENT_PREFIX_PATH": "/opt/ros/humble", "ROS_VERSION": "2"}, "humble"),
        ({"ROS_DISTRO": "Jazzy", "AMENT_PREFIX_PATH": "/ws/install:/opt/ros/jazzy"}, "jazzy"),
        ({"ROS_DISTRO": "kilted", "AMENT_PREFIX_PATH": "/opt/ros/kilted"}, "kilted"),
    ],
)
def test_ros_is_chosen(environment, distribution):
    choice = choose_ros(environment, works)
    assert choice.distribution == distribution
    assert choice.installed == bool(distribution)


def test_wheels_are_chosen_without_trying_rclpy():
    def fail() -> str:
        raise AssertionError("rclpy must not be tried where nothing is sourced")

    assert choose_ros({}, fail) == RosChoice("")


@pytest.mark.parametrize(
    ("environment", "problem", "words"),
    [
        ({"ROS_DISTRO": "foxy", "AMENT_PREFIX_PATH": "/opt/ros/foxy"}, "", ["Foxy", "Humble or newer"]),
        ({"ROS_DISTRO": "noetic", "ROS_VERSION": "1"}, "", ["ROS 1", "not sourced"]),
        (
            {"ROS_DISTRO": "humble", "AMENT_PREFIX_PATH": "/opt/ros/humble"},
            "No module named 'rclpy._rclpy_pybind11'",
            ["Humble", "No module named", "PYTHON="],
        ),
    ],
)
def test_a_ros_that_cannot_be_used_is_refused_with_what_mends_it(environment, problem, words):
    with pytest.raises(SetupError) as refusal:
        choose_ros(environment, lambda: problem)
    assert all(word in str(refusal.value) for word in words)
    assert "\n" not in str(refusal.value)


def test_plan_with_wheels_keeps_foreign_variables_out():
    plan = Plan(
        RosChoice(""), {"PATH": "/usr/bin", "PYTHONPATH": "/elsewhere", "LD_LIBRARY_PATH": "/lib", "HOME": "/h"}
    )
    assert {"PYTHONPATH", "LD_LIBRARY_PATH"}.isdisjoint(plan.environment)
    assert plan.environment["HOME"] == "/h"
    assert plan.environment["PATH"].endswith(":/usr/bin")
    names = [step.name for step in plan.steps()]
    assert names.index("ros") < names.index("lira_msgs") < names.index("stand_ins") < names.index("check")
    assert plan.lock.name == "lock_wheels.txt"


def test_plan_with_installed_ros_keeps_its_variables_and_needs_no_stand_ins():
    plan = Plan(RosChoice("humble"), {"PATH": "/usr/bin", "PYTHONPATH": "/opt/ros/humble/lib/python3.10"})
    assert plan.environment["PYTHONPATH"] == "/opt/ros/humble/lib/python3.10"
    names = [step.name for step in plan.steps()]
    assert "stand_ins" not in names
    assert "lira_msgs" in names
    assert plan.lock.name == "lock_installed_ros.txt"


def test_every_step_names_only_earlier_steps():
    for choice in (RosChoice(""), RosChoice("jazzy")):
        seen: set[str] = set()
        for step in Plan(choice, {}).steps():
            assert set(step.after) <= seen
            assert step.name not in seen
            seen.add(step.name)


def test_missing_build_packages_are_named_with_their_debian_package(tmp_path):
    nothing = machine.missing_build_packages((3, 12), lambda name: None, tmp_path, lambda name: False, {})
    assert list(nothing.values()) == ["build-essential", "python3.12-dev", "python3.12-venv"]

    (tmp_path / "Python.h").touch()
    everything = machine.missing_build_packages((3, 10), lambda name: name, tmp_path, lambda name: True, {})
    assert everything == {}


def test_compiler_of_the_environment_variables_counts(tmp_path):
    (tmp_path / "Python.h").touch()
    programs = {"clang", "clang++"}
    find = lambda name: name if name in programs else None  # noqa: E731
    variables = {"CC": "clang", "CXX": "clang++ -stdlib=libc++"}
    assert machine.missing_build_packages((3, 11), find, tmp_path, lambda name: True, variables) == {}
    assert machine.missing_build_packages((3, 11), find, tmp_path, lambda name: True, {}) != {}


def test_no_ensurepip_means_that_venv_is_missing(tmp_path):
    (tmp_path / "Python.h").touch()
    # Debian splits ensurepip off; the venv module itself is always there.
    missing = machine.missing_build_packages((3, 11), lambda name: name, tmp_path, lambda name: name == "venv", {})
    assert list(missing.values()) == ["python3.11-venv"]


def test_missing_build_packages_end_in_one_sentence(monkeypatch):
    monkeypatch.setattr(machine, "_missing_here", lambda: {"a C and C++ compiler": "build-essential"})
    monkeypatch.setattr(machine, "_install", lambda packages: False)
    with pytest.raises(SetupError, match=r"lacks a C and C\+\+ compiler\. .*sudo apt install build-essential$"):
        machine.ensure_build_packages()


def test_open3d_libraries_are_named_but_never_fail(monkeypatch):
    monkeypatch.setattr(machine, "_loads", lambda library: library != "libEGL.so.1")
    monkeypatch.setattr(machine, "_install", lambda packages: False)
    assert machine.offer_open3d_libraries().endswith("sudo apt install libegl1")
    monkeypatch.setattr(machine, "_loads", lambda library: True)
    assert machine.offer_open3d_libraries() == ""


def test_a_browser_is_named_but_never_fails(monkeypatch):
    monkeypatch.setattr(machine.shutil, "which", lambda name: None)
    monkeypatch.setattr(machine, "_install", lambda packages: False)
    assert machine.offer_browser().endswith("sudo apt install chromium")
    monkeypatch.setattr(machine.shutil, "which", lambda name: name if name == "google-chrome" else None)
    assert machine.offer_browser() == ""


def test_npm_comes_from_the_machine_or_else_from_a_wheel(tmp_path):
    assert page.npm_command(lambda name: f"/usr/bin/{name}", tmp_path) == ["npm"]
    without_node = {"npm": "/usr/bin/npm"}.get
    assert page.npm_command(without_node, None) == []
    assert page.npm_command(without_node, tmp_path) == []
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "node").touch()
    node, script = page.npm_command(without_node, tmp_path)
    assert node == str(tmp_path / "bin" / "node")
    assert script.endswith("npm-cli.js")


def test_a_page_that_cannot_be_built_leaves_the_setup_whole(monkeypatch, tmp_path):
    plan = Plan(RosChoice(""), {})
    monkeypatch.setattr(page, "OUTPUT", tmp_path / "static")
    monkeypatch.setattr(page, "npm_command", lambda find, folder: [sys.executable, "-c", "raise SystemExit(1)"])
    monkeypatch.setattr("bootstrap.plan.STAMPS", tmp_path)
    remark = plan.build_page()
    assert remark.startswith("not built, so `lira web` has nothing to show; all else works.")
    assert remark.endswith("Then:  python3 -m bootstrap.page")
    monkeypatch.setattr(page, "npm_command", lambda find, folder: [])
    monkeypatch.setattr(plan, "_pip", lambda *arguments, failure: None)
    assert plan.build_page() == "not built, there is no npm. Then:  python3 -m bootstrap.page"


def test_the_lock_of_the_page_pins_by_hash_and_names_no_registry():
    packages = json.loads((page.SOURCES / "package-lock.json").read_text())["packages"]
    wanted = json.loads((page.SOURCES / "package.json").read_text())["dependencies"]
    assert {name: packages[f"node_modules/{name}"]["version"] for name in wanted} == wanted
    for name, package in packages.items():
        if name:
            assert package["integrity"].startswith("sha512-")
            assert "resolved" not in package


class Counter:
    """Steps that count how often they are run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ran: list[str] = []
        self.broken = False

    def first(self) -> str:
        self.ran.append("first")
        return ""

    def second(self) -> str:
        if self.broken:
            raise SetupError("no network")
        self.ran.append("second")
        return "a remark"

    def third(self) -> str:
        self.ran.append("third")
        return ""

    def run(self, value: str = "1") -> list[str]:
        self.ran.clear()
        steps = [
            Step("first", "First", self.first, [self.folder / "input.txt"]),
            Step("second", "Second", self.second, [value], after=["first"]),
            Step("third", "Third", self.third, [self.folder / "sources"]),
        ]
        assert run_steps(steps, self.folder / "stamps", lambda line: None) == len(self.ran)
        return list(self.ran)


@pytest.fixture
def counter(tmp_path):
    (tmp_path / "input.txt").write_text("a")
    (tmp_path / "sources" / "deep").mkdir(parents=True)
    (tmp_path / "sources" / "deep" / "file.msg").write_text("x")
    return Counter(tmp_path)


def test_nothing_is_done_twice(counter):
    assert counter.run() == ["first", "second", "third"]
    assert counter.run() == []


def test_a_changed_file_repeats_its_step_and_those_after_it(counter, tmp_path):
    counter.run()
    (tmp_path / "input.txt").write_text("b")
    assert counter.run() == ["first", "second"]


def test_a_changed_value_or_a_new_file_in_a_folder_repeats_only_its_step(counter, tmp_path):
    counter.run()
    assert counter.run("2") == ["second"]
    (tmp_path / "sources" / "new.msg").write_text("y")
    assert counter.run("2") == ["third"]


def test_build_products_do_not_count_as_changes(counter, tmp_path):
    counter.run()
    (tmp_path / "sources" / "build").mkdir()
    (tmp_path / "sources" / "build" / "x.o").write_text("z")
    assert counter.run() == []


def test_a_failed_step_is_tried_again_and_the_finished_ones_are_not(counter):
    counter.broken = True
    with pytest.raises(SetupError, match="no network"):
        counter.run()
    counter.broken = False
    assert counter.run() == ["second", "third"]


def test_failing_command_shows_the_end_of_its_log(tmp_path, capfd):
    command = [sys.executable, "-c", "print('the cause'); raise SystemExit(3)"]
    with pytest.raises(SetupError, match="could not be built"):
        run_command(command, tmp_path / "logs" / "x.log", "x could not be built")
    assert "the cause" in capfd.readouterr().err


def test_start_up_hook_joins_paths_and_keeps_values():
    completed = start_up.completed(
        {"LD_LIBRARY_PATH": "/venv/lib:/opt/ros/lib", "ROS_DISTRO": "humble"},
        {"LD_LIBRARY_PATH": "/opt/ros/lib:/cuda", "ROS_DISTRO": "jazzy", "HOME": "/h"},
    )
    assert completed["LD_LIBRARY_PATH"] == "/venv/lib:/opt/ros/lib:/cuda"
    assert completed["ROS_DISTRO"] == "jazzy"
    assert completed["HOME"] == "/h"


def test_start_up_hook_starts_the_interpreter_once_more_with_everything(tmp_path):
    (tmp_path / "hook.py").write_text((REPOSITORY / "bootstrap" / "start_up.py").read_text())
    (tmp_path / "hook.json").write_text(json.dumps({"LD_LIBRARY_PATH": "/first", "ROS_DISTRO": "humble"}))
    (tmp_path / "program.py").write_text(
        "import hook; hook.apply()\n"
        "import os, sys; print(os.environ['LD_LIBRARY_PATH'], os.environ['ROS_DISTRO'], sys.argv[1:])\n"
    )
    result = subprocess.run(
        [sys.executable, tmp_path / "program.py", "an argument"],
        env={"LD_LIBRARY_PATH": "/second"},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert result.stdout.split(maxsplit=2) == ["/first:/second", "humble", "['an argument']\n"]

"""Dockerfile, compose file and systemd units: linted where the tools are, and in agreement with the project."""

import importlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from lira_ros.configuration import build
from lira_ros.presets import flattened

REPOSITORY = Path(__file__).resolve().parents[2]
DOCKERFILE = REPOSITORY / "docker" / "Dockerfile"
COMPOSE = yaml.safe_load((REPOSITORY / "docker" / "compose.yaml").read_text("utf-8"))
UNITS = sorted((REPOSITORY / "config" / "systemd").glob("*.service"))


def instructions(stage):
    """Return the instructions of a stage and of those that it is built on: [(name, arguments)]."""
    texts = re.split(r"^FROM ", DOCKERFILE.read_text("utf-8").replace("\\\n", " "), flags=re.MULTILINE)[1:]
    for text in texts:
        head, _, body = text.partition("\n")
        base, _, name = head.partition(" AS ")
        if name == stage:
            own = [tuple(line.split(None, 1)) for line in body.splitlines() if re.match(r"[A-Z]+ ", line)]
            return (instructions(base) if not base.startswith("$") else []) + own
    raise AssertionError(f"there is no stage {stage}")


def stages():
    return re.findall(r"^FROM \S+ AS (\w+)$", DOCKERFILE.read_text("utf-8"), re.MULTILINE)


def test_hadolint_has_nothing_to_say():
    program = shutil.which("hadolint") or shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if program is None:
        pytest.skip("hadolint is not installed here")
    done = subprocess.run([program, str(DOCKERFILE)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_entry_point_is_a_shell_script():
    script = REPOSITORY / "docker" / "entrypoint.sh"
    assert script.stat().st_mode & 0o100
    subprocess.run(["bash", "-n", str(script)], check=True)


def test_images_are_pinned_and_run_without_privileges():
    text = DOCKERFILE.read_text("utf-8")
    assert re.search(r"^ARG ROS_IMAGE=ros:jazzy-ros-base-noble@sha256:[0-9a-f]{64}$", text, re.MULTILINE)
    bases = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    assert set(bases) <= {"${ROS_IMAGE}", *stages()}, "another base, which is not pinned"
    assert "build" in stages()
    for stage in ("cpu", "cuda", "camera", "desktop"):
        names = [name for name, _ in instructions(stage)]
        users = [value for name, value in instructions(stage) if name == "USER"]
        assert users[-1] == "1000", stage
        assert "HEALTHCHECK" in names, stage
        # What builds stays behind.
        assert not any("build-essential" in value for _, value in instructions(stage)), stage


def test_versions_are_those_of_the_set_up():
    from bootstrap import page, plan

    text = DOCKERFILE.read_text("utf-8")
    assert re.search(r"^ARG TORCH_VERSION=(\S+)$", text, re.MULTILINE)[1] == plan.TORCH_VERSION
    assert re.search(r"^ARG NODE_VERSION=(\S+)$", text, re.MULTILINE)[1] == page.NODE_VERSION
    lock = (REPOSITORY / "requirements" / "lock_installed_ros.txt").read_text("utf-8")
    locked = {line.split("==")[0].lower() for line in lock.splitlines() if "==" in line}
    for file in ("requirements.txt", "requirements_models.txt"):
        lines = (REPOSITORY / "docker" / file).read_text("utf-8").splitlines()
        wanted = {line for line in lines if line and not line.startswith("#")}
        assert wanted
        assert wanted <= locked, f"{file}: without a version in the lock file"


def test_what_is_copied_exists_and_is_in_the_build_context():
    ignored = (REPOSITORY / ".dockerignore").read_text("utf-8").splitlines()
    allowed = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    assert "*" in ignored
    for stage in stages():
        for name, value in instructions(stage):
            if name != "COPY" or "--from=" in value:
                continue
            *sources, _ = value.split()
            for source in sources:
                assert (REPOSITORY / source).exists(), source
                assert source.split("/")[0] in allowed, f"{source} is not in the build context"


# ---- compose -------------------------------------------------------------------------------------------------------

# Of the compose specification, what is used; a misspelt key would be ignored or refused only when it is started.
SERVICE_KEYS = {
    "image", "build", "profiles", "command", "environment", "volumes", "network_mode", "ipc", "init", "restart",
    "security_opt", "cap_drop", "logging", "read_only", "tmpfs", "devices", "device_cgroup_rules", "group_add",
    "deploy", "mem_limit", "ports", "healthcheck",
}  # fmt: skip


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_a_service_says_only_what_compose_knows_and_builds_what_there_is(name):
    service = COMPOSE["services"][name]
    assert set(service) <= SERVICE_KEYS
    if "build" in service:
        assert (REPOSITORY / "docker" / service["build"]["context"]).resolve() == REPOSITORY
        assert REPOSITORY / service["build"]["dockerfile"] == DOCKERFILE
        assert service["build"]["target"] in stages()
        assert service["image"] == f"lira_ros:{service['build']['target']}"
    else:
        assert re.search(r":v?\d+\.\d+\.\d+", service["image"]), "an image without a version"
    assert service["profiles"], "nothing starts unasked"
    for volume in service.get("volumes", ()):
        source = volume.split(":")[0]
        assert source.startswith(("/", "./")) or source in COMPOSE["volumes"]
        assert not source.startswith("./") or (REPOSITORY / "docker" / source).is_dir()
    for port in service.get("ports", ()):
        assert port.startswith("127.0.0.1:"), "open to the network"


def test_everything_that_was_asked_for_is_there():
    profiles = {profile for service in COMPOSE["services"].values() for profile in service["profiles"]}
    assert profiles == {"cpu", "cuda", "doctor", "rviz", "foxglove", "vllm"}
    for name in ("camera", "suite", "suite_cuda"):
        assert COMPOSE["services"][name]["cap_drop"] == ["ALL"]
        assert COMPOSE["services"][name]["network_mode"] == COMPOSE["services"][name]["ipc"] == "host"


def launch_arguments(monkeypatch):
    """Return the arguments of lira.launch.py with their choices."""
    monkeypatch.syspath_prepend(str(REPOSITORY / "test" / "launch"))
    import launch_recorder

    launch_recorder.install(monkeypatch)
    return {
        item.name: item.choices for item in launch_recorder.load(REPOSITORY / "launch" / "lira.launch.py").ARGUMENTS
    }


def check_arguments(words, known):
    given = dict(word.split(":=", 1) for word in words if ":=" in word)
    assert given
    for name, value in given.items():
        assert name in known, f"lira.launch.py has no argument {name}"
        default = re.sub(r"\$\{\w+:-(.*?)\}", r"\1", value)
        assert known[name] is None or default in known[name], f"{name}:={value}"


@pytest.mark.parametrize("name", ["suite", "suite_cuda"])
def test_the_suite_is_launched_with_arguments_that_exist(name, monkeypatch):
    command = COMPOSE["services"][name]["command"]
    assert command[:4] == ["ros2", "launch", "lira_ros", "lira.launch.py"]
    check_arguments(command[4:], launch_arguments(monkeypatch))


def test_the_parameters_of_the_containers_are_known_to_the_nodes():
    pytest.importorskip("lira_msgs", reason="needs ROS 2 and lira_msgs (make setup)")
    sections = yaml.safe_load((REPOSITORY / "docker" / "parameters" / "lira.yaml").read_text("utf-8"))
    for key, content in sections.items():
        node = key.removeprefix("/**/")
        module = importlib.import_module(f"lira_ros.nodes.{node}")
        node_class = getattr(module, node.title().replace("_", ""))
        build(node_class.configuration_class, flattened(content["ros__parameters"]))


# ---- systemd -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_systemd_accepts_the_unit(unit):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed here")
    done = subprocess.run(["systemd-analyze", "verify", *map(str, UNITS)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert unit.name not in done.stderr


def test_the_service_is_launched_with_arguments_that_exist(monkeypatch):
    text = (REPOSITORY / "config" / "systemd" / "lira.service").read_text("utf-8")
    given = re.search(r'LIRA_ARGUMENTS="(.*)"', text)[1].split()
    known = launch_arguments(monkeypatch)
    check_arguments(given, known)
    assert "params_file" in known
    assert "NoNewPrivileges=yes" in text
    assert "User=lira" in text

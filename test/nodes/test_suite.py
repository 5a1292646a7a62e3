"""The three nodes and the suite as processes: they come up, refuse what is wrong by name, and end when told to."""

import os
import signal
import subprocess
import sys
import time

import pytest

NODES = {"mapping_node": 1, "reasoning_node": 1, "fusion_node": 1, "suite": 3}


def start(module, folder, *arguments):
    with (folder / f"{module}.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", f"lira_ros.nodes.{module}", "--ros-args", "-r", f"__ns:=/{module}_test", *arguments],
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "NUMBA_NUM_THREADS": "1"},
            start_new_session=True,
        )


def log_of(module, folder):
    return (folder / f"{module}.log").read_text(errors="replace")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_every_node_comes_up_and_ends_when_told_to(number, tmp_path, wait_for):
    processes = {module: start(module, tmp_path) for module in NODES}
    try:
        for module, count in NODES.items():
            wait_for(lambda: log_of(module, tmp_path).count("is active") == count, 90, f"{module} to be active")  # noqa: B023
        for process in processes.values():
            process.send_signal(number)
        time.sleep(0.05)
        for process in processes.values():
            process.send_signal(number)  # launch and terminal both send one
        for module, process in processes.items():
            assert process.wait(20) == 0, log_of(module, tmp_path)
            assert "Traceback" not in log_of(module, tmp_path)
    finally:
        for process in processes.values():
            process.kill()


def test_a_node_that_is_told_to_end_while_it_starts_ends(tmp_path, wait_for):
    process = start("suite", tmp_path)
    try:
        wait_for(lambda: "mapping_node is active" in log_of("suite", tmp_path), 90, "the first of the nodes")
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0, log_of("suite", tmp_path)
        assert "Traceback" not in log_of("suite", tmp_path)
    finally:
        process.kill()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("-p", "mapping.voxel_size_m:=-1.0"), "mapping_node: mapping.voxel_size_m: -1.0 is below the minimum"),
        (("-p", "instructions.max_instructions:=0"), "reasoning_node: instructions.max_instructions: 0 is below"),
        (("-p", "fusion.max_keyframe:=3"), "unknown parameter fusion.max_keyframe"),
    ],
)
def test_the_suite_refuses_wrong_parameters_by_name(arguments, text, tmp_path):
    process = start("suite", tmp_path, *arguments)
    assert process.wait(60) == 2
    assert text in log_of("suite", tmp_path)
    assert "Traceback" not in log_of("suite", tmp_path)

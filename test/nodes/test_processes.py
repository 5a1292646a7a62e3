"""Nodes as processes: clean ends on SIGINT and SIGTERM, exit codes, and a recording mapped across processes."""

import os
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
from lifecycle_msgs.srv import GetState

from lira_msgs.msg import VoxelFragment
from lira_ros.ros import qos


def start(module, tmp_path, *arguments):
    log = (tmp_path / f"{module}.log").open("wb")
    return subprocess.Popen(
        [sys.executable, "-m", f"lira_ros.nodes.{module}", "--ros-args", *arguments],
        stdout=log,
        stderr=subprocess.STDOUT,
        env={**os.environ, "NUMBA_NUM_THREADS": "1"},
        start_new_session=True,
    )


def log_of(module, tmp_path):
    return (tmp_path / f"{module}.log").read_text(errors="replace")


def end(process, *numbers):
    """Send signals one after another and return how long the process took to end."""
    began_s = time.monotonic()
    for number in numbers:
        process.send_signal(number)
        time.sleep(0.02)
    try:
        process.wait(20)
    finally:
        process.kill()
    return time.monotonic() - began_s


def write_recording(folder):
    """Write a few frames in the layout of tsdf-fusion."""
    folder.mkdir()
    np.savetxt(folder / "camera-intrinsics.txt", [[50, 0, 31.5], [0, 50, 23.5], [0, 0, 1]])
    for index in range(6):
        stem = f"{folder}/frame-{index:06d}"
        cv2.imwrite(f"{stem}.color.jpg", np.full((48, 64, 3), 120, np.uint8))
        cv2.imwrite(f"{stem}.depth.png", np.full((48, 64), 1500, np.uint16))
        pose = np.eye(4)
        pose[0, 3] = 0.15 * index
        np.savetxt(f"{stem}.pose.txt", pose)
    return folder


def test_a_recording_is_mapped_across_processes_and_everything_ends(tmp_path, peer, collect, wait_for, call_service):
    mapping = start(
        "mapping_node",
        tmp_path,
        *("-r", "color/image:=/camera/camera/color/image_raw"),
        *("-r", "depth/image:=/camera/camera/aligned_depth_to_color/image_raw"),
        *("-r", "color/camera_info:=/camera/camera/color/camera_info"),
        *("-p", "camera.sensor_reliable:=true", "-p", "mapping.fragment_keyframes:=6", "-p", "mapping.up:=-y"),
    )
    replay = None
    try:
        fragments = collect(VoxelFragment, "fragments", qos.fragments())
        client = peer.create_client(GetState, "/mapping_node/get_state")
        wait_for(client.service_is_ready, 60, "the mapping node")
        recording = write_recording(tmp_path / "recording")
        replay = start(
            "replay_node",
            tmp_path,
            "-p",
            f"recording:={recording}",
            "-p",
            "wait_for_subscribers:=true",
            "-p",
            "rate:=10.0",
        )
        wait_for(lambda: fragments and not fragments[-1].clear, 60, "the fragment")
        assert list(fragments[-1].keyframe_ids) == [1, 2, 3, 4, 5, 6]
        assert replay.wait(20) == 0, log_of("replay_node", tmp_path)
        assert end(mapping, signal.SIGINT, signal.SIGINT) < 10  # Ctrl-C in a terminal with ros2 launch comes twice
        assert mapping.returncode == 0, log_of("mapping_node", tmp_path)
        assert "Traceback" not in log_of("mapping_node", tmp_path)
    finally:
        for process in filter(None, (mapping, replay)):
            process.kill()


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("-p", "recording:=/does/not/exist"), 1, "/does/not/exist: no such file or folder"),
        (("-p", "rate:=0.0"), 2, "replay_node: rate: 0.0 is below the minimum 0.01"),
        (("-p", "speed:=2.0"), 2, "replay_node: unknown parameter speed"),
    ],
)
def test_what_cannot_start_ends_with_a_code_and_a_sentence(arguments, code, text, tmp_path):
    process = start("replay_node", tmp_path, *arguments)
    assert process.wait(30) == code
    log = log_of("replay_node", tmp_path)
    assert text in log
    assert "Traceback" not in log


def test_sigterm_ends_a_node_that_waits(tmp_path, peer, wait_for):
    process = start(
        "replay_node",
        tmp_path,
        "-p",
        f"recording:={write_recording(tmp_path / 'recording')}",
        "-p",
        "wait_for_subscribers:=true",
        "-r",
        "__node:=waiting",
    )
    try:
        client = peer.create_client(GetState, "/waiting/get_state")
        wait_for(client.service_is_ready, 30, "the replay node")
        assert end(process, signal.SIGTERM) < 10
        assert process.returncode == 0
        assert "Traceback" not in log_of("replay_node", tmp_path)
    finally:
        process.kill()

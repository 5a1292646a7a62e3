"""A recording through the real nodes gives what the pipeline without ROS gives, as processes and in one process."""

import os
from pathlib import Path

import numpy as np
import pytest

from lira_ros.cli.node_run import NodeRun, run_nodes
from lira_ros.configuration import build
from lira_ros.datasets import open_sequence
from lira_ros.datasets.rooms import RoomSequence
from lira_ros.datasets.writer import write_hololens_folder
from lira_ros.evaluation.report import write_report
from lira_ros.evaluation.run_configuration import RunConfiguration, make_pipeline
from lira_ros.evaluation.runner import Request, run_sequence
from lira_ros.fusion.contracts import SearchState
from lira_ros.fusion.instance_map import read_instance_map

VALUES = {"reasoner.backend": "oracle"}
# Before the walk, in its middle, and after its end: then everything was seen before it was asked for.
REQUESTS = (
    Request("Find the sofa.", 0.0, "sofa"),
    Request("Find the red mug.", 2.5, "mug"),
    Request("Find a seat close to the window.", 60.0, "seat"),
    Request("Which table is the largest?", 60.0, "table"),
)
FOUND = {"sofa": ["sofa"], "mug": [], "seat": ["armchair"], "table": ["round table"]}


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """Return a folder with eight seconds of the generated room, with its annotation."""
    folder = tmp_path_factory.mktemp("end_to_end") / "room"
    write_hololens_folder(RoomSequence(seed=0, width_px=160, rate_hz=3.0, duration_s=8.0), folder)
    return folder


@pytest.fixture(scope="module")
def expected(recording):
    """Return the record of the pipeline without ROS."""
    sequence = open_sequence(recording)
    pipeline, reasoner = make_pipeline(build(RunConfiguration, VALUES), sequence)
    return run_sequence(sequence, REQUESTS, pipeline, reasoner)


def children():
    """Return the command lines of the processes that this one started and that still run."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (OSError, ValueError):
            continue
        if parent == os.getpid() and "lira_ros.nodes" in command:
            found.append(command)
    return found


@pytest.mark.parametrize("suite", [False, True], ids=["three processes", "suite"])
def test_the_nodes_find_what_the_pipeline_finds(suite, recording, expected, tmp_path):
    shown = []
    run = NodeRun(str(recording), REQUESTS, tmp_path, VALUES, suite, rate=2.0)
    record = run_nodes(run, lambda seconds, record: shown.append(seconds))
    assert children() == []
    assert max(shown) == pytest.approx(23 / 3, abs=0.01)  # the last of 24 frames at 3 Hz

    def stamps(run_record):
        return [run_record.keyframes[number].frame.stamp_ns for number in sorted(run_record.keyframes)]

    assert stamps(record) == stamps(expected)
    assert set(record.candidates) == {
        (number, request.instruction_id) for number in record.keyframes for request in REQUESTS
    }
    for name, labels in FOUND.items():
        status, wanted = record.statuses[name], expected.statuses[name]
        assert [item.label for item in expected.conforming[name]] == labels
        assert (status.state, status.keyframes_answered) == (wanted.state, len(record.keyframes)), status.reason
        # Eight seconds do not show enough of the room to say that something is not there.
        assert status.state == (SearchState.FOUND if labels else SearchState.SEARCHING)
        assert status.reason
        assert [item.label for item in record.conforming[name]] == labels
        for found, right in zip(record.conforming[name], expected.conforming[name], strict=True):
            np.testing.assert_allclose(found.centroid, right.centroid, atol=0.03)
            assert found.observations == right.observations
            assert found.verdicts[name].score == pytest.approx(right.verdicts[name].score, abs=0.1)
        assert sorted(item.label for item in record.rejected[name]) == sorted(
            item.label for item in expected.rejected[name]
        )
    assert len(record.mesh.vertices) == pytest.approx(len(expected.mesh.vertices), rel=0.02)
    stages = {stage.stage: stage for stage in record.latency.summary()}
    assert stages["sensor stamp to keyframe"].count >= len(record.keyframes) - 1  # the first image may be missed
    assert stages["sensor stamp to published instance"].p50_ms > 0

    if suite:
        return  # the report is made of the same record
    write_report(record, tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert names >= {"instance_map.json", "map.ply", "instances.ply", "timeline.png", "01-find-the-sofa.png"}
    saved = read_instance_map(tmp_path / "instance_map.json")
    assert [len(item.instances) for item in saved.instructions] == [
        len(FOUND[item.status.instruction_id]) for item in saved.instructions
    ]

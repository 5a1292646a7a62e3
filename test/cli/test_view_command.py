"""lira view: a recording as the pipeline maps it, and what it says when nothing can be shown."""

import os

import numpy as np
import pytest

pytest.importorskip("rerun", reason="needs rerun-sdk (make setup)")

from rerun_file import read_rerun_file

from lira_ros.cli import view
from lira_ros.cli.main import main
from lira_ros.evaluation import runner


def test_a_recording_is_mapped_understood_and_written_for_the_viewer(tiny_recording, tmp_path, monkeypatch, capsys):
    records = []
    run_sequence = runner.run_sequence

    def remembered(*arguments, **options):
        records.append(run_sequence(*arguments, **options))
        return records[-1]

    monkeypatch.setattr(runner, "run_sequence", remembered)
    path = tmp_path / "run.rrd"
    arguments = ["-i", "Find the table.", "-i", "Find the piano.", "--save", str(path)]
    assert main(["view", str(tiny_recording), *arguments, "--set", "reasoner.backend=oracle"]) == 0
    said = capsys.readouterr().out
    assert f"writing {path}" in said
    assert f"wrote {path}" in said

    (record,) = records
    read = read_rerun_file(path)
    shown = read.shown()
    # What is there at the end is what conforms at the end.
    found = {(name, str(instance.id)) for name, instances in record.conforming.items() for instance in instances}
    assert found
    boxes = {tuple(name.split("/")[3:5]) for name in shown if name.startswith("/map/instances/")}
    assert boxes == found
    # And the mesh at the end is the map's, but for what the eye does not see.
    points = np.concatenate(
        [np.array(values["Mesh3D:vertex_positions"]) for name, values in shown.items() if "/map/mesh/" in name]
    )
    np.testing.assert_allclose(points.min(axis=0), record.mesh.vertices.min(axis=0), atol=0.04)
    np.testing.assert_allclose(points.max(axis=0), record.mesh.vertices.max(axis=0), atol=0.04)
    assert len(points) < len(record.mesh.vertices)

    images = read.of("/map/keyframe/image")
    assert len(images) == len(record.keyframes)
    stamps = [keyframe.frame.stamp_ns for keyframe in record.keyframes.values()]
    assert [row.times["stamp"] for row in images] == stamps
    assert max(row.times["frame"] for row in read.rows if "frame" in row.times) == 8
    assert read.of("/reasoner/answer")
    stages = {name.split("/")[2].replace("\\", "") for name in read.entities("/latency")}
    assert {"map a frame", "reason over a keyframe", "fuse candidates"} <= stages
    assert len(read.of("/latency/map\\ a\\ frame")) == 8
    log = "\n".join(row.values["TextLog:text"][0] for row in read.of("/log"))
    for text in ('"Find the table." (find-1) is asked for.', "find-1 found: ", "conforms: "):
        assert text in log
    assert read.blueprint


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["view"], None),
        (["view", "{recording}"], "there is no display for a window"),
        (["view", "{tmp}/gone.rrd"], "no such file"),
        (["view", "-i", "Find the mug."], "nodes are given instructions with lira instruct"),
    ],
)
def test_what_cannot_be_shown_is_said_in_one_sentence(
    arguments, expected, tiny_recording, tmp_path, monkeypatch, capsys
):
    started = []
    monkeypatch.setattr(os, "execv", lambda name, command: started.append(command))
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    arguments = [item.format(recording=tiny_recording, tmp=tmp_path) for item in arguments]
    if expected is None:  # running nodes are shown by the node, in its place
        with pytest.raises(TypeError):
            main(arguments)
        assert "lira_ros.nodes.view_node" in started[0]
        assert "__ns:=/lira" in started[0]
        return
    assert main(arguments) in (1, 2)
    said = capsys.readouterr().err
    assert expected in said
    assert "Traceback" not in said


def test_without_the_package_it_is_said_how_to_get_it(monkeypatch, capsys):
    monkeypatch.setattr(view, "is_installed", lambda: False)
    assert main(["view", "room:0"]) == 1
    assert "pip install rerun-sdk" in capsys.readouterr().err

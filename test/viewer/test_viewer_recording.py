"""What is shown in the Rerun viewer: files are written and read back."""

import dataclasses
import socket
import subprocess
import sys
import urllib.request

import numpy as np
import pytest

pytest.importorskip("rerun", reason="needs rerun-sdk (make setup)")

import rerun
from rerun_file import read_rerun_file
from shown_thing import thing

from lira_ros.fusion.contracts import (
    Conformity,
    InstructionStatus,
    Removal,
    RemovalReason,
    SearchState,
)
from lira_ros.fusion.display_color import verdict_color
from lira_ros.geometry.camera import Camera
from lira_ros.geometry.frame import Frame, Keyframe
from lira_ros.reasoning.contracts import Attributes, Candidate, CandidateSet, Role
from lira_ros.viewer import output as output_module
from lira_ros.viewer.configuration import ViewerConfiguration
from lira_ros.viewer.findings import Findings
from lira_ros.viewer.output import Output, ViewerError
from lira_ros.viewer.scene import Scene, coarsened

CAMERA = Camera(80, 60, 70.0, 70.0, 39.5, 29.5)
UP = np.array([0.0, 0.0, 1.0])


def keyframe(number):
    T = np.eye(4)
    T[:3, :3] = np.array([[1.0, 0, 0], [0, 0, 1.0], [0, -1.0, 0]])  # looks along +y
    T[:3, 3] = (0.1 * number, 0.0, 1.0)
    depth = np.full((60, 80), 1.0, np.float32)
    return Keyframe(number, Frame(number * 10**9, np.full((60, 80, 3), 90, np.uint8), depth, CAMERA, T), UP, 0.0)


@pytest.fixture
def recording(tmp_path):
    """Return a function that gives scene and findings of a new file, and one that closes and reads it."""
    path = tmp_path / "deep" / "run.rrd"
    opened = []

    def start(**values):
        configuration = ViewerConfiguration(open="none", save=str(path), **values)
        opened.append(Output(configuration))
        return Scene(opened[-1].stream, configuration), Findings(opened[-1].stream)

    def finish():
        opened[-1].close()
        return read_rerun_file(path)

    start.path = path
    return start, finish


def test_keyframes_come_with_image_masks_frustum_and_way_on_both_timelines(recording):
    start, finish = recording
    scene, _ = start()
    for number in range(1, 31):
        scene.set_time(number * 10**9, 3 * number)
        scene.add_keyframe(keyframe(number))
        scene.show_camera(keyframe(number).frame.T_map_camera)
    scene.set_instances({7: thing(7, center=(3.0, 1.0, 1.0))}, ())
    read = finish()
    images = read.of("/map/keyframe/image")
    assert [row.times["stamp"] for row in images] == [number * 10**9 for number in range(1, 31)]
    assert [row.times["frame"] for row in images] == [3 * number for number in range(1, 31)]
    shown = read.shown("/map")
    assert shown["/map/keyframe"]["Pinhole:resolution"] == [[80.0, 60.0]]
    np.testing.assert_allclose(shown["/map/keyframe"]["Transform3D:translation"], [[3.0, 0.0, 1.0]])
    masks = np.array(shown["/map/keyframe/masks"]["SegmentationImage:buffer"][0])
    assert masks.reshape(60, 80).any()
    # The way goes on in parts; each begins where the one before ends, and has a frustum for each keyframe.
    first, second = (shown[f"/map/trajectory/{part}"]["LineStrips3D:strips"] for part in (0, 1))
    assert (len(first), len(second)) == (26, 6)
    assert first[0][-1] == second[0][0]
    assert (len(first[0]), len(second[0])) == (25, 6)
    assert shown["/map"]["ViewCoordinates:xyz"] == [[3, 5, 1]]  # right-handed, z up


def test_the_way_follows_corrections(recording):
    start, finish = recording
    scene, _ = start()
    for number in (1, 2, 3):
        scene.set_time(number, number)
        scene.add_keyframe(keyframe(number))
    moved = np.eye(4)
    moved[:3, 3] = (9.0, 8.0, 7.0)
    scene.correct({2: moved, 99: moved})
    strip = finish().shown("/map/trajectory")["/map/trajectory/0"]["LineStrips3D:strips"][0]
    np.testing.assert_allclose(strip, [(0.1, 0, 1), (9, 8, 7), (0.3, 0, 1)], atol=1e-6)


def triangle(x_m):
    return (
        np.array([(x_m, 0, 0), (x_m + 1, 0, 0), (x_m, 1, 0)], np.float32),
        np.array([(0, 1, 2)]),
        np.full((3, 3), 200, np.uint8),
    )


NOTHING = (np.zeros((0, 3), np.float32), np.zeros((0, 3), int), np.zeros((0, 3), np.uint8))


def test_the_mesh_grows_by_region_no_more_often_than_asked_and_goes_again(recording):
    start, finish = recording
    scene, _ = start(mesh_period_s=2.0)
    for second in range(5):
        scene.set_time(second * 10**9, second)
        scene.update_mesh((0, 0, 0), second, *triangle(second))
        if second == 1:
            scene.update_mesh((-1, 2, 0), 1, *triangle(10.0))
        if second == 3:
            scene.update_mesh((-1, 2, 0), 2, *NOTHING)
        scene.show_mesh()
    scene.update_mesh((5, 5, 5), 1, *NOTHING)
    scene.update_mesh((0, 0, 0), 4, *triangle(99))  # sent again
    scene.show_mesh(all_of_it=True)
    read = finish()
    assert [row.times["frame"] for row in read.of("/map/mesh/0_0_0")] == [0, 2, 4]
    assert set(read.shown("/map/mesh", frame=2)) == {"/map/mesh/0_0_0", "/map/mesh/-1_2_0"}
    shown = read.shown("/map/mesh")
    assert set(shown) == {"/map/mesh/0_0_0"}
    corners = {tuple(point) for point in shown["/map/mesh/0_0_0"]["Mesh3D:vertex_positions"]}
    assert corners == {(4, 0, 0), (5, 0, 0), (4, 1, 0)}
    assert "/map/mesh/-1_2_0" not in read.shown("/map/mesh", frame=3)


def test_nothing_of_a_session_lingers_in_the_next(recording):
    start, finish = recording
    scene, _ = start()
    scene.set_time(1, 1)
    scene.add_keyframe(keyframe(1))
    scene.show_answer(answer(1), "Find the mug.")
    scene.update_mesh((0, 0, 0), 1, *triangle(0))
    scene.show_mesh()
    scene.set_time(2, 2)
    scene.begin_session()
    scene.set_time(3, 3)
    scene.add_keyframe(keyframe(1))
    read = finish()
    assert "/map/mesh/0_0_0" in read.shown(frame=1)
    assert "/reasoner/answer" in read.shown(frame=1)
    held = {name for name in read.shown(frame=2) if name.startswith(("/map/", "/reasoner"))}
    assert held <= {"/map/camera"}
    assert len(read.shown()["/map/trajectory/0"]["LineStrips3D:strips"][0]) == 1


def answer(number, masks=1):
    mask = np.zeros((60, 80), bool)
    mask[20:40, 20:40] = True
    candidates = tuple(Candidate(index + 1, mask, "mug", 0.9, 0.9, Role.TARGET, Attributes()) for index in range(masks))
    return CandidateSet(number, number * 10**9, "find-1", "test/1", 0.1, candidates)


def test_answers_are_shown_with_the_keyframe_that_they_are_about(recording):
    start, finish = recording
    scene, _ = start(image_width_px=40)
    scene.set_time(1, 1)
    scene.add_keyframe(keyframe(1))
    scene.set_time(5, 5)
    scene.show_answer(answer(1), "Find the mug.")
    scene.show_answer(answer(2), "Find the mug.")  # a keyframe that is not known
    scene.show_answer(answer(1, masks=0), "Find the mug.")  # nothing seen
    (row,) = finish().of("/reasoner/answer")
    assert row.times["frame"] == 5


def test_instances_have_the_colour_of_their_verdict_and_go_when_they_are_gone(recording):
    start, finish = recording
    scene, findings = start()
    scene.set_time(1, 1)
    findings.show_changes("find-1", [thing(7), thing(8, center=(1.0, 1.0, 1.0))], {})
    findings.show_judged("find-1", [thing(9, Conformity.REJECTED), thing(10, Conformity.UNDECIDED, score=0.9)])
    scene.set_time(2, 2)
    findings.show_changes("find-1", [], {7: Removal(7, RemovalReason.MERGED, 8)})
    findings.show_judged("find-1", [])
    scene.set_time(3, 3)
    findings.show_instructions({"find-1": ("Find the mug.", "mug")})
    findings.show_instructions({})
    read = finish()
    before = read.shown("/map", frame=1)
    assert before["/map/instances/find-1/7/box"]["Boxes3D:colors"] == [packed(Conformity.CONFORMS)]
    assert before["/map/instances/find-1/7/box"]["Boxes3D:labels"] == ["#7 mug 0.50"]
    assert len(before["/map/instances/find-1/7/points"]["Points3D:positions"]) == 125
    judged = before["/map/judged/find-1"]
    assert judged["Boxes3D:colors"] == [packed(Conformity.UNDECIDED), packed(Conformity.REJECTED)]  # best first
    after = read.shown("/map", frame=2)
    assert set(after) == {"/map/instances/find-1/8/box", "/map/instances/find-1/8/points"}
    assert read.shown("/map", frame=3) == {}


def packed(conformity):
    red, green, blue = (round(255 * value) for value in verdict_color(conformity))
    return red << 24 | green << 16 | blue << 8 | 255


def test_the_log_tells_what_happened_and_why_and_the_list_is_plain_text(recording):
    start, finish = recording
    scene, findings = start()
    scene.set_time(1, 1)
    findings.show_instructions({"find-1": ("Find [the](http://evil) mug.", "A mug.")})
    for state, reason in (
        (SearchState.SEARCHING, "Nothing so far."),
        (SearchState.SEARCHING, "Nothing so far, 3 keyframes."),
        (SearchState.FOUND, "1 of 3 things conforms."),
        (SearchState.FAILED, "The server is away."),
    ):
        findings.show_status(InstructionStatus("find-1", state, reason))
    findings.show_changes("find-1", [thing(7)], {})
    findings.show_changes("find-1", [dataclasses.replace(thing(7), observations=2)], {})
    for why in (Removal(7, RemovalReason.REJECTED), None):
        findings.show_changes("find-1", [thing(7)], {})
        findings.show_changes("find-1", [], {7: why, 99: None})
    read = finish()
    log = [(row.values["TextLog:level"][0], row.values["TextLog:text"][0]) for row in read.of("/log")]
    assert log == [
        ("INFO", '"Find [the](http://evil) mug." (find-1) is asked for. A mug.'),
        ("DEBUG", "find-1 searching: Nothing so far."),
        ("INFO", "find-1 found: 1 of 3 things conforms."),
        ("ERROR", "find-1 failed: The server is away."),
        ("INFO", "find-1: #7 mug conforms: It is *red*."),
        ("WARN", "find-1: #7 does not conform any more."),
        ("INFO", "find-1: #7 mug conforms: It is *red*."),
        ("WARN", "find-1: #7 is gone."),
    ]
    documents = [row.values["TextDocument:text"][0] for row in read.of("/instructions")]
    assert "### Find \\[the\\]\\(http://evil\\) mug\\." in documents[-1]
    assert any("**\\#7" in text or "**#7 mug**" in text for text in documents)
    assert "#7" not in documents[-1]


def test_the_file_is_whole_and_brings_its_blueprint(recording):
    start, finish = recording
    _, findings = start()
    findings.plot("sensor stamp to map", 12.5)
    read = finish()
    assert read.of("/latency/sensor\\ stamp\\ to\\ map")[0].values["Scalars:scalars"] == [12.5]
    kinds = {name.split("/")[1] for name in read.blueprint}
    assert {"view", "container", "viewport"} <= kinds
    assert len({name.split("/")[2] for name in read.blueprint if name.startswith("/view/")}) == 6
    verify = [sys.executable, "-m", "rerun_cli", "rrd", "verify", str(start.path)]
    assert subprocess.run(verify, capture_output=True, check=False).returncode == 0


def test_a_coarser_mesh_keeps_its_rim_and_its_surface():
    steps = np.arange(21) * 0.01
    x, y = np.meshgrid(steps, steps, indexing="ij")
    vertices = np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], axis=1).astype(np.float32)
    corner = (np.arange(20)[:, None] * 21 + np.arange(20)).ravel()
    triangles = np.concatenate(
        [np.stack([corner, corner + 21, corner + 1], 1), np.stack([corner + 1, corner + 21, corner + 22], 1)]
    )
    colors = np.full((len(vertices), 3), 77, np.uint8)
    few, kept, painted = coarsened(vertices, triangles, colors, 0.05)
    assert len(kept) < len(triangles) / 3
    assert (painted == 77).all()
    rim = (np.isclose(vertices[:, :2], 0) | np.isclose(vertices[:, :2], 0.2)).any(axis=1)
    assert {tuple(point) for point in vertices[rim]} <= {tuple(point) for point in few}
    a, b, c = (few[kept[:, index]] for index in range(3))
    assert np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2 == pytest.approx(0.04, rel=1e-3)
    assert coarsened(vertices, triangles, colors, 0.0)[0] is vertices
    assert len(coarsened(*NOTHING, 0.05)[1]) == 0


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, "there is no display for a window"),
        ({"open": "window"}, "there is no display for a window"),
        ({"save": "run.txt"}, "save: run.txt: expected a name that ends in .rrd"),
        ({"save": "{tmp}/file/run.rrd"}, "save: .*: (Not a directory|File exists)"),
    ],
)
def test_what_cannot_be_shown_is_said(values, expected, tmp_path, monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "file").write_text("")
    values = {name: value.format(tmp=tmp_path) for name, value in values.items()}
    with pytest.raises(ViewerError, match=expected):
        Output(ViewerConfiguration(**values))


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def test_a_page_is_served_on_this_computer_until_the_recording_is_closed(wait_for):
    port, web_port = free_port(), free_port()
    output = Output(ViewerConfiguration(open="web", port=port, web_port=web_port))
    try:
        assert f"http://127.0.0.1:{web_port}?url=rerun%2Bhttp://127.0.0.1:{port}/proxy" in output.notice
        assert b"<html" in urllib.request.urlopen(f"http://127.0.0.1:{web_port}/", timeout=10).read(2000)
        with socket.socket() as elsewhere:
            assert elsewhere.connect_ex(("127.0.0.2", web_port)) != 0
    finally:
        output.close()
    assert not output.is_looked_at
    wait_for(lambda: not output_module._listens(web_port), what="the end of the page")


def test_a_server_listens_on_this_computer_only_and_its_port_is_taken_once(tmp_path):
    port = free_port()
    first = Output(ViewerConfiguration(open="server", port=port))
    try:
        assert f"rerun rerun+http://127.0.0.1:{port}/proxy" in first.notice
        assert first.is_looked_at
        with socket.create_connection(("127.0.0.1", port), 5.0):
            pass
        with socket.socket() as elsewhere:
            elsewhere.settimeout(0.5)
            assert elsewhere.connect_ex(("127.0.0.2", port)) != 0
        with pytest.raises(ViewerError, match=f"port {port} is in use"):
            Output(ViewerConfiguration(open="server", port=port))
    finally:
        first.close()


def test_a_missing_package_is_named_with_how_to_get_it(monkeypatch):
    monkeypatch.setattr(output_module, "is_installed", lambda: False)
    with pytest.raises(ViewerError, match="pip install rerun-sdk"):
        Output(ViewerConfiguration(save="run.rrd"))
    assert rerun.__version__ in output_module.INSTALL  # the version that is tested here

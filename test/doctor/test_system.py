"""What the doctor says of nodes, clocks, DDS, models, GPU and disk; the form of findings; the report."""

import json
import platform
from dataclasses import replace
from pathlib import Path

import pytest
from scene import report as status
from scene import robot, with_setup, wrong

from lira_ros.doctor import system
from lira_ros.doctor.finding import Finding, bad, exit_code, good, lines, note
from lira_ros.doctor.observation import Mismatch, NodeObservation, Setup
from lira_ros.doctor.report import clean, report, write
from lira_ros.doctor.system import (
    DdsFacts,
    judge_clock,
    judge_dds,
    judge_machine,
    judge_mismatches,
    judge_nodes,
    needed_cards,
)
from lira_ros.mapping.devices import CudaState

PROFILE = str(Path(__file__).resolve().parents[2] / "config" / "fastdds.xml")


def one_wrong(findings, subject, sign, said, mend):
    found = wrong(findings)
    assert len(found) == 1, [finding.message for finding in found]
    assert (found[0].subject, found[0].sign) == (subject, sign)
    assert said in found[0].message
    assert mend in found[0].mend


# ---- findings ------------------------------------------------------------------------------------------------------


def test_a_finding_that_is_not_well_says_in_one_line_what_mends_it():
    with pytest.raises(ValueError, match="tf: a finding that is not well"):
        Finding("tf", False, "broken")
    finding = bad("tf", "two\nlines \x1b[31m", "do\nthis")
    assert "\n" not in finding.message + finding.mend
    assert "\x1b" not in finding.message
    shown = list(lines([good("a", "fine"), finding, note("longer", "so so", "more")]))
    assert shown[0] == "ok    a       fine"
    assert shown[1].startswith("FAIL  tf      two lines")
    assert shown[2] == "              -> do this"
    assert shown[3].startswith("note  longer  so so")
    assert exit_code([good("a", "fine"), note("b", "so so", "more")]) == 0
    assert exit_code([finding]) == 1


# ---- nodes ---------------------------------------------------------------------------------------------------------


def test_nodes_on_which_all_is_well():
    findings = judge_nodes(robot())
    assert not wrong(findings)
    assert [finding.subject for finding in findings] == ["fusion_node", "mapping_node", "reasoning_node"]
    assert findings[1].message == "active (lira_ros on robot)"


def without_node(scene, name):
    return replace(
        scene,
        nodes=tuple(item for item in scene.nodes if item.name != name),
        reports=tuple(item for item in scene.reports if item.name != name),
    )


def with_report(scene, **values):
    changed = status("mapping_node", **values)
    return replace(scene, reports=(*(item for item in scene.reports if item.name != changed.name), changed))


NODES = {
    "missing": (
        lambda scene: without_node(scene, "/lira/fusion_node"), "nodes", "FAIL", "fusion_node of /lira is not running",
        "lira.launch.py namespace:=lira",
    ),
    "twice": (
        lambda scene: replace(scene, nodes=(*scene.nodes, NodeObservation("/slam", False, count=2))), "nodes", "FAIL",
        "2 nodes are called /slam", "stop all but one",
    ),
    "hangs": (
        lambda scene: replace(scene, reports=scene.reports[1:]), "mapping_node", "FAIL", "no diagnostics in 5 s",
        "restart it",
    ),
    "error": (
        lambda scene: with_report(scene, level=2, message="configure failed: x"), "mapping_node", "FAIL",
        "configure failed: x", "ros2 lifecycle set /lira/mapping_node configure",
    ),
    "unconfigured": (
        lambda scene: with_report(scene, state="unconfigured"), "mapping_node", "FAIL", "is unconfigured",
        "ros2 lifecycle set /lira/mapping_node configure",
    ),
    "inactive": (
        lambda scene: with_report(scene, state="inactive"), "mapping_node", "FAIL", "is inactive",
        "ros2 lifecycle set /lira/mapping_node activate",
    ),
    "warning": (
        lambda scene: with_report(scene, level=1, message="waiting for /x (Image, best effort): none; /y (Image)"),
        "mapping_node", "note", "waits for /x, /y", "ros2 topic echo /diagnostics",
    ),
    "problem": (
        lambda scene: with_report(scene, level=1, message="/x: expected a; got b"), "mapping_node", "note",
        "/x: expected a; got b", "ros2 topic echo /diagnostics",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NODES)
def test_each_trouble_of_nodes_is_named(name):
    change, *expected = NODES[name]
    one_wrong(judge_nodes(change(robot())), *expected)


def test_before_lira_is_started_its_nodes_need_not_run():
    scene = robot(nodes=(NodeObservation("/camera"),), reports=())
    one_wrong(
        judge_nodes(scene), "nodes", "note", "mapping_node, reasoning_node, fusion_node of /lira are", "ros2 launch"
    )


# ---- clock ---------------------------------------------------------------------------------------------------------


def simulated(*names, clock=("/bag",), ticks=50):
    def change(scene):
        nodes = tuple(replace(item, use_sim_time=item.name in names) for item in scene.nodes)
        return replace(scene, nodes=nodes, clock_publishers=clock, clock_ticks=ticks)

    return change


LIRA = tuple(f"/lira/{name}" for name in ("mapping_node", "reasoning_node", "fusion_node"))
CLOCKS = {
    "nobody publishes it": (simulated(*LIRA, clock=()), "FAIL", "and nobody publishes it", "ros2 bag play --clock"),
    "it stands still": (simulated(*LIRA, ticks=0), "FAIL", "/clock of /bag stands still", "resume"),
    "two publish it": (simulated(clock=("/bag", "/gazebo")), "FAIL", "2 nodes publish /clock: /bag, /gazebo", "stop"),
    "lira does not use it": (simulated(), "FAIL", "publishes /clock, but", "use_sim_time:=true"),
    "others do not use it": (simulated(*LIRA), "note", "/camera by system time", "use_sim_time:=true"),
}


@pytest.mark.parametrize("name", CLOCKS)
def test_each_trouble_of_clocks_is_named(name):
    change, sign, said, mend = CLOCKS[name]
    one_wrong(judge_clock(change(robot())), "clock", sign, said, mend)


def test_clocks_that_are_well():
    assert judge_clock(robot())[0].message == "system time"
    (finding,) = judge_clock(simulated(*LIRA, "/camera")(robot()))
    assert finding.well
    assert finding.message == "/clock of /bag, used by /camera, /lira/mapping_node, /lira/reasoning_node and 1 more"


def test_subscribers_that_get_nothing_are_named_but_not_twice():
    pair = Mismatch("/lira/map/mesh", "/lira/mapping_node", "/rviz", "reliable", "transient local", "durability")
    scene = robot(mismatches=(pair, replace(pair, topic="/camera/color/image")))
    one_wrong(judge_mismatches(scene), "qos", "note", "/rviz asks for transient local on /lira/map/mesh", "/rviz")


# ---- DDS -----------------------------------------------------------------------------------------------------------

HEALTHY = DdsFacts(
    {"FASTRTPS_DEFAULT_PROFILES_FILE": PROFILE}, "rmw_fastrtps_cpp", 4_194_304, 500_000_000, True, PROFILE
)


def facts(environment=None, **values):
    known = {} if environment is None else {"environment": {**HEALTHY.environment, **environment}}
    return replace(HEALTHY, **known, **values)


DDS = {
    "no profile": (
        replace(HEALTHY, environment={}), "dds profile", "note", "a camera driver started from here",
        f"export FASTRTPS_DEFAULT_PROFILES_FILE={PROFILE}",
    ),
    "profile does not exist": (facts(profile="/no/such.xml"), "dds profile", "FAIL", "cannot be read", "unset"),
    "Cyclone with its defaults": (
        facts(rmw="rmw_cyclonedds_cpp"), "dds profile", "note", "Cyclone DDS", "CYCLONEDDS_URI",
    ),
    "domain is no number": (facts({"ROS_DOMAIN_ID": "x"}), "dds domain", "FAIL", "'x'", "ROS_DOMAIN_ID=0"),
    "domain too large": (facts({"ROS_DOMAIN_ID": "300"}), "dds domain", "FAIL", "'300'", "ROS_DOMAIN_ID=0"),
    "domain among ephemeral ports": (facts({"ROS_DOMAIN_ID": "150"}), "dds domain", "note", "150 has ports", "101"),
    "discovery off": (
        facts({"ROS_AUTOMATIC_DISCOVERY_RANGE": "OFF"}), "dds discovery", "FAIL", "is OFF", "LOCALHOST",
    ),
    "loopback down": (facts(loopback_up=False), "dds discovery", "FAIL", "is down", "ip link set lo up"),
    "small buffers": (
        facts(receive_buffer_max=212_992), "dds buffers", "note", "rmem_max is 0.2 MiB", "sysctl -w net.core.rmem_max",
    ),
    "no shared memory": (facts(shared_free=None), "shared memory", "note", "/dev/shm is missing", "tmpfs"),
    "shared memory full": (facts(shared_free=64_000_000), "shared memory", "note", "64 MB free", "fastdds shm clean"),
}  # fmt: skip


@pytest.mark.parametrize("name", DDS)
def test_each_trouble_of_dds_is_named(name):
    given, *expected = DDS[name]
    one_wrong(judge_dds(given), *expected)


def test_dds_that_is_well():
    findings = judge_dds(HEALTHY)
    assert not wrong(findings)
    assert any(finding.message == "range SUBNET" for finding in findings)
    reach = judge_dds(facts({"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}))
    assert any("this machine only" in finding.message for finding in reach)
    server = judge_dds(facts({"ROS_DISCOVERY_SERVER": "10.0.0.1:11811"}))
    assert any("discovery server 10.0.0.1:11811" in finding.message for finding in server)


def test_profiles_that_are_no_xml_are_named(tmp_path):
    (tmp_path / "broken.xml").write_text("<profiles>")
    one_wrong(judge_dds(facts(profile=str(tmp_path / "broken.xml"))), "dds profile", "FAIL", "cannot be read", "unset")


def test_the_facts_of_this_machine_are_read_without_secrets():
    environment = {"ROS_DOMAIN_ID": "7", "OPENAI_API_KEY": "sk-secret", "ROS_DISTRO": "jazzy"}
    found = DdsFacts.read(environment, "rmw_fastrtps_cpp", PROFILE)
    assert found.environment == {"ROS_DOMAIN_ID": "7", "ROS_DISTRO": "jazzy"}
    assert found.profile == PROFILE
    assert DdsFacts.read({"FASTDDS_DEFAULT_PROFILES_FILE": "/mine.xml"}, "", PROFILE).profile == "/mine.xml"


# ---- machine -------------------------------------------------------------------------------------------------------


HERE = f"lira_ros on {platform.node()}"


def configured(name, hardware=HERE, **parameters):
    given = {key.replace("__", "."): value for key, value in parameters.items()}
    return robot(
        nodes=(NodeObservation(f"/lira/{name}", False, given),),
        reports=(replace(status(name), hardware=hardware),),
    )


def test_models_of_the_configured_back_end_are_needed():
    assert needed_cards({"reasoner.backend": "compact", "reasoner.vlm.model": "qwen3-vl-8b"}) == []
    assert needed_cards({"reasoner.backend": "vlm", "reasoner.vlm.model": "qwen3-vl-8b"}) == ["qwen3-vl-8b"]
    hybrid = {
        "reasoner.backend": "hybrid",
        "reasoner.hybrid.fast": "detector",
        "reasoner.hybrid.slow": "vlm",
        "reasoner.vlm.model": "qwen3-vl-8b",
        "reasoner.detector.model": "grounding-dino-tiny",
        "reasoner.masks.method": "model",
        "reasoner.masks.model": "sam2-hiera-large",
    }
    assert needed_cards(hybrid) == ["grounding-dino-tiny", "qwen3-vl-8b", "sam2-hiera-large"]


def test_missing_and_unknown_models_are_named(monkeypatch, tmp_path):
    monkeypatch.setenv("LIRA_MODELS", str(tmp_path))
    scene = configured("reasoning_node", reasoner__backend="vlm", reasoner__vlm__model="qwen3-vl-8b")
    expected = (
        "reasoning_node model",
        "FAIL",
        "the files of qwen3-vl-8b are not here",
        "lira models fetch qwen3-vl-8b",
    )
    one_wrong(judge_machine(scene), *expected)
    scene = configured("reasoning_node", reasoner__backend="vlm", reasoner__vlm__model="guess-9b")
    one_wrong(judge_machine(scene), "reasoning_node model", "FAIL", "guess-9b", "lira models list")
    scene = configured("tracking_node", model="sam2-hiera-tiny")
    one_wrong(judge_machine(scene), "tracking_node model", "FAIL", "sam2-hiera-tiny", "lira models fetch")


def test_a_gpu_that_is_asked_for_and_not_there_is_named(monkeypatch):
    monkeypatch.setattr(system, "cuda_state", lambda: CudaState("", "no NVIDIA driver"))
    scene = configured("mapping_node", mapping__device="cuda")
    one_wrong(judge_machine(scene), "mapping_node gpu", "FAIL", "no NVIDIA driver", "mapping.device: cpu")
    scene = configured("mapping_node", mapping__device="auto")
    one_wrong(judge_machine(scene), "mapping_node gpu", "note", "no NVIDIA driver", "nvidia-smi")
    monkeypatch.setattr(system, "cuda_state", lambda: CudaState("GPU 9000", None))
    assert judge_machine(scene)[0].message == "GPU 9000, mapping.device auto"
    assert judge_machine(configured("mapping_node", mapping__device="cpu")) == []


def test_a_gpu_for_models_is_looked_for_only_where_one_is_asked_for(monkeypatch):
    monkeypatch.setattr(system, "judge_torch_gpu", lambda: note("torch gpu", "PyTorch sees none", "add one"))
    wanted = {"reasoner__backend": "vlm", "reasoner__compute__device": "cuda"}
    expected = ("reasoning_node model gpu", "FAIL", "compute.device cuda: PyTorch sees none", "to auto, or: add one")
    one_wrong(judge_machine(configured("reasoning_node", **wanted)), *expected)
    assert judge_machine(configured("reasoning_node", **{**wanted, "reasoner__backend": "compact"})) == []
    assert judge_machine(configured("reasoning_node", **{**wanted, "reasoner__compute__device": "auto"})) == []
    one_wrong(
        judge_machine(configured("tracking_node", compute__device="cuda")), "tracking_node model gpu", *expected[1:]
    )
    monkeypatch.setattr(system, "judge_torch_gpu", lambda: good("torch gpu", "GPU 9000"))
    assert judge_machine(configured("reasoning_node", **wanted))[0].message == "GPU 9000"


def test_the_folder_of_maps_is_looked_at(monkeypatch, tmp_path):
    scene = configured("mapping_node", map_directory=str(tmp_path / "maps" / "of mine"))
    assert judge_machine(scene)[0].well
    monkeypatch.setattr(system.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 5e8}))
    one_wrong(judge_machine(scene), "mapping_node disk", "note", "0.5 GB free in", "at least 1 GB")
    monkeypatch.setattr(system.os, "access", lambda *_: False)
    one_wrong(judge_machine(scene), "mapping_node disk", "FAIL", "cannot be written", "chown")


def test_what_runs_on_another_machine_is_not_judged_by_this_one():
    scene = configured("mapping_node", hardware="lira_ros on robot7", mapping__device="cuda", map_directory="/nowhere")
    (finding,) = judge_machine(scene)
    assert finding.well
    assert "runs on robot7: lira doctor there" in finding.message


# ---- report --------------------------------------------------------------------------------------------------------


def test_the_report_holds_versions_parameters_and_findings_and_no_secrets(tmp_path):
    secrets = {
        "reasoner.remote.url": "https://me:pa55@host:8000/v1?token=abc",
        "web.token": "t0ken",
        "reasoner.remote.extra_fields": '{"api_key": "k3y"}',
        "map_directory": f"{Path.home()}/maps",
        "mapping.voxel_size_m": 0.02,
    }
    scene = robot(nodes=(NodeObservation("/lira/mapping_node", False, secrets),))
    findings = [good("a", "fine"), bad("tf", "broken", "mend it")]
    write(tmp_path / "new folder" / "report.json", report(findings, HEALTHY, scene))
    text = (tmp_path / "new folder" / "report.json").read_text()
    for secret in ("pa55", "abc", "t0ken", "k3y", str(Path.home())):
        assert secret not in text
    content = json.loads(text)
    assert content["report_version"] == 1
    assert content["exit_code"] == 1
    assert "numpy" in content["packages"]
    assert content["findings"] == [
        {"subject": "a", "result": "ok", "message": "fine", "mend": ""},
        {"subject": "tf", "result": "fail", "message": "broken", "mend": "mend it"},
    ]
    parameters = content["nodes"]["/lira/mapping_node"]["parameters"]
    assert parameters["mapping.voxel_size_m"] == 0.02
    assert parameters["map_directory"] == "~/maps"
    assert parameters["reasoner.remote.url"] == "https://(removed)@host:8000/v1?(removed)"
    color = content["topics"][0]
    assert (color["role"], color["messages"], color["rate_hz"]) == ("color/image", 60, 30.0)
    assert content["transforms"][0] == "base_link -> camera_color_optical_frame"


def test_values_of_secret_names_are_removed_unless_they_are_empty():
    given = {"api_key": "", "password": "x", "keyframe": "y", "max_answer_tokens": 3, "keys": ["a"]}
    assert clean(given) == {**given, "password": "(removed)"}
    assert clean({"ssh_key": "a", "tokens": ["b"]}) == {"ssh_key": "(removed)", "tokens": "(removed)"}


def test_a_setup_takes_what_parameters_say_and_defaults_otherwise():
    setup = Setup.of({"map_frame": "odom", "camera.sync_slop_s": 0.1, "else": 1}, driver="d")
    assert (setup.map_frame, setup.sync_slop_s, setup.driver, setup.pose_source) == ("odom", 0.1, "d", "tf")
    assert with_setup(robot(), namespace="/a/b").own_nodes() == ()

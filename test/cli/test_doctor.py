from types import SimpleNamespace

import pytest

from lira_ros.cli import doctor
from lira_ros.mapping.devices import CudaState
from lira_ros.reasoning.language.encoder import EncoderError


def run(capsys):
    code = doctor.run(SimpleNamespace(skip_dds=True))
    return code, capsys.readouterr().out


def test_what_is_here_is_named_line_by_line(capsys):
    code, text = run(capsys)
    for subject in ("python", "numpy", "rosbags", "sentence encoder", "reasoner compact", "reasoner oracle"):
        assert any(line[6:].startswith(subject) for line in text.splitlines()), subject
    assert code == ("FAIL" in text)


def test_what_is_missing_is_said_with_what_mends_it(capsys, monkeypatch):
    installed = doctor._installed_version
    monkeypatch.setattr(
        doctor, "_installed_version", lambda name: None if name in ("rosbags", "torch") else installed(name)
    )

    def no_encoder():
        raise EncoderError("no model is installed")

    monkeypatch.setattr(doctor, "find_encoder", no_encoder)
    code, text = run(capsys)
    lines = {line[6:].split("  ")[0].strip(): line for line in text.splitlines() if line}
    assert lines["rosbags"].startswith("FAIL")
    assert "pip install rosbags" in lines["rosbags"]
    assert lines["torch"].startswith("note")
    assert lines["sentence encoder"].startswith("note")
    assert "falls back to its word lists" in lines["sentence encoder"]
    assert "To be mended: " in text
    assert "rosbags" in text.splitlines()[-1]
    assert code == 1


@pytest.mark.parametrize(("well", "sign"), [(True, "ok"), (False, "FAIL")])
def test_dds_is_tried_unless_told_otherwise(well, sign, capsys, monkeypatch):
    monkeypatch.setattr(doctor, "_delivery", lambda: doctor.Finding("dds", well, "tried"))
    code = doctor.run(SimpleNamespace(skip_dds=False))
    line = next(line for line in capsys.readouterr().out.splitlines() if "tried" in line)
    assert line.startswith(sign)
    assert well or code == 1


@pytest.mark.parametrize(
    ("state", "sign", "said"),
    [
        (CudaState("GPU 9000", None), "ok", "GPU 9000: mapping.device cuda and auto use it"),
        (CudaState("", "no NVIDIA driver"), "note", "not needed, and none to map on: no NVIDIA driver"),
    ],
)
def test_the_gpu_is_named_or_what_it_lacks(state, sign, said, capsys, monkeypatch):
    monkeypatch.setattr(doctor, "cuda_state", lambda: state)
    _, text = run(capsys)
    line = next(line for line in text.splitlines() if line[6:].startswith("gpu"))
    assert line.startswith(sign)
    assert line.endswith(said)

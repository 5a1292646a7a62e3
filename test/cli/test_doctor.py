import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace

import pytest

from lira_ros.cli import doctor
from lira_ros.configuration import ConfigurationError
from lira_ros.doctor import installation
from lira_ros.doctor.finding import bad, good
from lira_ros.mapping.devices import CudaState
from lira_ros.reasoning.language.encoder import EncoderError
from lira_ros.reasoning.models.cards import load_cards


def options(**values):
    known = {
        "skip_dds": True, "server": "", "key_variable": "", "live": False, "namespace": "lira", "camera": "",
        "pose": "tf", "seconds": 1.0, "json": None,
    }  # fmt: skip
    return SimpleNamespace(**{**known, **values})


def run(capsys, **values):
    code = doctor.run(options(**values))
    return code, capsys.readouterr().out


def test_what_is_here_is_named_line_by_line(capsys):
    code, text = run(capsys)
    for subject in ("python", "numpy", "rosbags", "sentence encoder", "reasoner compact", "reasoner oracle"):
        assert any(line[6:].startswith(subject) for line in text.splitlines()), subject
    assert code == ("FAIL" in text)


def test_what_is_missing_is_said_with_what_mends_it(capsys, monkeypatch):
    installed = installation.installed_version
    monkeypatch.setattr(
        installation, "installed_version", lambda name: None if name in ("rosbags", "torch") else installed(name)
    )

    def no_encoder():
        raise EncoderError("no model is installed")

    monkeypatch.setattr(installation, "find_encoder", no_encoder)
    code, text = run(capsys)
    lines = {line[6:].split("  ")[0].strip(): line for line in text.splitlines() if line}
    assert lines["rosbags"].startswith("FAIL")
    assert text.splitlines()[text.splitlines().index(lines["rosbags"]) + 1].endswith("-> pip install rosbags")
    assert lines["torch"].startswith("note")
    assert lines["sentence encoder"].startswith("note")
    assert "falls back to its word lists" in lines["sentence encoder"]
    assert "To be mended: " in text
    assert "rosbags" in text.splitlines()[-1]
    assert code == 1


@pytest.mark.parametrize(("well", "sign"), [(True, "ok"), (False, "FAIL")])
def test_dds_is_tried_unless_told_otherwise(well, sign, capsys, monkeypatch):
    tried = good("dds", "tried") if well else bad("dds", "tried", "mend it")
    monkeypatch.setattr(doctor, "_delivery", lambda: tried)
    code = doctor.run(options(skip_dds=False))
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
    monkeypatch.setattr(installation, "cuda_state", lambda: state)
    _, text = run(capsys)
    line = next(line for line in text.splitlines() if line[6:].startswith("gpu"))
    assert line.startswith(sign)
    assert line.endswith(said)


def line_of(text, subject):
    return next(line for line in text.splitlines() if line[6:].split("  ")[0] == subject)


def test_a_back_end_says_what_it_misses(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("LIRA_MODELS", str(tmp_path))
    installed = installation.installed_version
    monkeypatch.setattr(
        installation, "installed_version", lambda name: None if name == "llguidance" else installed(name)
    )
    _, text = run(capsys)
    line = line_of(text, "reasoner vlm")
    assert line.startswith("note")
    assert line.endswith("; misses llguidance, a model of the kind vision_language")
    assert line_of(text, "reasoner compact").startswith("ok")
    assert "needed by vlm only" in line_of(text, "llguidance")


def test_the_models_that_are_here_are_named(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("LIRA_MODELS", str(tmp_path))
    _, text = run(capsys)
    assert f"0 of {len(load_cards())} are in {tmp_path}" in line_of(text, "models")
    for name in ("sam2-hiera-tiny", "sam2-hiera-large"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
    (tmp_path / "sam2-hiera-tiny" / "model.safetensors").write_text("weights")
    _, text = run(capsys)
    assert line_of(text, "models").endswith(": sam2-hiera-tiny")
    assert line_of(text, "models broken").endswith("incomplete or of wrong size: sam2-hiera-large")
    assert "-> lira models verify tells what; lira models fetch sam2-hiera-large" in text


def test_the_gpu_that_torch_sees_is_named(capsys, monkeypatch):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed here")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert f"PyTorch {torch.__version__} sees none" in line_of(run(capsys)[1], "torch gpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda number: "GPU 9000")
    properties = SimpleNamespace(total_memory=16 * 2**30)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: properties)
    assert line_of(run(capsys)[1], "torch gpu").endswith("GPU 9000, 16 GiB")


def test_a_server_is_asked_for_its_models(capsys, monkeypatch):
    requests = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            requests.append((self.path, self.headers.get("Authorization")))
            body = json.dumps({"data": [{"id": "tiny-vl"}]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    monkeypatch.setenv("SERVER_KEY", "a-secret-key")
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/v1"
        _, text = run(capsys, server=url, key_variable="SERVER_KEY")
        server.shutdown()
    assert line_of(text, "server").endswith(f"127.0.0.1:{server.server_port} answers with the model tiny-vl")
    assert ("/v1/models", "Bearer a-secret-key") in requests
    assert "a-secret-key" not in text
    code, text = run(capsys, server=url)
    assert line_of(text, "server").startswith("FAIL")
    assert f"127.0.0.1:{server.server_port}" in line_of(text, "server")
    assert code == 1
    assert "reasoner.remote.url" in line_of(run(capsys, server="nonsense")[1], "server")


def test_the_time_to_look_is_checked():
    with pytest.raises(ConfigurationError, match=r"--seconds: expected 0[.]5 to 600, got 0"):
        doctor.run(options(seconds=0.0))


def test_the_report_of_the_installation_is_written(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(installation, "installed_version", lambda name: None if name == "rosbags" else "1.0")
    code, _ = run(capsys, json=tmp_path / "report.json")
    content = json.loads((tmp_path / "report.json").read_text())
    assert code == content["exit_code"] == 1
    assert content["packages"]["numpy"] == "1.0"
    missing = next(item for item in content["findings"] if item["subject"] == "rosbags")
    assert missing == {"subject": "rosbags", "result": "fail", "message": "missing", "mend": "pip install rosbags"}
    assert "topics" not in content

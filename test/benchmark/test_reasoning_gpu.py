import importlib.util
import json

import pytest

pytest.importorskip("transformers", reason="models need transformers, which needs Python 3.11")


def test_every_model_is_measured_with_small_shapes(repository, tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(repository / "benchmark"))
    spec = importlib.util.spec_from_file_location("reasoning_gpu", repository / "benchmark" / "reasoning_gpu.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    output = tmp_path / "measured.jsonl"
    options = "--shapes tiny --device cpu --precision float32 --batch 1 2 --tokens 3 --rounds 1 --output"
    module.main([*options.split(), str(output)])
    lines = [json.loads(line) for line in output.read_text().splitlines()]
    assert [(line["model"], line["keyframes"]) for line in lines] == [
        (name, count) for name in ("lisa-7b", "qwen3-vl-8b", "sam", "sam2") for count in (1, 2)
    ]
    assert all(line["time_s"] > 0 and line["ratio"] > 0 and line["shapes"] == "tiny" for line in lines)
    module.main(["--device", "cpu"])
    assert "No GPU" in capsys.readouterr().out

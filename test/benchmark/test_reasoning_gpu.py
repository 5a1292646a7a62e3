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
    parity = [line for line in lines if line["model"].startswith("parity ")]
    measured = lines[len(parity) :]
    assert [(line["model"], line["keyframes"]) for line in measured] == [
        (name, count) for name in ("lisa-7b", "qwen3-vl-8b", "sam", "sam2") for count in (1, 2)
    ]
    assert all(line["time_s"] > 0 and line["ratio"] > 0 and line["shapes"] == "tiny" for line in measured)
    for line in parity:
        differences = [value for name, value in line.items() if name.endswith(("difference", "differ"))]
        # The device is the processor itself here; bfloat16 shows that something is compared.
        assert (max(differences) == 0) == (line["precision"] == "float32")
        assert max(differences) < 0.3
    assert len(parity) == 8
    meter = module.Meter(module.arguments(["--device", "cpu"]))
    with meter.within_memory(model="large"):
        raise module.torch.OutOfMemoryError("60 GiB")
    assert json.loads(meter.lines[-1])["problem"] == "60 GiB"
    module.main(["--device", "cpu"])
    assert "No GPU" in capsys.readouterr().out

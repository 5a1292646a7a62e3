"""The remote back end against servers with tiny models of random weights: the whole way, images and all."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from box_room import look
from test_remote_reasoner import CUP_WANTED, NoEncoder

from lira_ros.reasoning.contracts import ReasoningError, Task
from lira_ros.reasoning.remote.client import ChatClient
from lira_ros.reasoning.remote.configuration import RemoteConfiguration
from lira_ros.reasoning.remote.reasoner import RemoteReasoner
from lira_ros.reasoning.segmentation.depth import DepthSegmenter

pytest.importorskip("transformers", reason="transformers, which makes the tiny models, is not installed")


@pytest.fixture
def reasoner_of():
    """Return a function that makes a reasoner for the server at an address."""
    made = []

    def make(url, **values):
        configuration = RemoteConfiguration(url=url, timeout_s=30.0, **values)
        made.append(RemoteReasoner(configuration, ChatClient(configuration, "p."), DepthSegmenter(), NoEncoder()))
        return made[-1]

    yield make
    for reasoner in made:
        reasoner.close()


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory):
    from tiny_models import tiny_vlm_folder

    from lira_ros.reasoning.vlm.model import VisionLanguageModel

    folder = tiny_vlm_folder(tmp_path_factory.mktemp("models") / "qwen3-vl", "qwen3_vl")
    model = VisionLanguageModel.load(folder, "qwen3_vl")
    assert model.unconstrained == ""
    return model


@pytest.mark.parametrize(
    ("takes_json_schema", "form"), [(True, "json_schema"), (False, "json_object with schema")], ids=["vllm", "llama"]
)
def test_a_model_that_keeps_to_the_schema_is_always_understood(takes_json_schema, form, tiny_model, reasoner_of):
    """Its boxes are noise: whatever comes is valid, clamped and measured, or said to be of no use."""
    from tiny_server import MODEL_NAME, TinyServer

    server = TinyServer(tiny_model, takes_json_schema)
    try:
        reasoner = reasoner_of(server.url, max_image_side_px=128)
        for number in range(1, 4):
            keyframe, _ = look(keyframe_id=number, pitch_deg=10.0 * number, width_px=160, height_px=120)
            (answer,) = reasoner.propose_batch([Task(keyframe, CUP_WANTED)])
            if isinstance(answer, ReasoningError):  # no object of either answer has a box
                assert len(answer.exchanges) == 2
                assert "objects of the answer can be used" in str(answer)
            else:
                assert answer.model == f"remote/{MODEL_NAME}"
                assert all(candidate.mask.shape == (120, 160) for candidate in answer.candidates)
        assert server.answers
        assert len(set(server.answers)) > 1  # the model sees the images
        told = reasoner.diagnose()
        assert (told["server answers as"], told["server circuit"]) == (form, "closed")
        assert told["server failures"] == 0
    finally:
        server.close()


def tiny_llava_folder(path):
    """Write a LLaVA of random weights: its processor needs no torchvision, as those of Qwen-VL do."""
    import torch
    from tiny_models import _text, _tokenizer
    from transformers import LlavaConfig, LlavaForConditionalGeneration, LlavaProcessor
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    torch.manual_seed(0)
    tokenizer = _tokenizer(llava=True, thinking=False)
    vision = {
        "model_type": "clip_vision_model",
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 56,
        "patch_size": 14,
        "projection_dim": 16,
    }
    features = {"vision_feature_select_strategy": "default"}
    configuration = LlavaConfig(
        vision_config=vision,
        text_config={"model_type": "qwen2", **_text(tokenizer)},
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-2,
        **features,
    )
    model = LlavaForConditionalGeneration(configuration)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(path)
    images = CLIPImageProcessorPil(size={"shortest_edge": 56}, crop_size={"height": 56, "width": 56})
    LlavaProcessor(
        images,
        tokenizer,
        patch_size=14,
        num_additional_image_tokens=1,
        chat_template=tokenizer.chat_template,
        **features,
    ).save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """Return the address and the model folder of a running ``transformers serve``."""
    program = shutil.which("transformers", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if program is None:
        pytest.skip("the program transformers is not installed")
    pytest.importorskip("fastapi", reason="fastapi, which transformers serve needs, is not installed")
    pytest.importorskip("uvicorn", reason="uvicorn, which transformers serve needs, is not installed")
    folder = tmp_path_factory.mktemp("served")
    model = tiny_llava_folder(folder / "llava")
    (folder / "hub").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    surroundings = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(folder / "hub"), "OMP_NUM_THREADS": "1"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, "serve", str(model), "--device", "cpu", "--host", "127.0.0.1", "--port", str(port)],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=surroundings,
        )
    url = f"http://127.0.0.1:{port}/v1"
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            assert process.poll() is None, (folder / "log").read_text(errors="replace")
            try:
                urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"{url}/models", timeout=5).close()
                break
            except OSError:
                time.sleep(0.1)
        yield url, model
    finally:
        process.terminate()
        process.wait(20)


def test_transformers_serve_answers_and_its_noise_is_told(served, reasoner_of):
    """It keeps to no schema, and random weights write no JSON: asked twice, then an error with what it said."""
    url, model = served
    reasoner = reasoner_of(url, model=str(model), max_answer_tokens=24)
    with pytest.raises(ReasoningError, match="asked twice: expected a JSON object") as caught:
        reasoner.propose(look()[0], CUP_WANTED)
    first, second = caught.value.exchanges
    assert first.answer
    assert second.answer
    assert "cut at 24 tokens" in first.problem
    told = reasoner.diagnose()
    assert (told["server circuit"], told["server requests"], told["server failures"]) == ("closed", 2, 0)


def test_transformers_serve_that_lists_no_model_wants_its_name(served, reasoner_of):
    with pytest.raises(ReasoningError, match=r"lists no models: set p\.model"):
        reasoner_of(served[0]).propose(look()[0], CUP_WANTED)

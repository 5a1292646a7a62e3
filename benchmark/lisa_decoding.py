"""Measure what keeping keys and values saves when a LISA answers, against decoding in the original's order of work.

Usage: OMP_NUM_THREADS=1 python benchmark/lisa_decoding.py [--tokens 60] [--batch 1 3] [--rounds 3]

LISA and LIRA set use_cache to False: for every token the whole sequence, picture and prompt included, goes through the
language model again, and its head gives the logits of every position (transformers 4.31). That loop is run here on the
same weights, the same encoded pictures and the same batch, in turn with ours; both must give the same tokens. The time
is that of the language model alone: CLIP's and SAM's share is the same for both.

Weights: those of ../shared/golden/lisa where they are, else random ones of the same sizes. They end no answer, so that
both generate exactly the tokens asked for. passes: calls of the language model. positions: of the sequence that went
through it, per keyframe. time: the fastest of the rounds. The counts hold for a model of any size, the ratio of times
for this tiny one on this machine.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from lira_ros.reasoning.lisa.model import EncodedImage, LisaModel
from lira_ros.reasoning.lisa.prompts import LisaStyle
from lira_ros.reasoning.lisa.tokenizer import LisaTokenizer
from lira_ros.reasoning.models.cards import find_card

REPOSITORY = Path(__file__).resolve().parents[1]
GOLDEN = REPOSITORY.parent / "shared" / "golden" / "lisa"
INSTRUCTION = "where can I wash my hands?"
# No token has this id: an answer never ends.
ENDLESS = -1


def tiny_model(folder: Path) -> LisaModel:
    # The tests lay checkpoints out in the same way.
    sys.path.insert(0, str(REPOSITORY / "test" / "reasoning"))
    from lisa_checkpoints import small_configurations, train_tokenizer, write_golden_checkpoint

    if GOLDEN.is_dir():
        return LisaModel.load(write_golden_checkpoint(folder / "golden"))
    tokenizer = LisaTokenizer(train_tokenizer(folder / "tokenizer.model"))
    return LisaModel.random(*small_configurations(tokenizer.size), tokenizer)


@torch.inference_mode()
def decode_without_cache(model: LisaModel, images: list[EncodedImage], prompts: list[str], tokens: int) -> np.ndarray:
    """Return the (B, tokens) ids that the original's loop generates: everything again for every token."""
    ids = [model.tokenizer.encode_prompt(prompt) for prompt in prompts]
    for _ in range(tokens):
        embeddings, mask = model._embed(images, ids, 0)
        logits = model._language.lm_head(model._run(embeddings, mask))
        for row, number in zip(ids, logits[:, -1].argmax(-1).tolist(), strict=True):
            row.append(number)
    return np.array([row[-tokens:] for row in ids])


@torch.inference_mode()
def decode_with_cache(model: LisaModel, images: list[EncodedImage], prompts: list[str], tokens: int) -> np.ndarray:
    """Return the (B, tokens) ids that ours generates."""
    embeddings, mask = model._embed(images, [model.tokenizer.encode_prompt(prompt) for prompt in prompts], tokens)
    return model._decode(embeddings, mask, tokens, False, lambda: False)[0].cpu().numpy()


def measure(model: LisaModel, batch: int, tokens: int, rounds: int) -> dict[str, float]:
    generator = np.random.default_rng(batch)
    images = model.encode([generator.integers(0, 256, (120, 160, 3), dtype=np.uint8) for _ in range(batch)], "squash")
    style = LisaStyle.from_card(find_card("lira-7b"))
    prompts = [style.prompt(style.question.replace("{instruction}", INSTRUCTION))] * batch
    fastest, counts, said = {}, {}, {}
    for _ in range(rounds):
        for name, decode in (("kept", decode_with_cache), ("again", decode_without_cache)):
            passes, positions = model.counts.passes, model.counts.positions
            start = time.perf_counter()
            said[name] = decode(model, images, prompts, tokens)
            fastest[name] = min(fastest.get(name, np.inf), time.perf_counter() - start)
            counts[name] = (model.counts.passes - passes, (model.counts.positions - positions) / batch)
    if not np.array_equal(said["kept"], said["again"]):
        raise SystemExit("the two do not generate the same tokens")
    result = {"batch": batch, "tokens": tokens}
    for name in ("again", "kept"):
        result[f"passes_{name}"], result[f"positions_{name}"] = counts[name]
        result[f"time_{name}_s"] = round(fastest[name], 4)
    result["positions_ratio"] = round(counts["again"][1] / counts["kept"][1], 1)
    result["time_ratio"] = round(fastest["again"] / fastest["kept"], 1)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=60, help="tokens to generate")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 3], help="keyframes at once")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of which the fastest counts")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        print("weights:", "golden" if GOLDEN.is_dir() else "random")
        model = tiny_model(Path(folder))
    model.tokenizer.eos_id = ENDLESS
    for batch in arguments.batch:
        print(json.dumps(measure(model, batch, arguments.tokens, arguments.rounds)))


if __name__ == "__main__":
    main()

"""How long the learned fusion takes for thirty candidates of one picture, beside the votes.

    OMP_NUM_THREADS=1 python benchmark/learned_fusion.py [--weights FILE] [--candidates 30] [--device cpu|cuda]

A keyframe of a generated home is answered by its true masks, cut in halves until there are as many as asked for, over
a map that already has the instances of the walk. Times are medians of whole answers (lifting, comparing, judging
voxels, assignment, evidence), and of the network alone; on one processor thread unless there is a GPU.
"""

import argparse
import dataclasses
import time

import numpy as np
import torch

from lira_ros.fusion.configuration import FusionConfiguration, LearnedConfiguration
from lira_ros.fusion.instance_fusion import InstanceFusion
from lira_ros.fusion.learned.features import (
    CANDIDATE_FEATURES,
    INSTANCE_FEATURES,
    PAIR_FEATURES,
    VOXEL_FEATURES,
    Tokens,
)
from lira_ros.fusion.learned.model_file import load_network
from lira_ros.fusion.learned.network import InstanceNetwork, TokenBatch, stack
from lira_ros.fusion.method import method_maker
from lira_ros.reasoning.contracts import CandidateSet
from lira_ros.reasoning.oracle import annotated_candidates
from lira_ros.training.homes import HomeRecording, record_home

HOME = 3  # any home of the training split
KEYFRAMES = 24
REPETITIONS = 7
# What the voxels of a picture are judged in: this many a pair of a candidate and an instance are usual.
VOXELS = 1500


def cut(answered: CandidateSet, count: int) -> CandidateSet:
    """Cut the largest masks in halves until there are so many."""
    pieces = list(answered.candidates)
    number = 0
    while len(pieces) < count:
        largest = max(pieces, key=lambda item: int(np.count_nonzero(item.mask)))
        columns = np.flatnonzero(largest.mask.any(axis=0))
        middle = (columns[0] + columns[-1] + 1) // 2
        left, right = largest.mask.copy(), largest.mask.copy()
        left[:, middle:], right[:, :middle] = False, False
        pieces.remove(largest)
        for mask in (left, right):
            pieces.append(dataclasses.replace(largest, id=1000 + number, mask=mask))
            number += 1
    return dataclasses.replace(answered, candidates=tuple(pieces))


def answer_times_ms(home: HomeRecording, configuration: FusionConfiguration, count: int) -> list[float]:
    """Return how long answers with so many candidates take over the map of a walk."""
    objects = {item.id: item for item in home.objects}
    fusion = InstanceFusion(configuration, method_maker(configuration))
    pairs = list(zip(home.keyframes, home.instance_images, strict=True))[:KEYFRAMES]
    times = []
    for index, (keyframe, image) in enumerate(pairs):
        fusion.add_keyframe(keyframe)
        clean = annotated_candidates(keyframe, image, objects, measured=False)
        answered = dataclasses.replace(clean, instruction_id="bench")
        if index >= KEYFRAMES - REPETITIONS and answered.candidates:
            answered = cut(answered, count)
            start = time.perf_counter()
            fusion.add_candidates(answered)
            times.append(1e3 * (time.perf_counter() - start))
        else:
            fusion.add_candidates(answered)
    return times


def network_times_ms(network: InstanceNetwork, count: int, instances: int) -> tuple[float, float]:
    """Return the median times of comparing the tokens of a picture and of judging the voxels of all candidates."""
    random = np.random.default_rng(0)
    total = count + instances
    tokens = Tokens(
        random.random((count, CANDIDATE_FEATURES), dtype=np.float32),
        random.random((instances, INSTANCE_FEATURES), dtype=np.float32),
        random.random((total, total, PAIR_FEATURES), dtype=np.float32),
        [random.random(network.shape.text_length, dtype=np.float32)] * total,
        [random.random(network.shape.look_length, dtype=np.float32)] * total,
    )
    device = next(network.parameters()).device
    voxels = torch.from_numpy(random.random((1, VOXELS, VOXEL_FEATURES), dtype=np.float32))

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize()

    compared, judged = [], []
    with torch.inference_mode():
        for _ in range(REPETITIONS):
            start = time.perf_counter()
            batch = stack([tokens], network.shape)
            said = network(TokenBatch(**{name: value.to(device) for name, value in vars(batch).items()}))
            wait()
            middle = time.perf_counter()
            for c in range(count):
                m = count + c % max(1, instances)
                network.voxel_logits(
                    said.embeddings[:, c], said.embeddings[:, m], said.pairs[:, c, m], voxels.to(device)
                ).cpu()
            wait()
            compared.append(1e3 * (middle - start))
            judged.append(1e3 * (time.perf_counter() - middle))
    return float(np.median(compared)), float(np.median(judged))


def main() -> None:
    """Print the times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="", help="weights of the learned fusion (default: those that are shipped)")
    parser.add_argument("--candidates", type=int, default=30)
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    home = record_home(HOME)
    learned = LearnedConfiguration(weights=options.weights, device=options.device)
    network = load_network(learned)
    compared, judged = network_times_ms(network, options.candidates, 20)
    where = next(network.parameters()).device.type
    print(
        f"{sum(item.numel() for item in network.parameters())} parameters, {options.candidates} candidates, on {where}"
    )
    print(f"network: tokens {compared:.1f} ms, voxels of all candidates {judged:.1f} ms")
    medians = {}
    for method in ("votes", "learned"):
        times = answer_times_ms(home, FusionConfiguration(method=method, learned=learned), options.candidates)
        medians[method] = float(np.median(times))
        print(f"{method}: {medians[method]:.1f} ms an answer (median of {len(times)}, largest {max(times):.1f})")
    print(f"learned to votes: {medians['learned'] / medians['votes']:.2f}")


if __name__ == "__main__":
    main()

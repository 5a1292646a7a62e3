"""Matching and the map of TIFF against the arrays of the released module, and what it cannot answer."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed here")

from lira_ros.fusion.tiff.checkpoint import load_tiff  # noqa: E402
from lira_ros.fusion.tiff.global_map import (  # noqa: E402
    FragmentInstances,
    FragmentVoxels,
    GlobalMap,
    InstanceRecord,
    offset_voxels,
)
from lira_ros.fusion.tiff.matching import confident, match, similarity  # noqa: E402
from lira_ros.fusion.tiff.network import FragmentCandidates  # noqa: E402

# The limits that come with the reference numbers.
EMBEDDING, SIMILARITY, SCORE = 5e-5, 1e-5, 1e-6


def state(file, prefix):
    if f"{prefix}map_labels" not in file:
        return GlobalMap()
    names = json.loads(bytes(file[f"{prefix}rec_text_json"]))
    values = (file[f"{prefix}rec_{key}"] for key in ("ids", "query", "ious", "count"))
    records = {
        int(label): InstanceRecord(
            query, iou, int(count), names[str(label)]["color_cls"], names[str(label)]["target_ins_ids"]
        )
        for label, query, iou, count in zip(*values, strict=True)
    }
    return GlobalMap(
        file[f"{prefix}map_coords"].astype(np.int64),
        file[f"{prefix}map_tsdf"],
        file[f"{prefix}map_labels"].astype(np.int64),
        records,
    )


def assert_state(got, file, prefix, places):
    np.testing.assert_array_equal(got.labels, file[f"{prefix}map_labels"])
    np.testing.assert_array_equal(got.coordinates, file[f"{places}map_coords"])
    np.testing.assert_array_equal(got.tsdf, file[f"{places}map_tsdf"])
    labels = sorted(got.records)
    records = [got.records[label] for label in labels]
    assert labels == file[f"{prefix}rec_ids"].tolist()
    assert [record.count for record in records] == file[f"{prefix}rec_count"].tolist()
    np.testing.assert_allclose(
        [record.embedding for record in records], file[f"{prefix}rec_query"], atol=EMBEDDING, rtol=0
    )
    np.testing.assert_allclose([record.score for record in records], file[f"{prefix}rec_ious"], atol=SCORE, rtol=0)
    names = json.loads(bytes(file[f"{prefix}rec_text_json"]))
    assert {
        str(label): {"color_cls": got.records[label].texts, "target_ins_ids": got.records[label].target_ids}
        for label in labels
    } == names


def assert_matching(got, file, prefix):
    np.testing.assert_array_equal(got.clusters, file[f"{prefix}match_ids"])
    np.testing.assert_array_equal(got.order, file[f"{prefix}cluster_order"])
    np.testing.assert_allclose(got.similarity, file[f"{prefix}similarity"], atol=SIMILARITY, rtol=0)


def none_of(count):
    return FragmentInstances(
        np.empty((0, 128), np.float32), np.empty((0, count), dtype=bool), np.empty(0, np.float32), (), ()
    )


def situation(file, name):
    voxels = FragmentVoxels(file[f"{name}_coords"], file[f"{name}_tsdf"], file[f"{name}_relative_origin"])
    if f"{name}_local_query" not in file:
        return voxels, none_of(len(voxels.tsdf))
    arrays = [file[f"{name}_local_{key}"] for key in ("query", "masks", "score")]
    texts = tuple(json.loads(bytes(file[f"{name}_local_text_json"])))
    return voxels, FragmentInstances(*arrays, texts, tuple(file[f"{name}_local_ids"].tolist()))


@pytest.mark.parametrize("name", ["mixed", "id_reuse", "no_local", "first"])
def test_each_situation_ends_as_released(golden, name):
    file = golden("matching.npz")
    fused = state(file, f"{name}_before_")
    matching = fused.fuse(*situation(file, name))
    assert_state(fused, file, f"{name}_after_", f"{name}_after_")
    if name == "no_local":
        assert matching is None
    else:
        assert_matching(matching, file, f"{name}_")


def test_a_cube_without_background_is_answered(golden):
    file = golden("matching.npz")
    assert b"IndexError" in bytes(file["no_background_error"])
    fused = state(file, "no_background_before_")
    voxels, instances = situation(file, "no_background")
    before = fused.labels
    places = fused.coordinates
    matching = fused.fuse(voxels, instances)
    assert_matching(matching, file, "no_background_")
    # The candidate joins instance 3, which comes first and takes the voxels of both; the rest stays with 6.
    claimed = set(map(tuple, (voxels.coordinates + voxels.origin_voxels)[instances.masks[0]].tolist()))
    old = dict(zip(map(tuple, places.tolist()), before.tolist(), strict=True))
    for place, label in zip(map(tuple, fused.coordinates.tolist()), fused.labels.tolist(), strict=True):
        assert label == (3 if place in claimed or old[place] == 3 else 6)
    assert {label: record.count for label, record in fused.records.items()} == {3: 3, 6: 1}


@pytest.mark.parametrize("run", ["learned", "released"])
def test_three_fragments_in_a_row_end_as_released_through_the_network(golden, run):
    file = dict(golden("sequence.npz"))
    network = load_tiff(golden("weights_f16.safetensors"))
    fused = GlobalMap()
    for index in range(3):
        arrays = {key: file[f"f{index}_{key}"] for key in ("coords", "relative_origin", "feats", "masks", "text")}
        with torch.no_grad():
            answer = network(FragmentCandidates(*(torch.from_numpy(array) for array in arrays.values())))
        embeddings, confidences = answer.embeddings.numpy(), answer.confidences.numpy()
        np.testing.assert_allclose(embeddings, file[f"f{index}_embedding"], atol=EMBEDDING, rtol=0)
        np.testing.assert_allclose(confidences, file[f"f{index}_confidence"], atol=1e-5, rtol=0)

        # The original filters by the overlap with the truth, and keeps this overlap as the score, in both runs.
        scores = file[f"f{index}_match_gt_iou"]
        kept = confident(confidences if run == "learned" else scores)
        np.testing.assert_array_equal(kept, file[f"{run}_f{index}_keep"])
        texts = json.loads(bytes(file[f"f{index}_color_cls_json"]))
        overlaps = [
            [(mask & truth).sum() / (mask | truth).sum() for truth in file[f"f{index}_gt_masks"]]
            for mask in arrays["masks"]
        ]
        targets = file[f"f{index}_gt_ids"][np.argmax(overlaps, axis=1)]
        rows = np.flatnonzero(kept)
        matching = fused.fuse(
            FragmentVoxels(arrays["coords"], file[f"f{index}_tsdf"], arrays["relative_origin"]),
            FragmentInstances(
                embeddings[kept],
                arrays["masks"][kept],
                scores[kept],
                tuple(texts[row] for row in rows),
                tuple(targets[rows].tolist()),
            ),
        )
        assert_matching(matching, file, f"{run}_f{index}_")
        assert_state(fused, file, f"{run}_f{index}_", f"learned_f{index}_")


def test_offsets_are_rounded(golden):
    file = golden("origin_truncation.npz")
    np.testing.assert_array_equal(offset_voxels(file["origin_m"]), file["exact"])
    assert (file["released_cpu"] != file["exact"]).any()


def test_similarity_chains_and_numbers_clusters_by_their_first_members():
    angles = np.radians([0.0, 170.0, 50.0, 100.0, 175.0, 280.0])  # similarity 0.8 is an angle of 53.1 degrees
    embeddings = np.zeros((6, 128), np.float32)
    embeddings[:, 0], embeddings[:, 1] = 3 * np.cos(angles), 3 * np.sin(angles)
    matching = match(embeddings)
    assert matching.clusters.tolist() == [0, 1, 0, 0, 1, 2]
    assert matching.order.tolist() == [0, 1, 2]
    assert np.isfinite(similarity(np.zeros((2, 128), np.float32))).all()


def test_clusters_of_one_size_keep_their_order():
    units = np.eye(100, 128, dtype=np.float32)
    matching = match(np.concatenate((units, units[::3])))  # every third cluster has two members
    assert matching.order.tolist() == [*range(0, 100, 3), *(row for row in range(100) if row % 3)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"coordinates": np.full((2, 3), 96)}, "expected 0 to 95, got 96"),
        ({"tsdf": np.zeros(3, np.float32)}, "tsdf: expected the shape \\(2,\\), got \\(3,\\)"),
        ({"texts": ("chair",)}, "texts: expected one for each of 0 candidates, got 1"),
    ],
)
def test_what_does_not_fit_is_named(change, message):
    voxels = {"coordinates": np.eye(3, dtype=int)[:2], "tsdf": np.zeros(2, np.float32), "origin_voxels": np.zeros(3)}
    instances = dict(vars(none_of(2)))
    for values in (voxels, instances):
        values.update({name: value for name, value in change.items() if name in values})
    with pytest.raises(ValueError, match=message):
        GlobalMap().fuse(FragmentVoxels(**voxels), FragmentInstances(**instances))


def test_ids_count_on_past_instances_that_get_no_voxel():
    """The original reads the largest label once for each fragment, and counts from there."""
    places = np.stack((np.arange(10), np.zeros(10, dtype=int), np.zeros(10, dtype=int)), axis=1)
    voxels = FragmentVoxels(places, np.zeros(10, np.float32), np.zeros(3, dtype=int))
    embeddings = np.zeros((4, 128), np.float32)
    embeddings[[0, 1, 2, 3], [0, 0, 1, 2]] = 1.0
    masks = np.zeros((4, 10), dtype=bool)
    masks[:3, :5], masks[3, 5:8] = True, True
    fused = GlobalMap()
    fused.fuse(voxels, FragmentInstances(embeddings, masks, np.ones(4, np.float32), tuple("aabc"), (7, 7, 8, 9)))
    assert fused.labels.tolist() == [1] * 5 + [3] * 3 + [0] * 2
    assert {label: record.texts for label, record in fused.records.items()} == {1: ["a", "a"], 2: ["b"], 3: ["c"]}
    # A place that turned out to be empty leaves the map, with its label.
    fused.fuse(FragmentVoxels(places[5:8], np.ones(3, np.float32), np.zeros(3, dtype=int)), none_of(3))
    assert fused.labels.tolist() == [1] * 5 + [0] * 2

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lira_ros.evaluation.bootstrap import intervals
from lira_ros.evaluation.class_agnostic import class_agnostic_scores, compare_scene
from lira_ros.evaluation.experiment import Data
from lira_ros.evaluation.online import Identities, MapHistory
from lira_ros.evaluation.pair import Prediction, SceneTruth, Transfer
from lira_ros.evaluation.results import PairResult, Results, UnitResult


@pytest.fixture(scope="module")
def instances(repository):
    spec = importlib.util.spec_from_file_location("instances", repository / "benchmark" / "instances.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# Five objects of 200 vertices in a row, 4 cm apart, and a wall.
POINTS = np.stack([np.arange(1200) * 0.04, np.zeros(1200), np.zeros(1200)], axis=1).astype(np.float32)
TRUTH = SceneTruth(POINTS, np.repeat([1, 2, 3, 4, 5, 0], 200).astype(np.int32), dict.fromkeys(range(1, 6), "thing"))


def unit(scene, counts, *spans):
    """Return a run that left instances over spans of the row."""
    made = [Prediction(number, "thing", POINTS[first:last]) for number, (first, last) in enumerate(spans, start=1)]
    transfer = Transfer(TRUTH, made, POINTS, voxel_size_m=0.04, distance_limit_m=0.01)
    everything = compare_scene(transfer, scene)
    return UnitResult(scene, scene, pairs=1, everything=everything, history=MapHistory((1, 2, 3, 4, 5), counts))


HOMES = (
    unit("room:1", Identities(4, 10, 1), (0, 200), (200, 300), (300, 400), (600, 780)),
    unit("room:2", Identities(2, 6, 1), (0, 120), (400, 600), (1010, 1190)),
)


def test_whole_maps_are_scored_as_by_the_protocols(instances):
    table = instances.map_table(HOMES)
    found = intervals(table)
    agnostic = class_agnostic_scores([home.everything for home in HOMES])
    assert found["AP"].value == pytest.approx(agnostic.ap)
    assert found["AP50"].value == pytest.approx(agnostic.ap50)
    assert found["AP25"].value == pytest.approx(agnostic.ap25)
    # At 0.5: two of four instances for five objects (halves of an object are not above 0.5), two of three for five.
    assert found["f1@0.5"].value == pytest.approx((4 / 9 + 4 / 8) / 2)
    assert found["duplicates"].value == pytest.approx(1 / 7)
    assert found["switches"].value == pytest.approx(2 / 6)
    assert found["switches again"].value == pytest.approx(2 / 16)
    assert found["f1@0.5"].low < found["f1@0.5"].high


def test_objects_that_were_never_in_sight_do_not_count(instances):
    everything = instances.map_in_sight(replace(HOMES[0], history=MapHistory((1, 2), Identities(2, 2, 0))))
    assert everything.targets == (1, 2)
    assert [item.id for item in everything.predictions] == [1, 2, 3], "what lies on object 4 is neither right nor wrong"
    wall = instances.map_in_sight(replace(HOMES[1], history=MapHistory((1, 2, 3), Identities(2, 2, 0))))
    assert [item.id for item in wall.predictions] == [1, 2, 3], "what lies on a wall is wrong"


def test_names_that_are_not_known_are_refused(instances):
    with pytest.raises(SystemExit, match=r"--methods: expected some of .*votes"):
        instances.main(["--methods", "magic"])
    with pytest.raises(SystemExit, match="--levels: expected some of none, light, middle, heavy, compact"):
        instances.main(["--levels", "worst"])


def results_of(homes):
    pairs = {}
    for home in homes:
        whole = home.everything
        answer = replace(whole, targets=(1,), predictions=whole.predictions[:1])
        unions = (whole.official_union, whole.strict_union)
        pairs[home.scene, 1] = PairResult(
            home.scene, home.scene, 1, "Find it.", "class", "FOUND", "", answer, answer, unions
        )
    return Results(Path(), {}, pairs, {home.unit: home for home in homes})


def test_methods_are_compared_on_the_homes_that_both_have(instances):
    better = unit("room:1", Identities(5, 10, 0), *((first, first + 200) for first in range(0, 1000, 200)))
    failed = UnitResult("room:2", "room:2", failed="MemoryError: too large")
    runs = {
        "geometry": results_of(HOMES),
        "votes": replace(results_of([better]), units={"room:1": better, "2": failed}),
    }
    text = instances.section("middle", Data("rooms:1-2", ("room:1", "room:2")), runs)
    assert "### Candidates: oracle, errors: middle (2 homes, `rooms:1-2`)" in text
    assert "- failed: votes: room:2: MemoryError: too large" in text
    rows = {line.split("|")[1].strip(): line.split("|")[2:-1] for line in text.splitlines() if line.startswith("|")}
    titles = [title.strip() for title in rows["method"]]
    assert len({len(row) for name, row in rows.items() if name.startswith("**") or name == "method"}) == 1
    shown = dict(zip(titles, (cell.strip() for cell in rows["**votes**"]), strict=True))
    assert shown["F1 50"] == "100.0", "of one home there is no interval"
    assert shown["duplicates"] == "0.0"
    change = dict(zip((cell.strip() for cell in rows["minus"]), rows["votes minus geometry"], strict=True))
    assert float(change["F1 50"]) == pytest.approx(100 * (1 - 4 / 9), abs=0.06), "on room:1 alone"
    assert float(change["duplicates"]) == -25.0

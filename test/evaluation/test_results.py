import json

import numpy as np
import pytest

from lira_ros.evaluation.class_agnostic import compare_scene
from lira_ros.evaluation.online import Identities, MapHistory, OnlineScores
from lira_ros.evaluation.pair import Prediction, SceneTruth, Transfer
from lira_ros.evaluation.results import (
    CurvePoint,
    PairResult,
    ResultsError,
    ResultsFolder,
    StageTimes,
    UnitResult,
    differences,
    read_results,
)
from lira_ros.evaluation.strict_protocol import return_everything

DESCRIPTION = {"data": "room:5", "configuration": {"fusion.method": "votes"}}


def transfer():
    line = np.zeros((400, 3), np.float32)
    line[:, 0] = 0.05 * np.arange(400)
    truth = SceneTruth(line, np.repeat([1, 2], 200).astype(np.int32), {1: "sofa", 2: "lamp"})
    return Transfer(truth, [Prediction(7, "couch", line[:200]), Prediction(8, "lamp", line[300:])], None, 0.05)


def pair(number=1, unit="room:5", targets=(1,), chosen=(7,), kind="class"):
    compared = transfer()
    about = (unit, f"Find it, {number}.", kind)
    everything = compared.compare(targets, return_everything(compared), *about)
    return PairResult(
        unit,
        unit,
        number,
        f"Find it, {number}.",
        kind,
        "FOUND",
        "It is a sofa.",
        compared.compare(targets, chosen, *about),
        compared.compare(targets, (7,), *about),
        (everything.official_union, everything.strict_union),
        (CurvePoint(1.0, 0.5, 0.0), CurvePoint(2.0, 1.0, 1.0)),
        OnlineScores(0.5, 1.0, {1: 0.25, 2: None}, 1, 0),
    )


def unit(name="room:5", pairs=1, **values):
    return UnitResult(
        name,
        name,
        pairs,
        stages={"map": StageTimes(3, (1.0, 2.0, 3.0))},
        load={"cores": 0.5},
        dropped={"no depth": 2},
        notices=("ends early",),
        everything=compare_scene(transfer(), name),
        history=MapHistory((1, 2), Identities(2, 5, 1)),
        **values,
    )


def test_what_was_added_is_read_again(tmp_path):
    with ResultsFolder(tmp_path / "a", DESCRIPTION) as folder:
        assert not folder.results.is_done("room:5")
        folder.add(unit(pairs=2), [pair(1), pair(2)])
        assert folder.results.is_done("room:5")
    results = read_results(tmp_path / "a")
    assert results.pairs == {("room:5", 1): pair(1), ("room:5", 2): pair(2)}
    assert results.units == {"room:5": unit(pairs=2)}
    assert results.is_done("room:5")
    assert not results.is_done("room:6")


def test_return_everything_is_put_together_from_the_unit_and_the_pair(tmp_path):
    with ResultsFolder(tmp_path, DESCRIPTION) as folder:
        folder.add(unit(), [pair(targets=(2,), chosen=())])
        everything = folder.results.everything(folder.results.pairs[("room:5", 1)])
    expected = transfer().compare((2,), (7, 8), "room:5", "Find it, 1.", "class")
    assert everything == expected


@pytest.mark.parametrize("name", ["results.jsonl", "runs.jsonl"])
def test_a_half_written_last_line_is_cut_off_and_its_unit_is_not_done(tmp_path, name):
    with ResultsFolder(tmp_path, DESCRIPTION) as folder:
        folder.add(unit("a"), [pair(1, "a")])
        folder.add(unit("b", pairs=2), [pair(1, "b"), pair(2, "b")])
    path = tmp_path / name
    content = path.read_bytes()
    path.write_bytes(content[:-20])
    assert not read_results(tmp_path).is_done("b"), "reading alone does not fail"
    with ResultsFolder(tmp_path, DESCRIPTION) as folder:
        assert folder.repaired > 0
        assert folder.results.is_done("a")
        assert not folder.results.is_done("b")
        folder.add(unit("b", pairs=2), [pair(1, "b"), pair(2, "b")])
    lines = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert [(line["scene"], line["number"]) for line in lines] == [("a", 1), ("b", 1), ("b", 2)]


def test_a_folder_of_something_else_is_refused_with_what_differs(tmp_path):
    ResultsFolder(tmp_path, DESCRIPTION).close()
    other = {"data": "room:5", "configuration": {"fusion.method": "geometry"}}
    with pytest.raises(ResultsError, match=r"fusion\.method was votes, is geometry"):
        ResultsFolder(tmp_path, other)
    ResultsFolder(tmp_path, DESCRIPTION).close()


def test_two_writers_of_one_folder_are_refused(tmp_path):
    with ResultsFolder(tmp_path, DESCRIPTION), pytest.raises(ResultsError, match="another lira evaluate"):
        ResultsFolder(tmp_path, DESCRIPTION)
    ResultsFolder(tmp_path, DESCRIPTION).close()


def test_a_failed_unit_is_not_done_and_its_last_word_counts(tmp_path):
    with ResultsFolder(tmp_path, DESCRIPTION) as folder:
        folder.add(UnitResult("room:5", "room:5", failed="MemoryError", attempts=2), [])
        assert not folder.results.is_done("room:5")
        assert [item.failed for item in folder.results.failed] == ["MemoryError"]
        folder.add(unit(), [pair()])
    results = read_results(tmp_path)
    assert results.is_done("room:5")
    assert results.failed == ()


@pytest.mark.parametrize(
    ("content", "said"),
    [("{}", "expected the format"), ("[", "cannot be read"), ('{"format": "lira evaluation", "version": 99}', "99")],
)
def test_a_folder_that_is_no_result_is_named(tmp_path, content, said):
    with pytest.raises(ResultsError, match="no results of lira evaluate"):
        read_results(tmp_path)
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(ResultsError, match=said):
        read_results(tmp_path)


def test_a_broken_line_in_the_middle_is_named(tmp_path):
    ResultsFolder(tmp_path, DESCRIPTION).close()
    (tmp_path / "results.jsonl").write_text('{"scene": 1}\n')
    with pytest.raises(ResultsError, match=r"results\.jsonl, line 1"):
        read_results(tmp_path)


def test_long_lists_are_counted_and_not_printed():
    assert differences({"a": list(range(9)), "b": 1}, {"a": list(range(8)), "c": 2}) == [
        "a was a list of 9, is a list of 8",
        "b was 1, is absent",
        "c was absent, is 2",
    ]

import dataclasses
import json

import numpy as np
import pytest

from lira_ros.fusion import instance_map
from lira_ros.fusion.box import oriented_box
from lira_ros.fusion.contracts import (
    Conformity,
    Instance,
    InstanceState,
    InstructionStatus,
    Judgement,
    Removal,
    RemovalReason,
    SearchState,
    Verdict,
)
from lira_ros.fusion.instance_map import (
    Delta,
    InstanceMapFileError,
    InstanceMapView,
    RevisionError,
    read_instance_map,
    write_instance_map,
)
from lira_ros.reasoning.constraint import Constraint, Phrase
from lira_ros.reasoning.contracts import Attributes, Instruction


def instance(instance_id, existence=0.9):
    voxels = np.array([[instance_id, y, z] for y in range(3) for z in range(2)], dtype=np.int32)
    return Instance(
        id=instance_id,
        label="crate",
        label_confidence=0.8,
        existence=existence,
        attributes=Attributes(color="red", size_m=(0.4, 0.3, float("nan")), supported_by="floor"),
        box=oriented_box(voxels * 0.02, np.array([0.0, 0.0, 1.0]), 0.01),
        voxel_size_m=0.02,
        voxels=voxels,
        voxel_colors=np.zeros((6, 3), dtype=np.uint8),
        first_seen_ns=1,
        last_seen_ns=2,
        observations=3,
        names={"crate": 1.0},
        state=InstanceState.PROVISIONAL,
        looks=1.5,
        colors={"red": 0.75, "brown": 0.25},
        merged_from=(40 + instance_id,),
    )


def judge(scores, rejected=()):
    verdicts = {key: Verdict(Conformity.CONFORMS, score, "It fits.") for key, score in scores.items()}
    verdicts |= {key: Verdict(Conformity.REJECTED, 0.1, "It is blue.") for key in rejected}
    return Judgement(SearchState.FOUND, "Found.", verdicts)


def test_deltas_bring_a_receiver_to_the_same_map():
    sender, receiver = InstanceMapView("a"), InstanceMapView("a")
    one, two, three = instance(1), instance(2), instance(3)
    steps = [
        ((one, two, three), judge({1: 0.5, 3: 0.9}, rejected=(2,))),
        ((one, two, three), judge({1: 0.5, 2: 0.7, 3: 0.9})),
        ((dataclasses.replace(one, existence=0.95), two, three), judge({1: 0.5, 2: 0.7})),
        ((two,), judge({2: 0.2})),
    ]
    rejected, gone = RemovalReason.REJECTED, RemovalReason.REMOVED
    expected = [((1, 3), ()), ((2,), ()), ((1,), ((3, rejected),)), ((2,), ((1, gone),))]
    for stamp_ns, ((instances, judgement), (changed, removed)) in enumerate(zip(steps, expected, strict=True), 1):
        delta = sender.update(instances, judgement, stamp_ns, {})
        assert tuple(item.id for item in delta.changed) == changed
        assert delta.removed == tuple(Removal(key, reason) for key, reason in removed)
        assert (delta.base_revision, delta.revision, delta.stamp_ns) == (stamp_ns - 1, stamp_ns, stamp_ns)
        receiver.apply(delta)
        assert receiver.full() == sender.full()
    assert [item.verdicts for item in sender.instances] == [{"a": Verdict(Conformity.CONFORMS, 0.2, "It fits.")}]


def test_nothing_changed_makes_no_delta():
    view = InstanceMapView("a")
    one = instance(1)
    assert view.update((one,), judge({1: 0.5}), 1, {}) is not None
    assert view.update((one,), judge({1: 0.5}), 2, {}) is None
    assert view.update((), judge({}), 3, {}).removed == (Removal(1, RemovalReason.REMOVED),)
    assert view.update((), judge({}), 4, {}) is None
    assert view.revision == 2


def test_instances_come_best_first():
    view = InstanceMapView("a")
    view.update(tuple(instance(i) for i in (1, 2, 3)), judge({1: 0.2, 2: 0.9, 3: 0.9}), 1, {})
    assert [item.id for item in view.instances] == [2, 3, 1]


def test_a_lost_delta_is_noticed_and_a_full_map_mends_it():
    sender, receiver = InstanceMapView("a"), InstanceMapView("a")
    sender.update((instance(1),), judge({1: 0.5}), 1, {})
    second = sender.update((instance(1), instance(2)), judge({1: 0.5, 2: 0.5}), 2, {})
    with pytest.raises(RevisionError, match="expected base revision 0, got 1"):
        receiver.apply(second)
    assert receiver.instances == ()
    receiver.replace(sender.full())
    assert receiver.full() == sender.full()


def test_who_held_a_merged_id_learns_where_the_thing_is_and_so_do_late_joiners():
    sender, receiver, late = InstanceMapView("a"), InstanceMapView("a"), InstanceMapView("a")
    receiver.apply(sender.update((instance(1), instance(2), instance(3)), judge({1: 0.5, 2: 0.5, 3: 0.5}), 1, {}))
    one = dataclasses.replace(instance(1), merged_from=(2,))
    delta = sender.update((one, instance(3)), judge({1: 0.5}, rejected=(3,)), 2, {2: 1})
    removed = (Removal(2, RemovalReason.MERGED, 1), Removal(3, RemovalReason.REJECTED))
    assert delta.removed == removed
    receiver.apply(delta)
    late.replace(sender.full())
    for view in (sender, receiver, late):
        assert view.removed == removed
        assert [(item.id, item.merged_from) for item in view.instances] == [(1, (2,))]
    # What conforms again is not among the removed any more.
    receiver.apply(sender.update((one, instance(3)), judge({1: 0.5, 3: 0.9}), 3, {2: 1}))
    assert receiver.removed == sender.removed == removed[:1]


def test_tombstones_are_bounded_and_the_newest_stay(monkeypatch):
    monkeypatch.setattr(instance_map, "MAX_REMOVALS", 3)
    view = InstanceMapView("a")
    for number in range(1, 7):
        view.update((instance(number),), judge({number: 0.5}), number, {})
    assert [item.id for item in view.removed] == [3, 4, 5]


def test_a_clearing_delta_applies_to_any_revision():
    receiver = InstanceMapView("a")
    receiver.update((instance(1),), judge({1: 0.5}), 1, {})
    receiver.apply(Delta("a", 9, 41, 42, (instance(7),), (), clear=True))
    assert [item.id for item in receiver.instances] == [7]
    assert receiver.revision == 42


def test_a_delta_of_another_instruction_is_refused():
    with pytest.raises(ValueError, match="'b': expected 'a'"):
        InstanceMapView("a").apply(Delta("b", 0, 0, 1, (), ()))


@pytest.fixture
def written(tmp_path):
    view = InstanceMapView("a")
    view.update((instance(1), instance(2)), judge({1: 0.5, 2: 0.8}), 1, {})
    path = tmp_path / "instance_map.json"
    write_instance_map(
        path,
        {"a": Instruction("a", "Find the crates — “rot”", Constraint(Phrase("crates"))),
         "b": Instruction("b", "Find a bed.", Constraint(Phrase("bed")))},
        {"a": InstructionStatus("a", SearchState.FOUND, "Two fit.", 4, 1, 3, 2)},
        {"a": view.instances},
        {"a": (instance(5),)},
        (0.0, 0.0, 1.0),
    )  # fmt: skip
    return path, view


def test_a_written_map_is_read_again(written):
    path, view = written
    record = read_instance_map(path)
    assert record.up == (0.0, 0.0, 1.0)
    first, second = record.instructions
    assert first.text == "Find the crates — “rot”"
    assert first.status == InstructionStatus("a", SearchState.FOUND, "Two fit.", 4, 1, 3, 2)
    assert [item.id for item in first.instances] == [2, 1]
    best, source = first.instances[0], view.instances[0]
    assert (best.label, best.score, best.reason, best.voxel_count) == ("crate", 0.8, "It fits.", 6)
    assert (best.state, best.looks, best.merged_from) == (InstanceState.PROVISIONAL, 1.5, (42,))
    assert (best.colors, best.names) == (source.colors, source.names)
    assert np.isnan(best.color_deviation)
    assert repr(best.attributes) == repr(source.attributes)
    np.testing.assert_allclose(best.centroid_m, source.centroid)
    np.testing.assert_allclose(best.box.T_map_box, source.box.T_map_box, atol=1e-9)
    np.testing.assert_allclose(best.box.size_m, source.box.size_m)
    assert [(item.id, item.score) for item in first.rejected] == [(5, None)]
    assert (second.status.state, second.instances) == (SearchState.PENDING, ())


def broken(document, place, value):
    *parents, last = place
    target = document
    for name in parents:
        target = target[name]
    if value is None:
        del target[last]
    else:
        target[last] = value
    return document


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (("format",), "other", "format expected 'lira instance map'"),
        (("version",), 1, "version expected 2, got 1"),
        (("up",), [0, 0, 2], "up expected a vector of length 1"),
        (("instructions",), {}, "instructions expected a list"),
        (("instructions", 0, "state"), "LOST", r"instructions\[0\].state expected one of PENDING"),
        (("instructions", 0, "instances", 1, "id"), -1, r"instructions\[0\].instances\[1\].id expected a whole number"),
        (("instructions", 0, "instances", 0, "existence"), 1.5, r"existence expected a number from 0 to 1, got 1.5"),
        (("instructions", 0, "instances", 0, "box", "size"), [1, 2], r"box.size expected a list of 3 numbers"),
        (("instructions", 0, "instances", 0, "box", "orientation"), [1, 1, 1, 1], "quaternion of length 1"),
        (("instructions", 0, "instances", 0, "label"), None, r"instances\[0\].label is missing"),
        (("instructions", 0, "instances", 0, "state"), "GONE", "state expected one of PROVISIONAL, CONFIRMED"),
        (("instructions", 0, "instances", 0, "merged_from"), [-1], "merged_from expected a list of whole numbers"),
        (("instructions", 0, "instances", 0, "colors"), {"red": 2}, "colors expected shares from 0 to 1"),
        (("instructions", 0, "rejected"), [3], r"rejected\[0\] expected an object, got 3"),
    ],
)
def test_a_broken_file_is_refused_by_place(written, place, value, words):
    path, _ = written
    document = broken(json.loads(path.read_text(encoding="utf-8")), place, value)
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(InstanceMapFileError, match=words) as caught:
        read_instance_map(path)
    assert str(path) in str(caught.value)


def test_files_that_are_no_maps_are_refused(tmp_path):
    with pytest.raises(InstanceMapFileError, match="cannot be read"):
        read_instance_map(tmp_path / "nowhere.json")
    (tmp_path / "text.json").write_text("{", encoding="utf-8")
    with pytest.raises(InstanceMapFileError, match="not a JSON file"):
        read_instance_map(tmp_path / "text.json")
    (tmp_path / "list.json").write_text("[]", encoding="utf-8")
    with pytest.raises(InstanceMapFileError, match="document expected an object"):
        read_instance_map(tmp_path / "list.json")


def test_the_name_by_which_a_thing_conforms_is_published_once():
    view = InstanceMapView("a")
    named = Judgement(SearchState.FOUND, "Found.", {1: Verdict(Conformity.CONFORMS, 0.5, "It fits.", "mug")})
    thing = instance(1)
    assert view.update((thing,), named, 1, {}) is not None
    assert (view.instances[0].label, view.instances[0].label_confidence) == ("mug", 0.5)
    assert view.update((thing,), named, 2, {}) is None

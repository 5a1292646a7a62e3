"""Whoever follows the instance maps holds what the fusion publishes, in whatever order full maps and updates come."""

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lira_ros.fusion.contracts import (
    Conformity,
    Instance,
    InstructionStatus,
    OrientedBox,
    Removal,
    RemovalReason,
    SearchState,
    Verdict,
)
from lira_ros.reasoning.contracts import Attributes
from lira_ros.ros.conversions.instance import map_to_message, update_to_message
from lira_ros.ros.conversions.instruction import statuses_to_message
from lira_ros.ros.errors import ConversionError
from lira_ros.ros.instance_map_input import InstanceMaps

FOUND = InstructionStatus("cups", SearchState.FOUND, "two")


def thing(number, label="cup"):
    voxels = np.array([[number, 0, 0], [number, 0, 1]], dtype=np.int32)
    return Instance(
        id=number, label=label, label_confidence=1.0, existence=0.9, attributes=Attributes(),
        box=OrientedBox(np.eye(4), np.full(3, 0.1)), voxel_size_m=0.02, voxels=voxels,
        voxel_colors=np.zeros((2, 3), np.uint8), first_seen_ns=1, last_seen_ns=2, observations=1,
        verdicts={"cups": Verdict(Conformity.CONFORMS, 0.9, "it is a cup")},
    )  # fmt: skip


def full(instances, revision, stamp_ns=10, status=FOUND, removed=()):
    return map_to_message(instances, (), status, removed, revision, stamp_ns, "map")


def update(changed, removed, base, revision, stamp_ns=10, clear=False, status=FOUND):
    return update_to_message(changed, removed, status, (base, revision), revision, stamp_ns, "map", clear=clear)


def held(maps):
    return {number: item.label for number, item in maps.instances("cups").items()}


def test_updates_are_applied_to_the_full_map():
    maps = InstanceMaps()
    change = maps.take_map(full([thing(1), thing(2)], 3), "instance_map")
    assert [item.id for item in change.changed] == [1, 2]
    why = Removal(1, RemovalReason.MERGED, 2)
    change = maps.take_update(update([thing(2, "mug")], [why, Removal(9, RemovalReason.REMOVED, 0)], 3, 4), "updates")
    assert [item.label for item in change.changed] == ["mug"]
    assert change.removed == {1: why}  # 9 was never held
    assert held(maps) == {2: "mug"}
    assert maps.take_map(full([thing(2, "mug")], 4), "instance_map") is None


def test_an_update_before_the_first_full_map_waits_for_it():
    maps = InstanceMaps()
    assert maps.take_update(update([thing(7)], [], 5, 6), "updates") is None
    assert held(maps) == {}
    maps.take_map(full([thing(6), thing(7)], 6), "instance_map")
    assert held(maps) == {6: "cup", 7: "cup"}


def test_a_lost_update_is_made_up_for_by_the_next_full_map():
    maps = InstanceMaps()
    maps.take_map(full([thing(1)], 3), "instance_map")
    assert maps.take_update(update([thing(3)], [], 4, 5), "updates") is None  # 3 -> 4 never came
    assert held(maps) == {1: "cup"}
    change = maps.take_map(full([thing(3)], 5, removed=[Removal(1, RemovalReason.REJECTED, 0)]), "instance_map")
    assert change.removed[1].reason == RemovalReason.REJECTED
    assert held(maps) == {3: "cup"}


def test_a_full_map_that_was_overtaken_changes_nothing():
    maps = InstanceMaps()
    maps.take_map(full([thing(1)], 3), "instance_map")
    maps.take_update(update([thing(2)], [], 3, 4), "updates")
    assert maps.take_map(full([thing(1)], 3), "instance_map") is None
    assert held(maps) == {1: "cup", 2: "cup"}


def test_a_map_that_starts_anew_and_a_cancelled_instruction_leave_nothing():
    maps = InstanceMaps()
    maps.take_map(full([thing(1)], 3), "instance_map")
    assert maps.take_update(update([], [], 0, 0, clear=True), "updates").removed == {1: None}
    maps.take_update(update([thing(4)], [], 0, 1, stamp_ns=20), "updates")
    assert held(maps) == {4: "cup"}
    gone = maps.take_update(update([], [], 0, 0, clear=True, status=replace(FOUND, state=SearchState.CANCELLED)), "u")
    assert gone.removed == {4: None}
    assert maps.instruction_ids() == ()
    maps.take_map(full([thing(1)], 3), "instance_map")
    assert [change.removed for change in maps.take_statuses(statuses_to_message([], 1, "map"))] == [{1: None}]


def test_a_broken_instance_is_refused_by_name_and_what_was_held_stays():
    maps = InstanceMaps()
    maps.take_map(full([thing(1)], 3), "instance_map")
    message = update([thing(2)], [], 3, 4)
    message.changed[0].voxels = message.changed[0].voxels[:-1]
    with pytest.raises(ConversionError, match="instance_map/updates: instance 2: expected 3 voxel coordinates"):
        maps.take_update(message, "instance_map/updates")
    assert held(maps) == {1: "cup"}


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.lists(st.booleans(), max_size=25))
def test_a_follower_that_misses_updates_is_right_after_the_next_full_map(seed, losses):
    dice = random.Random(seed)
    truth, revision, maps = {}, 0, InstanceMaps()
    for number, lost in enumerate(losses):
        gone = [key for key in truth if dice.random() < 0.3]
        new = [thing(key, dice.choice(["cup", "mug"])) for key in dice.sample(range(1, 9), 2) if key not in gone]
        message = update(new, [Removal(key, RemovalReason.REMOVED, 0) for key in gone], revision, revision + 1, number)
        truth = {key: label for key, label in truth.items() if key not in gone} | {item.id: item.label for item in new}
        revision += 1
        if not lost:
            maps.take_update(message, "updates")
        if dice.random() < 0.3:
            maps.take_map(full([thing(*item) for item in truth.items()], revision, number), "instance_map")
            assert held(maps) == truth
    maps.take_map(full([thing(*item) for item in truth.items()], revision, len(losses)), "instance_map")
    assert held(maps) == truth

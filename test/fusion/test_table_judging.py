"""Judging beside the fusion: the newest table wins, answers come back to the owner, nothing waits for the judge."""

import threading
from types import SimpleNamespace

import numpy as np
import pytest

from lira_ros.fusion.contracts import OrientedBox
from lira_ros.fusion.relation_table import RelationTable
from lira_ros.fusion.table_judging import TableJudging, instance_table, table_layout
from lira_ros.reasoning.contracts import Attributes, Instruction, Opinion, ReasoningError, ServerUnavailable
from lira_ros.reasoning.language.parser import parse
from lira_ros.reasoning.remote.judge import MAX_RELATIONS, MAX_ROWS, TableLayout, TableRelation

THIRSTY = Instruction("drink", "I am thirsty.", parse("I am thirsty."))
VOXEL_M = 0.02
MUG = Instruction("mug", "Find the red mug.", parse("Find the red mug."))


def instance(number, label="mug", x=1.0, observations=2, opinions=(), **attributes):
    T = np.eye(4)
    T[:3, 3] = (x, 0.0, 0.5)
    voxels = np.mgrid[-5:6, -5:6, -5:6].reshape(3, -1).T + np.rint(T[:3, 3] / VOXEL_M)
    return SimpleNamespace(
        id=number,
        label=label,
        observations=observations,
        opinions=dict(opinions),
        attributes=Attributes(**attributes),
        box=OrientedBox(T, np.full(3, 0.2)),
        voxels=voxels.astype(np.int32),
        points=voxels * np.float32(VOXEL_M),
        voxel_size_m=VOXEL_M,
    )


class FakeMap:
    """Stands for the map: instructions, instances, and what opinions it was given."""

    def __init__(self, *instructions):
        self.instructions = instructions
        self.resets = 0
        self.things = []
        self.opinions = []
        self.fusion = SimpleNamespace(revision=0, instances=lambda: tuple(self.things))

    def relations(self):
        table = RelationTable()
        table.look_from(np.array([0.0, 0.0, 1.0]), np.array([0.0, -3.0, 1.5]))
        return table

    def show(self, *things):
        self.things = list(things)
        self.fusion.revision += 1

    def set_opinions(self, instruction_id, opinions):
        self.opinions.append((instruction_id, opinions))


class FakeJudge:
    """Wants everything; may be told to wait or to fail."""

    def __init__(self):
        self.asked = []
        self.layouts = []
        self.errors = []
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.closed = False

    def judge(self, table, instruction, layout):
        self.layouts.append(layout)
        self.asked.append((instruction.id, tuple(row.id for row in table)))
        assert self.may_answer.wait(20)
        if self.errors:
            raise self.errors.pop(0)
        return {row.id: Opinion(1.0) for row in table}

    def diagnose(self):
        return {"server circuit": "closed"}

    def close(self):
        self.closed = True
        self.may_answer.set()


@pytest.fixture
def start():
    """Return a function that starts the judging of a map; functions for the owner are collected."""
    made = []

    def make(subject):
        judge, tasks, failures = FakeJudge(), [], []
        made.append(TableJudging(judge, subject, tasks.append, failures.append, period_s=0.01))
        return made[-1], judge, tasks, failures

    yield make
    for judging in made:
        judging.close()


def test_the_table_says_what_is_known_and_steps_over_noise():
    seen = {"drink": Opinion(0.83), "other": Opinion(0.1)}
    thing = instance(4, "mug", x=1.02, opinions=seen, color="red", size_m=(0.11, 0.08, 0.12), supported_by="floor")
    (row,) = instance_table([thing], "drink")
    assert row.wanted_in_pictures == 0.75
    assert instance_table([instance(4)], "drink")[0].wanted_in_pictures is None
    assert (row.id, row.label, row.color, row.supported_by) == (4, "mug", "red", "floor")
    assert row.position_m == (1.0, 0.0, 0.5)
    assert row.size_m == (0.1, 0.1, 0.1)
    assert row.bottom_height_m is None
    assert instance_table([thing], "drink") == (row,)  # what is not known is equal to itself
    many = [instance(number, observations=number) for number in range(1, MAX_ROWS + 51)]
    assert [row.id for row in instance_table(many, "drink")] == list(range(51, MAX_ROWS + 51))


def test_the_judge_is_told_how_things_stand_to_one_another(start, wait_for):
    subject = FakeMap(THIRSTY)
    judging, judge, tasks, _ = start(subject)
    subject.show(instance(1, x=1.0), instance(2, x=1.5), instance(3, x=4.0))
    judging.offer()
    wait_for(lambda: tasks)
    (layout,) = judge.layouts
    assert layout == TableLayout((TableRelation(1, "near", 2, 0.25),))
    assert layout.viewer_m == (0.0, -3.0, 1.5)
    assert 'Relations: [[1, "near", 2, 0.25]]' in layout.described("I am thirsty.")
    assert "Viewer" not in layout.described("I am thirsty.")
    assert "Viewer: [0.0, -3.0, 1.5]" in layout.described("Something to drink, to the left of the lamp.")
    row = [instance(number, x=0.25 * number) for number in range(1, 2 * MAX_RELATIONS)]
    assert len(table_layout(row, subject.relations()).relations) == MAX_RELATIONS


def test_opinions_come_back_to_the_owner_and_only_for_instructions_that_want_a_judge(start, wait_for):
    subject = FakeMap(THIRSTY, MUG)
    judging, judge, tasks, _ = start(subject)
    subject.show(instance(1), instance(2))
    judging.offer()
    wait_for(lambda: tasks)
    assert judge.asked == [("drink", (1, 2))]
    assert subject.opinions == []  # nothing is done in the thread of the judge
    tasks.pop()()
    assert subject.opinions == [("drink", {1: Opinion(1.0), 2: Opinion(1.0)})]
    assert judging.diagnose()["judge answers"] == 1
    assert judging.diagnose()["judge server circuit"] == "closed"


def test_the_newest_table_wins_and_an_unchanged_one_is_not_asked_about_again(start, wait_for):
    subject = FakeMap(THIRSTY)
    judging, judge, tasks, _ = start(subject)
    judge.may_answer.clear()
    subject.show(instance(1))
    judging.offer()
    wait_for(lambda: judge.asked)
    for number in (2, 3, 4):
        subject.show(instance(1), instance(number))
        judging.offer()  # at once, though the judge thinks
    assert judging.diagnose()["judge tables waiting"] == 1
    judge.may_answer.set()
    wait_for(lambda: len(tasks) == 2)
    subject.show(instance(1), instance(4))
    judging.offer()
    assert judging.diagnose()["judge tables waiting"] == 0
    assert judge.asked == [("drink", (1,)), ("drink", (1, 4))]


@pytest.mark.parametrize("change", ["reset", "replaced", "cancelled"])
def test_answers_about_what_is_no_more_are_dropped(change, start, wait_for):
    subject = FakeMap(THIRSTY)
    judging, judge, tasks, _ = start(subject)
    judge.may_answer.clear()
    subject.show(instance(1))
    judging.offer()
    wait_for(lambda: judge.asked)
    if change == "reset":
        subject.resets += 1
    else:
        replaced = Instruction("drink", "I am cold.", THIRSTY.constraint)
        subject.instructions = () if change == "cancelled" else (replaced,)
    judge.may_answer.set()
    wait_for(lambda: tasks)
    tasks.pop(0)()
    assert subject.opinions == []
    if change != "cancelled":
        judging.offer()
        wait_for(lambda: len(judge.asked) == 2)
        wait_for(lambda: tasks)
        tasks.pop(0)()
        assert len(subject.opinions) == 1


def test_a_server_that_was_away_is_asked_again_and_other_failures_once_more(start, wait_for, monkeypatch):
    monkeypatch.setattr("lira_ros.fusion.table_judging.LEAST_PAUSE_S", 0.01)
    subject = FakeMap(THIRSTY)
    judging, judge, tasks, failures = start(subject)
    away = ServerUnavailable("away", 0.0)
    judge.errors = [away, away, ReasoningError("gibberish"), away, ValueError("a bug"), ReasoningError("again")]
    subject.show(instance(1))
    judging.offer()
    wait_for(lambda: len(tasks) == 5)
    while tasks:
        tasks.pop(0)()
    said = ("away", "away", "gibberish", "away", "ValueError('a bug')")
    assert failures == [f"drink: the judge did not answer: {text}" for text in said]
    judging.offer()
    assert judging.diagnose()["judge tables waiting"] == 0  # given up
    subject.show(instance(1), instance(2))
    judging.offer()
    wait_for(lambda: len(tasks) == 2)  # fails once more, and is answered
    while tasks:
        tasks.pop(0)()
    assert judging.diagnose()["judge failures"] == 6
    assert subject.opinions == [("drink", {1: Opinion(1.0), 2: Opinion(1.0)})]
    assert judge.asked == [("drink", (1,))] * 5 + [("drink", (1, 2))] * 2


def test_close_ends_the_thread_while_the_judge_thinks(start, wait_for):
    subject = FakeMap(THIRSTY)
    judging, judge, tasks, _ = start(subject)
    judge.may_answer.clear()
    subject.show(instance(1))
    judging.offer()
    wait_for(lambda: judge.asked)
    judging.close()
    assert judge.closed
    assert not judging._thread.is_alive()
    assert tasks == []

"""What waits for a page: bounded whatever the page does, and complete once it reads."""

import json

import numpy as np
import pytest

from lira_ros.web.frames import frame, read_frame
from lira_ros.web.outbox import BATCH_CHARACTERS, MOST_REPLIES, WINDOW_BYTES, Outbox, SlowPageError
from lira_ros.web.store import Key, Store


class Page:
    """What a page holds that has read some messages of an outbox."""

    def __init__(self, outbox):
        self.outbox = outbox
        self.values = {}
        self.messages = []

    def read(self, most=1000):
        """Read and confirm messages, as the page does; returns how many came."""
        for count in range(most):
            message = self.outbox.take()
            if message is None:
                return count
            self.messages.append(message)
            if isinstance(message, bytes):
                head, arrays = read_frame(message)
                self.values[Key(head["kind"], head["name"])] = arrays[0].tolist()
            elif (value := json.loads(message))["kind"] == "state":
                self.values |= {Key(*key): item for key, item in value["changed"]}
                for key in value["gone"]:
                    self.values.pop(Key(*key))
            self.outbox.confirm(len(self.messages))
        return most


@pytest.fixture
def store():
    return Store()


@pytest.fixture
def page(store):
    """Return a page whose outbox hears of every change at once."""
    outbox = Outbox(store)
    store.on_change(lambda: None)
    page = Page(outbox)
    page.spread = lambda: outbox.note(store.take_changes())
    return page


def region(name, size=100, value=0):
    return frame({"kind": "region", "name": name}, np.full(size, value, dtype=np.uint8))


def test_a_new_page_is_told_everything_that_there_is(store):
    store.put(Key("instance", "7"), {"label": "mug"})
    store.put(Key("region", "0,0,0"), region("0,0,0"))
    page = Page(Outbox(store))
    page.read()
    assert page.values == {Key("instance", "7"): {"label": "mug"}, Key("region", "0,0,0"): [0] * 100}
    assert page.read() == 0


def test_a_page_that_does_not_read_costs_one_entry_for_each_thing(store, page):
    for turn in range(500):
        store.put(Key("picture"), frame({"kind": "picture", "name": ""}, np.full(1000, turn % 256, dtype=np.uint8)))
        for number in range(3):
            store.put(Key("region", str(number)), region(str(number), value=turn % 256))
        store.put(Key("instance", "1"), {"turn": turn})
        page.spread()
    assert len(page.outbox) == 5
    assert page.read() == 5
    assert page.values[Key("instance", "1")] == {"turn": 499}
    assert page.values[Key("picture")] == [499 % 256] * 1000
    assert page.values[Key("region", "2")] == [499 % 256] * 100


def test_what_comes_and_goes_unseen_leaves_nothing_behind(store, page):
    for number in range(1000):
        store.put(Key("instance", str(number)), {})
        store.put(Key("voxels", str(number)), frame({"kind": "voxels", "name": str(number)}))
        page.spread()
        store.remove(Key("instance", str(number)))
        store.remove(Key("voxels", str(number)))
        page.spread()
        assert len(page.outbox) == 0
    assert page.outbox.take() is None


def test_a_page_is_told_what_it_holds_and_what_is_gone(store, page):
    store.put(Key("instance", "1"), {})
    store.put(Key("region", "a"), region("a"))
    page.spread()
    page.read()
    store.remove_kind("region")
    store.remove(Key("instance", "1"))
    page.spread()
    page.read()
    assert page.values == {}
    assert json.loads(page.messages[-1])["gone"] == [["region", "a"], ["instance", "1"]]


def test_what_is_gone_and_back_again_is_there_in_the_end(store, page):
    store.put(Key("region", "a"), region("a", value=1))
    page.spread()
    page.read()
    store.remove(Key("region", "a"))
    page.spread()
    store.put(Key("region", "a"), region("a", value=2))
    page.spread()
    page.read()
    assert page.values == {Key("region", "a"): [2] * 100}


def test_no_more_than_a_window_is_on_the_way(store, page):
    size = WINDOW_BYTES // 4
    for number in range(20):
        store.put(Key("region", str(number)), region(str(number), size))
    page.spread()
    while page.outbox.take() is not None:
        pass
    assert WINDOW_BYTES <= page.outbox.unconfirmed_bytes < WINDOW_BYTES + 2 * size
    sent = page.outbox.sent_messages
    page.outbox.confirm(sent - 1)
    assert page.outbox.take() is not None
    page.outbox.confirm(sent + 1)
    assert page.outbox.unconfirmed_bytes == 0


def test_only_what_was_sent_can_be_confirmed_and_only_once(store, page):
    store.put(Key("a"), 1)
    page.spread()
    page.outbox.take()
    for wrong in (2, 10**9, -1):
        with pytest.raises(ValueError, match="received: expected 0 to 1 messages, got"):
            page.outbox.confirm(wrong)
    page.outbox.confirm(1)
    with pytest.raises(ValueError, match="expected 1 to 1 messages, got 0"):
        page.outbox.confirm(0)


def test_small_things_and_answers_overtake_large_ones_and_kinds_take_turns(store, page):
    for number in range(3):
        store.put(Key("region", str(number)), region(str(number)))
    store.put(Key("picture"), frame({"kind": "picture", "name": ""}, np.zeros(1, np.uint8)))
    page.spread()
    page.outbox.take()
    store.put(Key("instance", "1"), {"x": 1})
    page.spread()
    page.outbox.reply({"kind": "answer"})
    taken = [page.outbox.take() for _ in range(5)]
    kinds = [read_frame(item)[0]["kind"] if isinstance(item, bytes) else json.loads(item)["kind"] for item in taken]
    assert kinds == ["answer", "state", "picture", "region", "region"]


def test_many_small_things_come_in_several_texts(store, page):
    for number in range(100):
        store.put(Key("instance", str(number)), "x" * (BATCH_CHARACTERS // 10))
    page.spread()
    assert 9 <= page.read() <= 11
    assert len(page.values) == 100


def test_a_page_that_asks_without_reading_is_given_up(page):
    for _ in range(MOST_REPLIES):
        page.outbox.reply({})
    with pytest.raises(SlowPageError):
        page.outbox.reply({})


def test_the_store_wakes_once_and_holds_no_value_twice(store):
    woken = []
    store.on_change(lambda: woken.append(True))
    for number in range(10):
        store.put(Key("a"), number)
        store.put(Key("b"), 1)
    assert len(woken) == 1
    assert store.take_changes() == [Key("a"), Key("b")]
    store.put(Key("b"), 1)
    assert store.take_changes() == []
    store.put(Key("b"), 2)
    assert len(woken) == 2
    with pytest.raises(ValueError, match="JSON"):
        store.put(Key("c"), float("nan"))
    assert store.size_bytes() == 2

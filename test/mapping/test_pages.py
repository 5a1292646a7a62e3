from pathlib import Path

import numpy as np
import pytest

from lira_ros.mapping import pages
from lira_ros.mapping.tsdf import BYTES_PER_BLOCK, Volume


def resident_bytes():
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("the memory of this process can only be read on Linux")
    return int(status.read_text().split("RssAnon:")[1].split()[0]) * 1024


def row(blocks):
    return np.stack([np.arange(blocks), np.zeros(blocks), np.zeros(blocks)], axis=1).astype(np.int32)


def test_memory_that_is_given_back_leaves_the_process_and_is_zero_when_it_comes_again():
    array = np.zeros(20 << 20, dtype=np.uint8)
    array[:] = 0
    before = resident_bytes()
    assert pages.give_back(array)
    assert resident_bytes() < before - (15 << 20)
    assert not array.any()


def test_memory_of_an_array_goes_back_with_it():
    arrays = [pages.empty((1 << 20, 2), np.uint8) for _ in range(20)]
    for array in arrays:
        assert array.shape == (1 << 20, 2)
        assert not array.any()
        array[:] = 1
    before = resident_bytes()
    del arrays[::2], array  # what the allocator of the C library might keep, being in between
    assert resident_bytes() < before - (15 << 20)
    assert pages.empty((0, 3), np.float32).shape == (0, 3)


def test_the_allocator_can_be_asked_for_what_it_keeps():
    kept = [bytes(100_000) for _ in range(200)]  # below the size from which memory comes straight from the system
    last = bytes(100_000)
    kept.clear()
    before = resident_bytes()
    pages.trim()
    assert resident_bytes() <= before
    assert len(last) == 100_000


def test_less_than_a_page_is_nothing_to_give_back():
    assert pages.give_back(np.zeros(8, dtype=np.uint8))


def test_a_volume_gives_back_what_many_discarded_blocks_held_and_keeps_the_others():
    small = Volume(0.02, 0.08, 8)
    small.allocate(row(8))
    small.discard(row(8))  # compiled here, as that takes memory
    volume = Volume(0.02, 0.08, 8000)
    blocks = row(6000)
    volume.records[volume.allocate(blocks)] = blocks[:, 0][:, None, None] + 1.0
    held, memory = volume.bytes_used, resident_bytes()
    assert held >= 6000 * BYTES_PER_BLOCK
    volume.discard(blocks[100:])
    assert volume.bytes_used < held - 3000 * BYTES_PER_BLOCK
    assert resident_bytes() < memory - 2000 * BYTES_PER_BLOCK
    np.testing.assert_array_equal(volume.records[volume.find(blocks[:100]), 0, 0], blocks[:100, 0] + 1.0)
    assert not volume.records[volume.allocate(blocks[100:])].any()


def test_memory_that_a_volume_keeps_for_the_next_blocks_is_counted():
    volume = Volume(0.02, 0.08, 8000)
    volume.records[volume.allocate(row(3000))] = 1.0
    volume.clear()
    assert volume.bytes_used >= 3000 * BYTES_PER_BLOCK
    volume.release()
    assert volume.bytes_used < 3000 * BYTES_PER_BLOCK

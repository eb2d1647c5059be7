"""How often Python looks for cycles while logs are read."""

import gc
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from replay.readers import NothingFound, read
from replay.readers.garbage import fewer_collections


@pytest.fixture(autouse=True)
def thresholds():
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


def test_the_thresholds_are_set_back(tmp_path):
    gc.set_threshold(700, 9, 8)
    with fewer_collections():
        assert gc.get_threshold() == (50_000, 9, 8)
        with fewer_collections():
            assert gc.get_threshold() == (50_000, 9, 8)
        assert gc.get_threshold() == (50_000, 9, 8)
    assert gc.get_threshold() == (700, 9, 8)
    with pytest.raises(NothingFound):
        read([tmp_path])
    assert gc.get_threshold() == (700, 9, 8)


def test_threads_that_read_at_once():
    gc.set_threshold(700, 9, 8)
    together = Barrier(4)

    def work(turn):
        for _ in range(turn):
            together.wait()
            with fewer_collections():
                together.wait()
                assert gc.get_threshold()[0] == 50_000

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(work, [20] * 4))
    assert gc.get_threshold() == (700, 9, 8)


@pytest.mark.parametrize("first", [0, 100_000])
def test_what_the_caller_has_chosen_is_kept(first):
    gc.set_threshold(first, 9, 8)
    with fewer_collections():
        assert gc.get_threshold() == (first, 9, 8)
    assert gc.get_threshold() == (first, 9, 8)

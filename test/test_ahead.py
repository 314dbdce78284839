# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Work on several threads gives what work on one would, in order and in constant memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from floppynet_vpr.ahead import ahead


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers()), st.integers(1, 5))
def test_results_come_in_order(values: list[int], threads: int) -> None:
    results = [result() for result in ahead((partial(abs, value) for value in values), threads)]
    assert results == [abs(value) for value in values]


def test_calls_do_run_at_once() -> None:
    together = threading.Barrier(3)
    results = [result() for result in ahead([partial(together.wait, 60)] * 6, 3)]
    assert len(results) == 6


def test_an_error_comes_at_its_turn_and_the_rest_goes_on() -> None:
    results = ahead([partial(int, text) for text in ("1", "two", "3")], 2)
    assert next(results)() == 1
    failed = next(results)
    with pytest.raises(ValueError, match="two"):
        failed()
    assert next(results)() == 3


def test_no_more_is_in_hand_than_two_for_each_thread() -> None:
    taken: list[int] = []

    def calls() -> Iterator[Callable[[], int]]:
        for number in range(100):
            taken.append(number)
            yield partial(abs, number)

    for given_back, result in enumerate(ahead(calls(), 2), 1):
        result()
        assert len(taken) <= given_back + 3


def test_whoever_stops_early_leaves_no_thread_behind() -> None:
    before = set(threading.enumerate())
    results = ahead((partial(abs, number) for number in range(100)), 4)
    next(results)
    results.close()  # type: ignore[attr-defined]
    assert set(threading.enumerate()) <= before

# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Frames are described on several cores, in order, a few at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import pytest

from floppynet_vpr.datasets.frames import Frame
from floppynet_vpr.errors import VprError
from floppynet_vpr.extraction import create_extractor, describe_frames

COUNT = 30


def frame(number: int) -> Frame:
    rgb = np.random.default_rng(number).integers(0, 256, (40, 60, 3), np.uint8)
    return Frame(f"frame {number}", number, rgb)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_frames_come_described_in_order(workers: int) -> None:
    extractors = [create_extractor() for _ in range(workers)]
    described = list(describe_frames((partial(frame, n) for n in range(COUNT)), extractors))
    assert [(d.name, d.stamp_ns) for d in described] == [(f"frame {n}", n) for n in range(COUNT)]
    for number, result in enumerate(described):
        expected = extractors[0].describe(frame(number).rgb)
        np.testing.assert_array_equal(result.descriptor, expected)


def test_only_a_few_frames_are_in_memory() -> None:
    lock = threading.Lock()
    in_hand = most = 0

    def load(number: int) -> Frame:
        nonlocal in_hand, most
        with lock:
            in_hand += 1
            most = max(most, in_hand)
        return frame(number)

    described = describe_frames(
        (partial(load, n) for n in range(COUNT)), [create_extractor() for _ in range(2)]
    )
    for _ in described:
        with lock:
            in_hand -= 1
    assert most <= 4


def test_an_unreadable_frame_is_told_after_those_before_it() -> None:
    def broken() -> Frame:
        raise VprError("frame 3 is damaged")

    def loads() -> Iterator[Callable[[], Frame]]:
        for number in range(COUNT):
            yield broken if number == 3 else partial(frame, number)

    seen = []
    with pytest.raises(VprError, match="frame 3"):
        for result in describe_frames(loads(), [create_extractor() for _ in range(2)]):
            seen.append(result.name)
    assert seen == ["frame 0", "frame 1", "frame 2"]

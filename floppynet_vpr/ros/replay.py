# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""What a launched replay decides and says, apart from the launch system itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

Action = TypeVar("Action")

KEEP_EVERY_IMAGE = 1000
"""queue_size of a replay: nobody waits for the newest image, and none should be lost."""

DISCOVERY_S = 4.0
"""Before the first image of a replay by `ros2 bag play`, which waits for nobody.

DDS announces itself every 3 seconds: a subscription can be that late where the first announcement
was lost, and what was sent before is gone. Then the node asks for the publisher's QoS.
"""


def after_exit(step: str, status: int, shutting_down: bool, then: Sequence[Action]) -> list[Action]:
    """What follows when the process of a step has ended; raises RuntimeError where it failed.

    Nothing while the launch is ending: a second shutdown would fail on the first one's remains.
    """
    if shutting_down:
        return []
    if status != 0:
        raise RuntimeError(f"{step} failed with status {status}: its own words are above")
    return list(then)


def how_long(stamps_ns: Sequence[int], rate: float) -> str:
    """Say how many images a replay has and how long it takes, such as "200 images, 0:00:20"."""
    seconds = round((stamps_ns[-1] - stamps_ns[0]) / 1e9 / rate) if stamps_ns else 0
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    return f"{len(stamps_ns)} images, {hour}:{minute:02}:{second:02}"

# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""ROS time as one number: nanoseconds, which no float64 holds to the last digit."""

from typing import Final, Protocol

SECOND_NS: Final = 1_000_000_000


class Stamp(Protocol):
    """A builtin_interfaces/Time, whichever library made it."""

    sec: int
    nanosec: int


def nanoseconds(stamp: Stamp) -> int:
    """Give a stamp as one number."""
    return int(stamp.sec) * SECOND_NS + int(stamp.nanosec)

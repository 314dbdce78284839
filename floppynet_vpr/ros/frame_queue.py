# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""A short queue between two threads that drops its oldest item for a new one.

A robot wants to know where it is now: with room for one item, the newest frame is always the next
to be worked on, older ones are dropped, and nothing piles up.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

Item = TypeVar("Item")


class FrameQueue(Generic[Item]):
    """Hands items from a producer to a consumer, oldest first, at most `size` waiting."""

    def __init__(self, size: int) -> None:
        self._condition = threading.Condition()
        self._items: deque[Item] = deque(maxlen=size)
        self._closed = False

    def put(self, item: Item) -> bool:
        """Add an item; returns whether the oldest was dropped for it."""
        with self._condition:
            dropped = len(self._items) == self._items.maxlen
            self._items.append(item)
            self._condition.notify()
            return dropped

    def take(self) -> Item | None:
        """Wait for an item and take it; None once closed."""
        with self._condition:
            self._condition.wait_for(lambda: self._items or self._closed)
            return None if self._closed else self._items.popleft()

    def close(self) -> None:
        """Wake the consumer and end; what waits is dropped."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()

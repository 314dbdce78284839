# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""A place for one item between two threads, where a newer item replaces an older one.

A robot wants to know where it is now: under load the newest frame is worked on first, older ones
are dropped, and nothing queues up.
"""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Newest(Generic[Item]):
    """Hands the newest item from a producer to a consumer."""

    def __init__(self) -> None:
        """Start empty and open."""
        self._condition = threading.Condition()
        self._item: Item | None = None
        self._closed = False

    def put(self, item: Item) -> bool:
        """Offer an item; returns whether an older one was dropped for it."""
        with self._condition:
            dropped = self._item is not None
            self._item = item
            self._condition.notify()
            return dropped

    def take(self) -> Item | None:
        """Wait for an item and take it; None once closed."""
        with self._condition:
            self._condition.wait_for(lambda: self._item is not None or self._closed)
            item, self._item = self._item, None
            return None if self._closed else item

    def close(self) -> None:
        """Wake the consumer and end."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()

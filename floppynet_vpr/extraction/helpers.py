# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Threads that wait to be called, a few microseconds away.

`concurrent.futures` does the same with results, exceptions and cancellation, which take longer
than the work that there is to share here.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from queue import SimpleQueue

_Job = Callable[[], None]


class Helpers:
    """`count` threads that do what they are called for, once each; they end with this object."""

    def __init__(self, count: int, name: str) -> None:
        self._count = count
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        for number in range(count):
            thread = threading.Thread(
                target=_work, args=(self._jobs,), name=f"{name}-{number}", daemon=True
            )
            thread.start()
        weakref.finalize(self, _dismiss, self._jobs, count)

    def call(self, job: _Job) -> None:
        """Let every thread do `job`, which must not raise, as soon as it can; do not wait."""
        for _ in range(self._count):
            self._jobs.put(job)


def _work(jobs: SimpleQueue[_Job | None]) -> None:
    while (job := jobs.get()) is not None:
        job()
        del job  # it may be all that keeps its owner, and with it this thread


def _dismiss(jobs: SimpleQueue[_Job | None], count: int) -> None:
    for _ in range(count):
        jobs.put(None)

# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Work on several threads whose results come in order, in constant memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_AHEAD = 2
"""Calls in hand per thread: one being worked on, one ready."""

Result = TypeVar("Result")


def ahead(
    calls: Iterable[Callable[[], Result]],
    threads: int,
    prepare: Callable[[], object] = lambda: None,
) -> Iterator[Callable[[], Result]]:
    """Run calls on threads, `prepare` first in each; only a few are taken before their turn.

    Gives for each call, in order, the function that waits for it and returns its result, or raises
    what it raised.
    """
    under_way: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads, "ahead", prepare) as workers:
        try:
            for call in calls:
                under_way.append(workers.submit(call))
                if len(under_way) == _AHEAD * threads:
                    yield under_way.popleft().result
            while under_way:
                yield under_way.popleft().result
        finally:
            for future in under_way:
                future.cancel()

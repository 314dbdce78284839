# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The thread that works on images, one after the other, and survives the bad ones.

The executor's thread only takes messages in and keeps the newest. So a burst of images never piles
up, and services answer while an image is worked on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from floppynet_vpr.extraction.threads import set_threads
from floppynet_vpr.imaging.payload import ImageError
from floppynet_vpr.ros.frame_queue import FrameQueue
from floppynet_vpr.ros.guard import UnforeseenErrors
from floppynet_vpr.ros.statistics import FrameStatistics


class FrameWorker:
    """Hands image messages to `process`, with the moment each arrived (`time.perf_counter`)."""

    def __init__(
        self,
        process: Callable[[Any, float], None],
        queue_size: int,
        statistics: FrameStatistics,
        logger: Any,
        errors: UnforeseenErrors,
        running: Callable[[], bool],
        threads: int,
    ) -> None:
        """Start; `running` tells whether ROS has not been shut down.

        `threads`: how many each library may compute with.
        """
        self._process = process
        self._statistics = statistics
        self._logger = logger
        self._running = running
        self._threads = threads
        self._errors = errors
        self._arrivals: FrameQueue[tuple[Any, float]] = FrameQueue(queue_size)
        self._thread = threading.Thread(target=self._work, name="vpr_frames", daemon=True)
        self._thread.start()

    def put(self, message: Any) -> None:
        """Take an image in; the oldest that waits may be dropped for it."""
        dropped = self._arrivals.put((message, time.perf_counter()))
        self._statistics.image_received(dropped)

    def close(self) -> None:
        """Finish the image that is worked on, and end."""
        self._arrivals.close()
        self._thread.join()

    def _work(self) -> None:
        set_threads(self._threads)  # OpenMP keeps this for each thread that computes
        while (arrival := self._arrivals.take()) is not None:
            try:
                self._process(*arrival)
            except ImageError as error:
                if self._statistics.image_bad(error.kind):
                    self._logger.warning(
                        f"an image could not be used: {error} (more of this kind are counted in "
                        "/diagnostics, not reported)"
                    )
            except Exception as error:
                if not self._running():
                    return  # shut down while this image was on its way
                self._statistics.image_bad("internal error")
                self._errors.tell("an image could not be processed", error)

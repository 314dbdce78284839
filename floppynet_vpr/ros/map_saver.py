# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Keeps a map file up with the map that grows, without holding up frames.

The file is this process's alone while it runs. A thread writes it every few seconds, whole and in
one step, so that a process that is killed at any moment loses no more than the last of these.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from floppynet_vpr.file_lock import FileLock
from floppynet_vpr.files import user_path
from floppynet_vpr.mapping.map_file import write_map
from floppynet_vpr.ros.guard import in_words
from floppynet_vpr.ros.map_in_use import MapInUse


class MapSaver:
    """Writes `path` while it runs, and once more when it is stopped, if the map has changed."""

    def __init__(
        self,
        path: Path,
        map_in_use: MapInUse,
        period: Callable[[], float],
        warn: Callable[[str], object],
    ) -> None:
        """Take the file for this process alone; raises VprError when another has it.

        `period` gives the seconds between two savings, `warn` is told once of every reason why the
        map could not be saved.
        """
        # Of a link, the file it leads to: a saving replaces a file, and all its names share a lock.
        self.path = user_path(str(path)).resolve()
        self.error = ""
        """Why the last saving failed; empty: it did not."""
        self._lock = FileLock(self.path)
        self._map = map_in_use
        self._period = period
        self._warn = warn
        self._saved_version = map_in_use.version[1]
        self._saved_places = 0
        self._saved_at: float | None = None
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def in_step(self) -> None:
        """Note that the file is as the map, as it is after loading it."""
        self._saved_version = self._map.version[1]

    def start(self) -> None:
        """Save from now on."""
        self._stopping.clear()
        self._thread = threading.Thread(target=self._run, name="vpr_map_saver", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Save what is new, and no more from then on."""
        if self._thread is not None:
            self._stopping.set()
            self._thread.join()
            self._thread = None
            self._save()

    def close(self) -> None:
        """Stop, and let others write the file."""
        self.stop()
        self._lock.release()

    @property
    def facts(self) -> dict[str, object]:
        """The state of the file, for people."""
        if self._saved_at is None:
            last = "none yet"
        else:
            last = f"{self._saved_places} places, {time.monotonic() - self._saved_at:.0f} s ago"
        return {"map file": self.path, "last saving": self.error or last}

    def _run(self) -> None:
        while not self._stopping.wait(self._period()):
            self._save()

    def _save(self) -> None:
        if self._map.version[1] == self._saved_version:
            return
        try:
            version, content = self._map.content()
            write_map(self.path, content)
        except Exception as error:
            # Also what nobody foresaw, such as a lack of memory: the next saving may succeed.
            reason = in_words(error)
            if reason != self.error:
                self._warn(f"the map is not saved, which is tried again: {reason}")
            self.error = reason
            return
        self.error = ""
        self._saved_version, self._saved_places = version, len(content.places)
        self._saved_at = time.monotonic()

# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""One writer at a time for a file, whatever becomes of the process that writes it."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

from floppynet_vpr.errors import VprError
from floppynet_vpr.files import remove_leftovers


class FileLock:
    """The sole right to write a file, from construction until `release` or the process's end.

    It is a lock on the file `<name>.lock` beside it. The system takes the lock back when the
    process ends, even by kill -9, so that nobody is ever locked out by the dead, and what these
    left half written is removed. All names of a file, links to it, share one lock.

    As a context (`with FileLock(path):`) it is released at the end.
    """

    def __init__(self, path: Path) -> None:
        """Lock `path`, which need not exist; its folder is made.

        Raises VprError when another process has the lock, with its number, or when the folder
        takes no files.
        """
        path = path.resolve()
        self._path = path.with_name(f"{path.name}.lock")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            while True:
                self._handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
                try:
                    fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    owner = os.read(self._handle, 20).decode(errors="replace").strip()
                    os.close(self._handle)
                    raise VprError(
                        f"{path} is being written by another process ({owner or 'unknown'}): "
                        "stop that one, or give this one another file"
                    ) from None
                if self._is_in_place():
                    break
                os.close(self._handle)  # removed by its owner between opening and locking
            os.ftruncate(self._handle, 0)
            os.pwrite(self._handle, f"{os.getpid()}\n".encode(), 0)
        except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links, to Python 3.12
            reason = getattr(error, "strerror", None) or error
            raise VprError(f"cannot write {self._path}: {reason}") from None
        remove_leftovers(path)

    def __enter__(self) -> FileLock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        """Let others write the file."""
        with contextlib.suppress(OSError):
            os.unlink(self._path)
        os.close(self._handle)

    def _is_in_place(self) -> bool:
        try:
            found = os.stat(self._path)
        except FileNotFoundError:
            return False
        return os.path.samestat(found, os.fstat(self._handle))

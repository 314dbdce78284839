# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from floppynet_vpr.errors import VprError


def write_atomically(path: Path, parts: Iterable[bytes | memoryview]) -> None:
    """Write `parts` to `path` so that a crash at any moment leaves the old file or the new one.

    The bytes go to a temporary file beside `path`, are flushed to the disk, and take the name in
    one step; missing folders are made. Raises VprError naming the file when the disk does not
    take it, in which case an older file is untouched.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
            os.fchmod(file.fileno(), 0o666 & ~_umask())
        os.replace(temporary, path)
        temporary = None
        _flush_directory(path.parent)
    except OSError as error:
        raise VprError(
            f"cannot write {path}: {error.strerror}; an older file there is untouched"
        ) from None
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)


def _umask() -> int:
    """Read the umask, which cannot be done without setting it."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _flush_directory(directory: Path) -> None:
    """Make a rename durable."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

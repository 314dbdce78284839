# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Final

from floppynet_vpr.errors import VprError

TEMPORARY_SUFFIX: Final = ".part"
"""Ends the hidden names under which files are written before they take their own."""


def user_path(text: str) -> Path:
    """Take a path as people write it: a leading ~ or ~name is a home folder.

    Raises VprError where there is no such user.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise VprError(f"cannot use the path {text}: no such user, so no home folder") from None


def open_file(path: Path) -> BinaryIO:
    """Open a file for reading its bytes.

    Raises OSError, as `open` does, and for anything but a file: a pipe would keep one waiting.
    """
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        require_file(handle, path)
        return os.fdopen(handle, "rb")
    except OSError:
        os.close(handle)
        raise


def require_file(file: Path | int, name: Path) -> None:
    """Raise OSError unless a path or an open handle is that of a file."""
    if not stat.S_ISREG(os.stat(file).st_mode):
        raise OSError(errno.EINVAL, "it is no file (but a folder, a pipe or a device)", str(name))


def require_new(output: Path, force: bool) -> None:
    """Raise VprError where a file exists and is not to be replaced, or its folder takes none.

    To be called before the work whose result is written there; a missing folder is made.
    """
    if output.exists() and not (force and output.is_file()):
        raise VprError(f"{output} exists: choose another name, or --force to replace a file")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise VprError(f"cannot write {output}: {error.strerror}") from None
    if not os.access(output.parent, os.W_OK):
        raise VprError(f"cannot write {output}: no permission to write to {output.parent}")


def write_atomically(path: Path, parts: Iterable[bytes | memoryview]) -> None:
    """Write `parts` to `path` so that a crash at any moment leaves the old file or the new one.

    The bytes go to a temporary file beside `path`, are flushed to the disk, and take the name in
    one step; missing folders are made. A link stays and the file it leads to is replaced; the
    access mode of an older file is kept. Raises VprError naming the file and telling what is
    there now when the disk does not take it.
    """
    temporary = None
    try:
        # A saving replaces a file: of a link, the one that it leads to.
        target = Path(path).resolve()
        if target.exists():
            require_file(target, path)
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(
            prefix=f".{target.name}.", suffix=TEMPORARY_SUFFIX, dir=target.parent
        )
        with os.fdopen(handle, "wb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fchmod(file.fileno(), _mode_for(target))
            os.fsync(file.fileno())
        os.replace(temporary, target)
        temporary = None
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links, until Python 3.12
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise VprError(f"cannot write {path}: {reason}; an older file there is untouched") from None
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
    try:
        _flush_directory(target.parent)
    except OSError as error:
        raise VprError(
            f"{path} is written, but its folder could not be flushed ({error.strerror}): after a "
            "power failure the older file may be back"
        ) from None


def write_figure(path: Path, figure: Any, **options: Any) -> None:
    """Write a figure of matplotlib as a PNG file; raises VprError as `write_atomically`."""
    content = BytesIO()
    figure.savefig(content, format="png", **options)
    write_atomically(path, [content.getvalue()])


def remove_leftovers(path: Path) -> None:
    """Remove what killed writers of a file or folder left beside it, hidden and as large as it.

    Only for whoever has the lock of `path`: another writer's temporary would go, too.
    """
    mine = re.compile(rf"\.{re.escape(path.name)}\.[a-z0-9_]{{8}}{re.escape(TEMPORARY_SUFFIX)}")
    with contextlib.suppress(OSError):
        for entry in list(path.parent.iterdir()):
            if mine.fullmatch(entry.name):
                if entry.is_dir() and not entry.is_symlink():
                    shutil.rmtree(entry, ignore_errors=True)
                else:
                    entry.unlink(missing_ok=True)


def _mode_for(path: Path) -> int:
    """Give the access mode that the file has, or that a new one gets."""
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        return 0o666 & ~_umask()


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

# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""What a machine may deny a program: its standard streams, memory, room on a disk, a library."""

from __future__ import annotations

import os
import sys

from floppynet_vpr.libraries import told
from floppynet_vpr.text import shown

_MEMORY = "not enough memory ({}): free some, or raise the limit (ulimit -v)"
_NO_MEMORY_SIGNS = (
    "bad_alloc",
    "Cannot allocate memory",
    "cannot allocate memory",
    "failed to map segment",
    "Insufficient memory",
    "can't start new thread",
    "Unable to allocate",
)


def have_standard_streams() -> None:
    """Open to nowhere what was closed of stdin, stdout and stderr (`command >&-`).

    The first file that is opened would take the free number, and what is printed would be in it.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    # These stay open as long as the program runs.
    sys.stdin = sys.stdin or open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def what_is_denied(error: BaseException) -> str | None:
    """Say in a sentence what the machine lacks; None if `error` is a fault of the program."""
    text = " ".join(str(error).split())
    if isinstance(error, MemoryError) or any(sign in text for sign in _NO_MEMORY_SIGNS):
        return _MEMORY.format(text or "an allocation failed")
    if isinstance(error, UnicodeEncodeError):
        try:
            os.fsencode(error.object).decode("utf-8")
        except UnicodeError:
            return f"{shown(error.object)} is no UTF-8, which is needed: rename it or link to it"
        name = ascii(error.object)
        return f"this locale has no letters for {name}: set LC_ALL=C.UTF-8 or PYTHONUTF8=1"
    if isinstance(error, OSError) and (reason := error.strerror or text):
        return f"{error.filename}: {reason}" if error.filename else reason
    if isinstance(error, ImportError) and not (error.name or "").startswith(__package__):
        return f"a library that this needs cannot be loaded: {told(error)}"
    return None

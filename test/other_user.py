# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Tests of access modes, which root does not feel."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

NOBODY = 65534


@contextmanager
def as_nobody() -> Iterator[bool]:
    """Do what follows as a user who owns nothing; gives whether that is another one than before."""
    if os.geteuid() != 0:
        yield False
        return
    os.seteuid(NOBODY)
    try:
        yield True
    finally:
        os.seteuid(0)

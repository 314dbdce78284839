# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Compiles the kernels once and keeps the code on disk, so that the next process starts fast.

Import this module only where numba is wanted.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numba

from floppynet_vpr.extraction import compiled_kernels, compiled_plan, vector_code
from floppynet_vpr.extraction.compiled_kernels import SIGNATURES, begin, run_tasks

_COMPILE_SECONDS = 3
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Kernels:
    """The compiled functions; see `compiled_kernels`."""

    begin: Callable[..., None]
    run_tasks: Callable[..., None]


@cache
def load_kernels() -> Kernels:
    """Compile the kernels for this CPU, or load what an earlier process compiled.

    numba keeps the code beside its source, or in the user's cache where that is not writable, or
    in the folder that NUMBA_CACHE_DIR names.
    """
    dispatchers: dict[Any, Any] = {f: numba.njit(nogil=True)(f) for f in SIGNATURES}
    try:
        for dispatcher in dispatchers.values():
            dispatcher.enable_caching()
    except RuntimeError:
        _log.warning(
            "no folder to keep compiled kernels in, they are compiled at each start: "
            "set NUMBA_CACHE_DIR to a folder that can be written"
        )
    if not all(map(_is_kept, dispatchers.values())):
        _log.warning("compiling kernels, once, about %d s", _COMPILE_SECONDS)
    for function, dispatcher in dispatchers.items():
        _compile(dispatcher, SIGNATURES[function])
    return Kernels(dispatchers[begin], dispatchers[run_tasks])


def _compile(dispatcher: Any, signature: Any) -> None:
    if not _is_kept(dispatcher):
        dispatcher.recompile()  # of nothing yet: this only forgets what was kept
        dispatcher.compile(signature)
        return
    try:
        dispatcher.compile(signature)
    except Exception as error:
        _log.warning("compiling kernels again, the kept ones are damaged (%s)", error)
        dispatcher.recompile()
        dispatcher.compile(signature)


def _is_kept(dispatcher: Any) -> bool:
    """Whether numba keeps code of a function that is newer than what the code is made of.

    numba itself looks at the file of the function only.
    """
    folder = dispatcher.stats.cache_path
    if folder is None:
        return False
    name = f"{Path(compiled_kernels.__file__).stem}.{dispatcher.py_func.__name__}-"
    changed = max(Path(str(module.__file__)).stat().st_mtime for module in (vector_code, compiled_plan))
    return any(index.stat().st_mtime > changed for index in Path(folder).glob(f"{name}*.nbi"))

# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Libraries that a machine may lack, and what it would gain with them.

Whoever has another way asks `optional` and takes that where it gives None. Whoever has none asks
`require`, or just imports: the ImportError becomes a sentence where errors are told
(`surroundings.what_is_denied`).
"""

from __future__ import annotations

import importlib
import importlib.metadata
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any


@dataclass(frozen=True)
class Library:
    """`package`: what pip calls it; `gain`: what it adds to a node; `least`: oldest version."""

    package: str
    gain: str
    least: tuple[int, ...] = ()

    @property
    def advice(self) -> str:
        """How to get it."""
        if not self.least:
            return f"pip install {self.package}"
        return f'pip install "{self.package}>={".".join(map(str, self.least))}"'


LIBRARIES = {
    "llvmlite": Library(
        "llvmlite", "images are described, and places compared, several times faster", (0, 44)
    ),
    # Before 1.11, hammings() writes past its result for all but a few code sizes.
    "faiss": Library(
        "faiss-cpu",
        "without llvmlite, maps of more than 4,096 places are searched faster; evaluate works",
        (1, 11),
    ),
    "onnxruntime": Library(
        "onnxruntime", "networks of others (.onnx) and of several bits are computed, fast"
    ),
    # Before 0.11.6, stretches of MCAP files lacked messages.
    "rosbags": Library(
        "rosbags", "bags are read, written and played without ROS, ROS 1's too", (0, 11, 6)
    ),
}
"""Those that the node runs without, by the name of their module."""


def require(name: str) -> Any:
    """Import a library of `LIBRARIES`.

    Raises ImportError, with a sentence, where it is absent, too old or broken.
    """
    library = LIBRARIES[name]
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        raise ImportError(_absent(name, error), name=name) from error
    version = str(getattr(module, "__version__", None) or _installed(library.package))
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[: len(library.least)])
    if numbers < library.least:
        raise ImportError(f"{name} {version} is too old: {library.advice}", name=name)
    return module


@cache
def optional(name: str) -> Any | None:
    """Import a library of `LIBRARIES` that can be done without; None where there is none."""
    try:
        return require(name)
    except ImportError:
        return None


def gains() -> Iterator[str]:
    """What this machine would gain with each library that it lacks."""
    for name in LIBRARIES:
        try:
            require(name)
        except ImportError as error:
            yield f"{error} ({LIBRARIES[name].gain})"


def told(error: ImportError) -> str:
    """A library that is wanted and cannot be imported, in a sentence."""
    name = (error.name or "").partition(".")[0]
    if isinstance(error, ModuleNotFoundError) and name in LIBRARIES:
        return _absent(name, error)
    return " ".join(str(error).split())


def _installed(package: str) -> str:
    """The version that pip knows of; 0 where it knows none."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "0"


def _absent(name: str, error: ImportError) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name == name:
        return f"{name} is not installed: {LIBRARIES[name].advice}"
    return f"{name} cannot be loaded: {' '.join(str(error).split())}"

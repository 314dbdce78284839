# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Chooses an extractor: by name, or the fastest one that works here."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from floppynet_vpr.extraction.compiled import CompiledExtractor
from floppynet_vpr.extraction.extractor import ExtractionError, Extractor
from floppynet_vpr.extraction.onnx_int8 import OnnxIntegerExtractor
from floppynet_vpr.extraction.onnx_runtime import OnnxExtractor
from floppynet_vpr.extraction.packed import PackedExtractor
from floppynet_vpr.extraction.threads import set_threads
from floppynet_vpr.network.weights import NetworkWeights, load_weights

_MAKERS: dict[str, Callable[[NetworkWeights, int], Extractor]] = {
    "packed-llvm": CompiledExtractor,
    "packed-faiss": lambda weights, threads: PackedExtractor(weights, "faiss", threads),
    "onnxruntime-int8": OnnxIntegerExtractor,
    "packed-numpy": lambda weights, threads: PackedExtractor(weights, "numpy", threads),
    "onnxruntime": OnnxExtractor,
}
CONCRETE_BACKENDS = tuple(_MAKERS)
"""The names that stand for one way to compute, fastest first."""
_PACKED = tuple(name for name in _MAKERS if name.startswith("packed"))
_CANDIDATES = {"auto": CONCRETE_BACKENDS, "packed": _PACKED} | {name: (name,) for name in _MAKERS}

BACKENDS = tuple(_CANDIDATES)
"""The names that `create_extractor` takes: `auto` and `packed` choose the fastest that works.

Those that begin with `packed` compute with bits, hence binary networks only; the others all.
"""

_log = logging.getLogger(__name__)


def backends_for(weights: NetworkWeights) -> tuple[str, ...]:
    """The concrete backends that compute this network, fastest first."""
    return tuple(name for name in _MAKERS if weights.bits == 1 or name not in _PACKED)


def create_extractor(
    weights: Path | NetworkWeights | None = None, backend: str = "auto", threads: int = 1
) -> Extractor:
    """Make an extractor; `describe()` of it turns an image into a descriptor.

    `weights` is a .fnet file, loaded weights, or None for those that the package carries.
    `threads` is set for the whole process (see `set_threads`). Where `backend` leaves a choice,
    what is not available is said in the log. Raises ExtractionError when the backend is unknown,
    does not compute networks of so many bits, its library is absent or it does not work here,
    WeightsError for an unusable file.
    """
    if backend not in _CANDIDATES:
        raise ExtractionError(f"unknown backend '{backend}': choose one of {', '.join(BACKENDS)}")
    if threads < 1:
        raise ExtractionError(f"threads is {threads}: it must be at least 1")
    if not isinstance(weights, NetworkWeights):
        weights = load_weights(weights)
    fitting = backends_for(weights)
    candidates = [name for name in _CANDIDATES[backend] if name in fitting]
    if not candidates:
        raise ExtractionError(
            f"{backend} computes networks of one bit, {weights.spec.title} has {weights.bits}: "
            f"choose auto or one of {', '.join(fitting)}"
        )
    failures = []
    for name in candidates:
        try:
            extractor = _MAKERS[name](weights, threads)
        except ImportError as error:
            failures.append(f"{name} is not available ({error})")
            continue
        except ExtractionError as error:
            failures.append(f"{name} does not work ({error})")
            continue
        if failures:
            _log.warning("extraction is slower than it could be: %s", "; ".join(failures))
        set_threads(threads)
        return extractor
    raise ExtractionError(f"{'; '.join(failures)}: install the library or choose another backend")

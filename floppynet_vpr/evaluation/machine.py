# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""What a measured time depends on: the CPU, its vector instructions, the libraries."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_CPU_INFO = Path("/proc/cpuinfo")
_MODEL_KEYS = ("model name", "Model", "Hardware", "CPU part")
_FLAGS = (
    *("ssse3", "avx2", "avx_vnni", "avx512bw", "avx512_vnni", "avx512_vpopcntdq"),
    *("asimd", "asimddp", "i8mm", "sve"),
)
_LIBRARIES = ("numpy", "onnxruntime", "faiss-cpu", "llvmlite", "larq-compute-engine")


@dataclass(frozen=True)
class Machine:
    """The machine as far as it matters; libraries that are absent have the version ''."""

    cpu: str
    cores: int
    flags: tuple[str, ...]
    python: str
    libraries: dict[str, str]


def describe_machine() -> Machine:
    """Look at the machine that this runs on."""
    facts = _cpu_facts()
    cpu = next((facts[key] for key in _MODEL_KEYS if key in facts), platform.processor())
    present = f"{facts.get('flags', '')} {facts.get('Features', '')}".split()
    return Machine(
        cpu=f"{cpu or 'unknown CPU'} ({platform.machine()})",
        cores=len(os.sched_getaffinity(0)),
        flags=tuple(flag for flag in _FLAGS if flag in present),
        python=platform.python_version(),
        libraries={name: _version(name) for name in _LIBRARIES},
    )


def load_average() -> float:
    """How many processes wanted a CPU during the last minute, on average."""
    return os.getloadavg()[0]


def _cpu_facts() -> dict[str, str]:
    try:
        lines = _CPU_INFO.read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    pairs = (line.partition(":")[::2] for line in lines)
    return {key.strip(): value.strip() for key, value in pairs}


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return ""

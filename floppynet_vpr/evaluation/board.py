# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""What a report from somebody else's board has to say of it, beyond its processor."""

from __future__ import annotations

import platform
import resource
from pathlib import Path

_SYSTEM = Path("/")
_UNKNOWN = "not known"


def describe_board(root: Path = _SYSTEM) -> dict[str, str]:
    """Read model, system, memory, clock and temperature below `root`; all in words."""
    return {
        "model": _text(root / "proc/device-tree/model")
        or _text(root / "sys/class/dmi/id/board_name")
        or _UNKNOWN,
        "system": f"{_named(root / 'etc/os-release')}, Linux {platform.release()}",
        "memory": _memory(root / "proc/meminfo"),
        "peak of this process": f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MiB",
        "clock": _clock(root / "sys/devices/system/cpu/cpu0/cpufreq"),
        "temperature": _temperature(root / "sys/class/thermal/thermal_zone0/temp"),
    }


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8", "replace").strip("\0 \n")
    except OSError:
        return ""


def _named(file: Path) -> str:
    lines = dict(line.partition("=")[::2] for line in _text(file).splitlines())
    return lines.get("PRETTY_NAME", _UNKNOWN).strip('"')


def _memory(file: Path) -> str:
    lines = dict(line.partition(":")[::2] for line in _text(file).splitlines())
    total = lines.get("MemTotal", "").split()
    return f"{int(total[0]) >> 10} MiB" if total else _UNKNOWN


def _clock(folder: Path) -> str:
    most, governor = _text(folder / "cpuinfo_max_freq"), _text(folder / "scaling_governor")
    if not most.isdigit():
        return _UNKNOWN
    return f"up to {int(most) / 1e6:.2f} GHz, governor {governor or _UNKNOWN}"


def _temperature(file: Path) -> str:
    text = _text(file)
    return (
        f"{int(text) / 1000:.0f} degrees after the run" if text.lstrip("-").isdigit() else _UNKNOWN
    )

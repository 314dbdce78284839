# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""One thin module for each `ros2 run floppynet_vpr <command>`."""

from __future__ import annotations

import sys
from types import TracebackType

from floppynet_vpr.surroundings import what_is_denied

_report = sys.excepthook


def _report_in_a_line(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    if issubclass(kind, KeyboardInterrupt):
        print("interrupted", file=sys.stderr)
    elif denied := what_is_denied(error):
        print(f"error: {denied}", file=sys.stderr)
    else:
        _report(kind, error, trace)


# A command's imports take seconds, in which Ctrl-C has to end it quietly, and may lack memory or a
# library; from then on `run` tells.
sys.excepthook = _report_in_a_line

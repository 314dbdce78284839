# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""One thin module for each `ros2 run floppynet_vpr <command>`."""

from __future__ import annotations

import sys
from types import TracebackType

_report = sys.excepthook


def _report_interrupt_in_a_word(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    if issubclass(kind, KeyboardInterrupt):
        print("interrupted", file=sys.stderr)
    else:
        _report(kind, error, trace)


# A command's imports take seconds, in which Ctrl-C has to end it quietly; from then on `run` does.
sys.excepthook = _report_interrupt_in_a_word

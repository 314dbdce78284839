# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The curve of a run, as a CSV file that any spreadsheet reads."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from floppynet_vpr.files import write_atomically


class RunLog:
    """One line for each validation; small, so it is written anew and whole each time."""

    def __init__(self, path: Path) -> None:
        """Go on with the log at `path`, if there is one."""
        self._path = path
        self._rows: list[dict[str, str]] = []
        if path.is_file():
            with path.open(newline="", encoding="utf-8") as file:
                self._rows = list(csv.DictReader(file))

    def figures(self) -> dict[str, float]:
        """What was measured last; raises IndexError for an empty log."""
        known = ("step", "seconds", "learning_rate")
        return {name: float(value) for name, value in self._rows[-1].items() if name not in known}

    def forget_after(self, step: int) -> None:
        """Drop lines of steps that a resumed run takes again."""
        self._rows = [row for row in self._rows if int(row["step"]) <= step]

    def add(self, step: int, seconds: float, rate: float, figures: dict[str, float]) -> None:
        """Append what was measured after `step` steps and `seconds` of training."""
        row = {"step": str(step), "seconds": f"{seconds:.1f}", "learning_rate": f"{rate:.3g}"}
        row |= {name: f"{value:.2f}" for name, value in figures.items()}
        self._rows = [*(old for old in self._rows if int(old["step"]) < step), row]
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, list(row), extrasaction="ignore")
        writer.writeheader()
        writer.writerows(self._rows)
        write_atomically(self._path, (text.getvalue().encode(),))

# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""YAML files written by people, read with checks that say what is wrong and where.

A misspelt key must not be a setting silently ignored, so whoever reads facts ends with `finish`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from floppynet_vpr.errors import VprError

_REQUIRED: Any = object()


class Facts:
    """One mapping of a YAML file; every value is asked for by its key and kind."""

    def __init__(self, values: object, where: str) -> None:
        """Take a mapping; `where` names file and place in messages."""
        if not isinstance(values, dict):
            raise VprError(f"{where} should be a mapping (key: value), not {values!r}")
        self._values: dict[object, object] = dict(values)
        self._where = where

    def text(self, key: str, default: str | None = _REQUIRED) -> str:
        """A text; folded lines become one."""
        value = self._take(key, default)
        if not isinstance(value, str):
            raise self.error(key, "a text", value)
        return " ".join(value.split())

    def number(self, key: str, default: float | None = _REQUIRED) -> float:
        """A number that is not negative."""
        value = self._take(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
            raise self.error(key, "a number of 0 or more", value)
        return float(value)

    def count(self, key: str) -> int | None:
        """A positive whole number; None where there is none."""
        value = self._take(key, None)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self.error(key, "a positive whole number", value)
        return value

    def texts(self, key: str, default: tuple[str, ...] | None = _REQUIRED) -> tuple[str, ...]:
        """A list of texts; a single text is a list of one."""
        value = self._take(key, default)
        value = [value] if isinstance(value, str) else value
        if not isinstance(value, list | tuple) or not all(isinstance(v, str) for v in value):
            raise self.error(key, "a list of texts", value)
        return tuple(value)

    def numbers(self, key: str, default: tuple[float, ...]) -> tuple[float, ...]:
        """A list of numbers; a single number is a list of one."""
        value = self._take(key, default)
        value = [value] if isinstance(value, int | float) else value
        if not isinstance(value, list | tuple) or not all(
            isinstance(v, int | float) and not isinstance(v, bool) for v in value
        ):
            raise self.error(key, "a list of numbers", value)
        return tuple(float(v) for v in value)

    def choice(self, key: str, choices: tuple[str, ...], default: str | None = _REQUIRED) -> str:
        """One of some texts."""
        value = self._take(key, default)
        if value not in choices:
            raise self.error(key, f"one of {', '.join(choices)}", value)
        return str(value)

    def nested(self, key: str) -> Facts | None:
        """A mapping inside; None where there is none."""
        value = self._take(key, None)
        return None if value is None else Facts(value, f"{self._where}, {key}")

    def listed(self, key: str) -> list[Facts]:
        """A list of mappings."""
        value = self._take(key, [])
        if not isinstance(value, list):
            raise self.error(key, "a list", value)
        return [
            Facts(item, f"{self._where}, {key} {number}") for number, item in enumerate(value, 1)
        ]

    def keys(self) -> list[str]:
        """The keys not asked for yet."""
        return [str(key) for key in self._values]

    def finish(self) -> None:
        """Raise VprError if there is a key that nobody asked for."""
        if self._values:
            raise VprError(f"{self._where}: unknown key {', '.join(self.keys())}")

    def error(self, key: str, wanted: str, value: object) -> VprError:
        """The error of a value of the wrong kind."""
        return VprError(f"{self._where}: {key} should be {wanted}, not {value!r}")

    def _take(self, key: str, default: object) -> object:
        value = self._values.pop(key, default)
        if value is _REQUIRED:
            raise VprError(f"{self._where}: {key} is missing")
        return value


def read_facts(path: Path) -> Facts:
    """Read a YAML file; raises VprError if it cannot be read or is no mapping."""
    import yaml

    try:
        return Facts(yaml.safe_load(path.read_text("utf-8")), str(path))
    except OSError as error:
        raise VprError(f"cannot read {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise VprError(f"{path} is no valid YAML: {' '.join(str(error).split())}") from error

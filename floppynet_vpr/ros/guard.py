# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Callbacks that cannot end a node: what nobody foresaw is told, and the node goes on."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from functools import wraps
from typing import Any


class UnforeseenErrors:
    """Logs errors that nobody foresaw, with their traceback, once for each place in the code."""

    def __init__(self, logger: Any) -> None:
        """Log to `logger`."""
        self._logger = logger
        self._told: set[str] = set()

    def tell(self, what: str, error: Exception) -> None:
        """Say that `what` failed."""
        step = traceback.extract_tb(error.__traceback__)[-1]
        kind = f"{type(error).__name__} at {step.filename}:{step.lineno}"
        if kind not in self._told:
            self._told.add(kind)
            told = "".join(traceback.format_exception(error))
            self._logger.error(
                f"{what}, please report this: {error!r} (not told again where it repeats)\n{told}"
            )


def guarded(callback: Callable[..., Any], errors: UnforeseenErrors) -> Callable[..., Any]:
    """Keep the errors of a timer's, subscription's or service's callback from its node.

    A service whose response has `success` and `message` answers with what was wrong.
    """

    @wraps(callback)
    def wrapper(*arguments: Any) -> Any:
        try:
            return callback(*arguments)
        except Exception as error:
            name = callback.__name__.strip("_")
            errors.tell(f"the callback '{name}' of the node failed", error)
            response: Any = arguments[-1] if arguments else None
            if hasattr(response, "success") and hasattr(response, "message"):
                response.success, response.message = False, f"failed unexpectedly: {error}"
            return response

    return wrapper

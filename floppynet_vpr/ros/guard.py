# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Callbacks that cannot end a node: what nobody foresaw is told, and the node goes on."""

from __future__ import annotations

import inspect
import threading
import traceback
from collections.abc import Callable
from functools import wraps
from typing import Any

import rclpy
from rclpy.lifecycle import LifecycleNode

from floppynet_vpr.errors import VprError
from floppynet_vpr.surroundings import what_is_denied
from floppynet_vpr.text import shown


def in_words(error: Exception) -> str:
    """Say what was wrong in a line, for people."""
    if isinstance(error, VprError):
        return shown(str(error))
    denied = what_is_denied(error)
    return shown(denied) if denied else f"unexpectedly, please report this: {error!r}"


class TolerantLog:
    """A node's logger that takes every text; rclpy's raises where one is no UTF-8.

    Each severity has a line of its own, for rclpy takes one only from a line.
    """

    def __init__(self, logger: Any) -> None:
        """Hand on to `logger`."""
        self._logger = logger

    def __getattr__(self, name: str) -> Any:
        return getattr(self._logger, name)

    def debug(self, text: str) -> None:
        """Log what is for developers."""
        self._logger.debug(shown(text))

    def info(self, text: str) -> None:
        """Log what is done."""
        self._logger.info(shown(text))

    def warning(self, text: str) -> None:
        """Log what somebody should put right."""
        self._logger.warning(shown(text))

    def error(self, text: str) -> None:
        """Log what failed."""
        self._logger.error(shown(text))


class UnforeseenErrors:
    """Logs errors that nobody foresaw, with their traceback, once for each place in the code.

    Errors may be told by any thread.
    """

    def __init__(self, logger: Any) -> None:
        self._logger = logger
        self._told: set[str] = set()
        self._lock = threading.Lock()
        self.count = 0
        """How many there were, the repeated ones included."""

    def tell(self, what: str, error: Exception) -> None:
        """Say that `what` failed."""
        step = traceback.extract_tb(error.__traceback__)[-1]
        kind = f"{type(error).__name__} at {step.filename}:{step.lineno}"
        with self._lock:
            self.count += 1
            known = kind in self._told
            self._told.add(kind)
        if not known:
            told = "".join(traceback.format_exception(error))
            self._logger.error(
                f"{what}, please report this: {error!r} (not told again where it repeats)\n{told}"
            )


def guarded(callback: Callable[..., Any], errors: UnforeseenErrors) -> Callable[..., Any]:
    """Keep the errors of a timer's, subscription's or service's callback from its node.

    A service whose response has `success` and `message` answers with what was wrong. The callback
    may be a coroutine.
    """

    def finished(response: Any) -> Any:
        if hasattr(response, "message"):
            response.message = shown(response.message)
        return response

    def failed(arguments: tuple[Any, ...], error: Exception) -> Any:
        name = callback.__name__.strip("_")
        errors.tell(f"the callback '{name}' of the node failed", error)
        response: Any = arguments[-1] if arguments else None
        if hasattr(response, "success") and hasattr(response, "message"):
            response.success = False
            response.message = f"failed: {in_words(error)}"
        return response

    @wraps(callback)
    def wrapper(*arguments: Any) -> Any:
        try:
            return finished(callback(*arguments))
        except Exception as error:
            return failed(arguments, error)

    @wraps(callback)
    async def awaiting(*arguments: Any) -> Any:
        try:
            return finished(await callback(*arguments))
        except Exception as error:
            return failed(arguments, error)

    # rclpy awaits only what it can see to be a coroutine.
    return awaiting if inspect.iscoroutinefunction(callback) else wrapper


class GuardedNode(LifecycleNode):
    """A lifecycle node of which no callback may end the process."""

    def __init__(self, name: str) -> None:
        # Before the rest: rclpy makes services and subscriptions of its own.
        self.errors = UnforeseenErrors(TolerantLog(rclpy.logging.get_logger(name)))
        super().__init__(name)

    def get_logger(self) -> Any:
        """Give the node's logger, which takes every text."""
        return TolerantLog(super().get_logger())

    def create_service(self, *arguments: Any, **options: Any) -> Any:
        """Offer a service; see `rclpy.node.Node`."""
        kind, name, callback, *rest = arguments
        return super().create_service(kind, name, guarded(callback, self.errors), *rest, **options)

    def create_subscription(self, *arguments: Any, **options: Any) -> Any:
        """Subscribe to a topic; see `rclpy.node.Node`."""
        kind, topic, callback, *rest = arguments
        guard = guarded(callback, self.errors)
        return super().create_subscription(kind, topic, guard, *rest, **options)

    def create_timer(self, *arguments: Any, **options: Any) -> Any:
        """Start a timer; see `rclpy.node.Node`."""
        period, callback, *rest = arguments
        return super().create_timer(period, guarded(callback, self.errors), *rest, **options)

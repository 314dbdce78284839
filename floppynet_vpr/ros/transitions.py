# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Transitions of the life cycle that say what went wrong; rclpy keeps that to itself."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TypeVar

from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

from floppynet_vpr.errors import VprError

SomeNode = TypeVar("SomeNode", bound=LifecycleNode)
Transition = Callable[[SomeNode, LifecycleState], TransitionCallbackReturn]


def explained(transition: Transition[SomeNode]) -> Transition[SomeNode]:
    """Have a transition that raises fail with a message in the log."""
    name = transition.__name__.removeprefix("on_")

    @wraps(transition)
    def wrapper(node: SomeNode, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            return transition(node, state)
        except VprError as error:
            node.get_logger().error(f"cannot {name}: {error}")
        except Exception as error:
            node.get_logger().error(f"cannot {name}, unexpectedly: {error!r}")
        return TransitionCallbackReturn.FAILURE

    return wrapper

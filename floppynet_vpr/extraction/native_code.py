# Copyright 2026 The floppynet_vpr authors
# SPDX-License-Identifier: Apache-2.0
"""Turns the network's LLVM instructions into native functions for the CPU at hand.

llvmlite, the compiler inside numba, is used without the rest of numba. That compiles in a
fraction of a second what numba takes seconds for, so nothing needs to be kept on disk where it
could grow old, and a process is 100 MB smaller. Import this module only where it is wanted.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm  # type: ignore[import-untyped, unused-ignore]

from floppynet_vpr.extraction.network_code import BEGIN, RUN_TASKS, network_code
from floppynet_vpr.extraction.vector_code import VectorTarget, vector_target

_AT_HWCAP, _HWCAP_ASIMDDP = 16, 1 << 20  # of Linux on aarch64


@dataclass(frozen=True)
class NativeCode:
    """The compiled functions, which release the interpreter's lock; see `network_code`.

    Arguments are addresses of arrays and plain integers.
    """

    target: VectorTarget
    begin: Callable[[int], None]
    run_tasks: Callable[..., None]
    engine: Any  # owns the functions' memory


@cache
def native_code(cpu: str = "", features: str = "") -> NativeCode:
    """Compile, once a process, for this CPU or for the less that is named (as LLVM names it)."""
    target = vector_target(llvm.get_process_triple(), features or host_features())
    address = ctypes.cast(ctypes.CDLL(None).sched_yield, ctypes.c_void_p).value
    engine = compile_code(network_code(target, address or 0), cpu, features)
    begin = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
    run = ctypes.CFUNCTYPE(
        None, ctypes.c_void_p, ctypes.c_int64, *[ctypes.c_void_p] * 5, ctypes.c_int64
    )
    return NativeCode(
        target,
        begin(engine.get_function_address(BEGIN)),
        run(engine.get_function_address(RUN_TASKS)),
        engine,
    )


def host_features() -> str:
    """What this CPU can, as LLVM names it; of ARM's, LLVM overlooks the dot product."""
    _initialise()
    features = str(llvm.get_host_cpu_features().flatten())
    if llvm.get_process_triple().startswith("aarch64"):
        with contextlib.suppress(AttributeError):  # a system without getauxval
            capabilities = ctypes.CDLL(None).getauxval
            capabilities.argtypes, capabilities.restype = [ctypes.c_ulong], ctypes.c_ulong
            if capabilities(_AT_HWCAP) & _HWCAP_ASIMDDP:
                features = ",".join(filter(None, (features, "+dotprod")))
    return features


def compile_code(code: str, cpu: str = "", features: str = "") -> Any:
    """Compile LLVM instructions for this CPU, or less; what is returned owns the functions."""
    _initialise()
    target = llvm.Target.from_triple(llvm.get_process_triple())
    machine = target.create_target_machine(
        cpu=cpu or llvm.get_host_cpu_name(),
        features=features or host_features(),
        opt=3,
        jit=True,
    )
    module = llvm.parse_assembly(code)
    module.verify()
    optimise(module, machine)
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    _let_compiler_go()
    return engine


def _initialise() -> None:
    with contextlib.suppress(RuntimeError):
        llvm.initialize()  # raises where it is no longer needed
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()


def _let_compiler_go() -> None:
    """Drop LLVM's own instructions and tables, 70 MB, from memory: its file has them, if need be.

    Only what cannot be and has not been written to is dropped; where the system cannot, all stays.
    """
    drop = 4  # MADV_DONTNEED on Linux
    first = end = 0
    with contextlib.suppress(OSError, AttributeError):
        advise = ctypes.CDLL(None).madvise
        for line in Path("/proc/self/smaps").read_text("utf-8").splitlines():
            if "-" in (words := line.split())[0]:
                ours = "libllvmlite" in line and "w" not in words[1]
                first, end = (int(edge, 16) for edge in words[0].split("-")) if ours else (0, 0)
            elif end and line.startswith("Private_Dirty:") and words[1] == "0":
                advise(ctypes.c_void_p(first), ctypes.c_size_t(end - first), drop)


def optimise(module: Any, machine: Any) -> None:
    """Run LLVM's usual passes; the blocks are vectors and unrolled as far as is good already."""
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    options.loop_vectorization = options.slp_vectorization = False
    options.loop_unrolling = False
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)

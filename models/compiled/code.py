"""Machine code as a model. What is loaded here runs with all the rights of this process."""

import ctypes
from functools import cache

import llvmlite.binding as llvm
import numpy as np

from features.arrays import Floats
from models.compiled.generate import ROOT, generate
from models.compiled.text import Forest

_OPAQUE = llvm.llvm_version_info >= (16,)
_STARTS_ITSELF = llvm.llvm_version_info >= (20,)


class CodeRefused(Exception):
    """This is no code of a model."""


class CompiledScorer:
    """See `Scorer`. It runs on the calling thread, and lets others run meanwhile."""

    def __init__(self, code: bytes, features: int, outputs: int) -> None:
        """code: an object file for this processor, verified: LLVM ends the process over a damaged one.

        Raises `CodeRefused`.
        """
        engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _target_machine())
        try:
            engine.add_object_file(llvm.ObjectFileRef.from_data(code))
            engine.finalize_object()
            address = engine.get_function_address(ROOT)
        except RuntimeError as error:
            raise CodeRefused(str(error)) from error
        if not address:
            raise CodeRefused(f"it has no function {ROOT}")
        kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
        self._engine = engine  # which the code lives in
        self._score = kind(address)
        self._features = features
        self._outputs = outputs

    def predict(self, matrix: Floats) -> Floats:
        """See `Scorer.predict`."""
        assert matrix.shape[1:] == (self._features,), matrix.shape
        rows = np.ascontiguousarray(matrix, dtype=np.float64)
        scores = np.empty(len(rows) if self._outputs == 1 else (len(rows), self._outputs))
        self._score(rows.ctypes.data, scores.ctypes.data, len(rows))
        return scores


def machine_code(forest: Forest) -> bytes:
    """An object file for this processor. Raises `NotKnown`."""
    machine = _target_machine()
    module = llvm.parse_assembly(generate(forest, opaque=_OPAQUE))
    module.verify()
    return bytes(machine.emit_object(module))


@cache
def processor() -> str:
    """What code is made for: it may be used where this is the same."""
    _start_llvm()
    return f"{llvm.get_process_triple()} {llvm.get_host_cpu_name()} {_features()}"


def _target_machine() -> llvm.TargetMachine:
    """This processor. Code and constants may lie anywhere in memory: the large code model."""
    _start_llvm()
    target = llvm.Target.from_triple(llvm.get_process_triple())
    name, can = llvm.get_host_cpu_name(), _features()
    return target.create_target_machine(cpu=name, features=can, opt=2, reloc="pic", codemodel="large")


def _features() -> str:
    try:
        return str(llvm.get_host_cpu_features().flatten())
    except RuntimeError:  # LLVM cannot tell them for every processor
        return ""


@cache
def _start_llvm() -> None:
    if not _STARTS_ITSELF:
        llvm.initialize()
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()

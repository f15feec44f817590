# Copyright (c) The wsp_mm authors. Licensed under the Apache License, Version 2.0.
"""Readers of npz, npy and MATLAB files that somebody else wrote. None of them runs code in a file.

NumPy and SciPy fail at a damaged file in many ways. Here each ends in an
:class:`~wsp_mm.datasets.annotations.AnnotationError` that names the file.
"""

import atexit
import os
import pickle
import subprocess
import sys
import threading
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from wsp_mm.datasets.annotations import FILE_REMEDY, AnnotationError, no_garbage_collection

NUMBERS, TEXT = 'biuf', 'U'  # dtype.kind of numbers and of text
_HDF5 = b'\x89HDF\r\n\x1a\n'
#: What reading a MATLAB file may take: bytes of address space and seconds, each plus so much a
#: byte of the file (MPII's 13 MB hold a million small structs).
_MEMORY, _MEMORY_PER_BYTE = 1 << 30, 400
_TIME_S, _TIME_S_PER_BYTE = 60, 2e-5
# Answers with pickles of its own making; files of a user are read by loadmat alone.
_CHILD = """
import gc, os, pickle, resource, sys
gc.disable()  # trees of small objects, no cycles
sys.path[:] = {path!r}
from scipy.io import loadmat
answers = os.fdopen(os.dup(1), 'wb')
os.dup2(2, 1)
while True:
    try:
        file, options, memory = pickle.load(sys.stdin.buffer)
    except EOFError:
        break
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (memory if hard < 0 else min(memory, hard), hard))
    try:
        answer = pickle.dumps((loadmat(file, **options), None), 5)
    except Exception as error:
        answer = pickle.dumps((None, f'{{type(error).__name__}}: {{error}}'), 5)
    answers.write(answer)
    answers.flush()
"""


def _check_file(path: str | Path, remedy: str) -> None:
    if not os.path.isfile(path):
        raise AnnotationError('missing file', path, '', 'there is no such file', remedy)


def read_npz(
    path: str | Path, kinds: Mapping[str, str] | None = None, remedy: str = FILE_REMEDY
) -> dict[str, np.ndarray]:
    """Read arrays of numbers and text.

    Args:
        path: the npz file.
        kinds: name -> allowed ``dtype.kind``, of the arrays that are wanted; None: all arrays.
        remedy: of the error.

    Raises:
        AnnotationError: no such file, it is broken, lacks an array or holds another kind of it.
    """
    _check_file(path, remedy)
    try:
        with np.load(path, allow_pickle=False) as content:
            arrays = {name: content[name] for name in kinds or content.files}
        for name, array in arrays.items():
            allowed = kinds[name] if kinds else NUMBERS + TEXT + 'S'
            if not isinstance(array, np.ndarray) or array.dtype.kind not in allowed:
                raise ValueError(f'{name} is {getattr(array, "dtype", "no array")}')
            if array.dtype.kind == TEXT:
                ''.join(array.ravel().tolist()).encode()  # fails for what is no text
    except Exception as error:
        what = f'{", ".join(kinds or ["arrays"])} cannot be read, it may be cut off ({error})'
        raise AnnotationError('broken npz', path, '', what, remedy) from None
    return arrays


class _PlainUnpickler(pickle.Unpickler):
    _ALLOWED = {('numpy', 'ndarray'), ('numpy', 'dtype'), ('_codecs', 'encode')} | {
        (f'{core}.multiarray', name)
        for core in ('numpy.core', 'numpy._core')
        for name in ('_reconstruct', 'scalar')
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._ALLOWED:
            raise pickle.UnpicklingError(f'it holds {module}.{name}, not plain values')
        return super().find_class(module, name)


def plain_unpickle(stream: IO[bytes]) -> Any:
    """Read a pickle of arrays and plain values alone: any other could run code.

    Raises:
        UnpicklingError: it asks for something else. A damaged pickle raises almost anything.
    """
    return _PlainUnpickler(stream).load()


def read_pickled_npz(path: str | Path, name: str, remedy: str = FILE_REMEDY) -> Any:
    """Read an object that NumPy has pickled into an npz file, see :func:`plain_unpickle`.

    Args:
        path: the npz file.
        name: of the array in it, of one object.
        remedy: of the error.

    Raises:
        AnnotationError: no such file, it is broken, lacks the array, or its pickle asks for more.
    """
    _check_file(path, remedy)
    try:
        with zipfile.ZipFile(path) as archive, archive.open(f'{name}.npy') as stream:
            version = np.lib.format.read_magic(stream)
            read_header = getattr(np.lib.format, f'read_array_header_{version[0]}_0')
            shape, _, dtype = read_header(stream)
            if shape or not dtype.hasobject:
                raise ValueError(f'it is an array {shape} of {dtype}, not of one object')
            return plain_unpickle(stream).item()
    except Exception as error:  # a damaged pickle raises almost anything
        what = f'{name} cannot be read, it may be cut off or no plain data ({error})'
        raise AnnotationError('broken npz', path, '', what, remedy) from None


def map_npy(path: str | Path, remedy: str = FILE_REMEDY) -> np.ndarray:
    """Map an npy file into memory, read only.

    Raises:
        AnnotationError: no such file, or it is broken.
    """
    _check_file(path, remedy)
    try:
        return np.lib.format.open_memmap(path, mode='r')
    except Exception as error:
        what = f'no array can be read from it, it may be cut off ({error})'
        raise AnnotationError('broken npy', path, '', what, remedy) from None


class _MatReader:
    """A process that reads MATLAB files one after the other: SciPy may crash at a damaged one."""

    def __init__(self) -> None:
        self.lock, self.memory = threading.Lock(), 0
        self.process: subprocess.Popen | None = None
        self.owner = os.getpid()

    def stop(self) -> int | None:
        process, self.process = self.process, None
        if process is None or self.owner != os.getpid():  # that of a parent process
            return None
        process.kill()
        process.communicate()
        return process.returncode

    def read(self, path: str, options: Mapping[str, Any]) -> dict:
        """Return what ``loadmat`` does; ValueError says why not."""
        size = os.path.getsize(path)
        self.memory = max(self.memory, _MEMORY + _MEMORY_PER_BYTE * size)
        if self.process is None or self.owner != os.getpid():
            code, single = _CHILD.format(path=sys.path), dict(OPENBLAS_NUM_THREADS='1')
            pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            command, self.owner = [sys.executable, '-c', code], os.getpid()
            self.process = subprocess.Popen(command, env=os.environ | single, **pipes)
        process, limit_s = self.process, _TIME_S + _TIME_S_PER_BYTE * size
        timer = threading.Timer(limit_s, process.kill)
        timer.start()
        try:
            process.stdin.write(pickle.dumps((path, dict(options), self.memory)))
            process.stdin.flush()
            with no_garbage_collection():
                content, why = pickle.load(process.stdout)
        except (OSError, EOFError, pickle.UnpicklingError):
            status = self.stop()
            raise ValueError(f'SciPy crashed or took {limit_s:.0f} s ({status})') from None
        except BaseException:
            self.stop()  # half an answer is left in the pipe
            raise
        finally:
            timer.cancel()
        if why is not None:
            raise ValueError(why)
        return content


_reader = _MatReader()
atexit.register(_reader.stop)


def read_mat(path: str | Path, remedy: str = FILE_REMEDY, **options: Any) -> dict[str, Any]:
    """Read a MATLAB file with :func:`scipy.io.loadmat`, in another process.

    Args:
        path: the file. remedy: of the error.
        **options: of ``loadmat``.

    Returns:
        Name -> value.

    Raises:
        AnnotationError: no such file, MATLAB's version 7.3 (HDF5), or it is broken.
    """
    _check_file(path, remedy)
    try:
        with open(path, 'rb') as file:
            head = file.read(520)
        if head.startswith((_HDF5, b'MATLAB 7.3')) or head[512:] == _HDF5:
            what = "it is in MATLAB's format 7.3 (HDF5), which is not read"
            raise ValueError(f'{what}: save it with -v7')
        with _reader.lock:
            return _reader.read(os.fspath(path), options)
    except (OSError, ValueError) as error:
        what = f'the MATLAB file cannot be read ({error})'
        raise AnnotationError('broken mat', path, '', what, remedy) from None

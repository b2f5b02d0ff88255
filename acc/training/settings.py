"""Process-wide settings of torch while a trainer runs, or an evaluator on a GPU."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

# Typed as Any: torch gives these modules their attributes at run time.
_deterministic: Any = torch.utils.deterministic
_cudnn: Any = torch.backends.cudnn

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h
_MOST_OF_THE_HEAP = 2**25
"""Larger blocks are mapped each by itself: the largest size that glibc takes, and finds by itself where they come."""

CUBLAS_WORKSPACE = ":4096:8"
"""With a workspace of a fixed size cuBLAS repeats itself; it reads this when the process first multiplies on a GPU."""


@contextmanager
def torch_settings(device: torch.device, threads: int) -> Iterator[None]:
    """Fix the number of threads and use deterministic kernels; put all back afterwards.

    On a GPU an operation that has none (of a plugin; those of the models and tasks that come with ACC all have)
    warns and goes on, on the CPU it raises. See also ``on_gpu``.
    """
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        with _repeatable(gpu=device.type != "cpu"), on_gpu(device):
            yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def on_gpu(device: torch.device) -> Iterator[None]:
    """Within, ``device`` is the one that "cuda" means, and its convolutions compute in float32 as the CPU's do.

    By default torch has them multiply in TF32, of 10 bits, where the GPU can. Nothing changes for the CPU.
    """
    if device.type != "cuda":
        yield
        return
    with torch.cuda.device(device), exact_convolutions():
        yield


@contextmanager
def exact_convolutions() -> Iterator[None]:
    """Within, cuDNN does not round float32 to TF32."""
    before = _cudnn.conv.fp32_precision, _cudnn.rnn.fp32_precision
    # Set by the older of torch's two ways, which some of its own code still reads; it raises where they are mixed.
    _cudnn.allow_tf32 = False
    try:
        yield
    finally:
        _cudnn.conv.fp32_precision, _cudnn.rnn.fp32_precision = before


@contextmanager
def _repeatable(*, gpu: bool) -> Iterator[None]:
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        _deterministic.fill_uninitialized_memory,
    )
    if gpu:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", CUBLAS_WORKSPACE)
    try:
        torch.use_deterministic_algorithms(True, warn_only=gpu)
        _deterministic.fill_uninitialized_memory = False  # filling would only cost time
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        _deterministic.fill_uninitialized_memory = before[2]


def keep_freed_memory() -> None:
    """Have this process keep the memory that is freed, for good: for one that does nothing but train.

    By default glibc gives the system what is free at the end of the heap. Where the tensors of a step happen to lie
    there, each step gets them anew, page by page: up to a third of its time on a CPU. Does nothing with another libc.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    # Both, since to set one ends that glibc finds the other by itself.
    mallopt(_M_MMAP_THRESHOLD, _MOST_OF_THE_HEAP)
    mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)

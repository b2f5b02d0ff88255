"""How the network's two passes are computed: precision, memory format, compilation.

Only ``Model.posterior`` and ``Model.decode_logits`` are touched. What they return is float32 again, so losses,
heads and the sample of the posterior are computed as ever, and random numbers are drawn outside of compiled code.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor

from acc.errors import InvalidInput, TrainingFailed
from acc.models import Decoded, Model, Posterior
from acc.models.output import Extras, posterior_of
from acc.specs import TrainSpec
from acc.text import first_line

GRAPHS = frozenset({"reduce-overhead", "max-autotune"})
"""Modes of torch.compile that record CUDA graphs."""
NATIVE_BF16 = (8, 0)
"""CUDA capability from which on bfloat16 is computed by the hardware."""
COMPILED_SHAPES = 64
"""Batches of so many sizes are compiled for (as tasks come and go) before torch gives up and runs uncompiled."""
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def precision_on(device: torch.device, wanted: str) -> str:
    """Return ``fp32``, ``bf16`` or ``fp16``: what ``TrainSpec.precision`` means on a device."""
    if wanted != "auto":
        return wanted
    native = device.type == "cuda" and torch.cuda.get_device_capability(device) >= NATIVE_BF16
    return "bf16" if native else "fp32"


def check(train: TrainSpec, device: torch.device) -> None:
    """Raise InvalidInput (compile) if the device cannot do what is asked."""
    if train.compile == "off":
        return
    if train.compile in GRAPHS and device.type != "cuda":
        raise InvalidInput(
            compile=f"'{train.compile}' replays CUDA graphs, which need an NVIDIA GPU; "
            f"on {device.type} use 'default' or 'off'"
        )
    if device.type == "cpu" and not any(shutil.which(name) for name in ("g++", "clang++", "c++")):
        raise InvalidInput(
            {"compile": f"'{train.compile}' needs a C++ compiler on the worker, and there is none; use 'off'"}
        )


@contextmanager
def network_passes(model: Model, train: TrainSpec, device: torch.device) -> Iterator[None]:
    """Within, compute the passes of ``model`` as ``train`` says; leave the plain ones alone."""
    precision = precision_on(device, train.precision)
    if precision == "fp32" and train.compile == "off" and not train.channels_last:
        yield
        return
    autocast: Callable[[], AbstractContextManager[Any]] = nullcontext
    if precision != "fp32":
        autocast = partial(torch.autocast, device.type, dtype=DTYPES[precision])
    posterior, decode_logits = model.posterior, model.decode_logits
    memory = torch.channels_last if train.channels_last else torch.preserve_format

    def encode(x_BCHW: Tensor) -> Posterior:
        with autocast():
            given = posterior_of(
                posterior(x_BCHW.contiguous(memory_format=memory) if train.channels_last else x_BCHW)
            )
        return Posterior(
            given.mean.float(),
            None if given.logvar is None else given.logvar.float(),
            _single(given.extras),
            _single(given.batch_wide),
            None if given.z is None else given.z.float(),
        )

    def decode(z: Tensor) -> Decoded:
        with autocast():
            decoded = decode_logits(z)
        attention = decoded.attention
        return Decoded(
            decoded.logits.float(),
            None if attention is None else attention.float(),
            _single(decoded.extras),
        )

    with _compiling(train):
        model.posterior = _compiled(encode, train)  # type: ignore[method-assign]
        model.decode_logits = _compiled(decode, train)  # type: ignore[method-assign]
        try:
            yield
        finally:
            del model.posterior, model.decode_logits  # the methods of its class again


def _single(extras: Extras | None) -> Extras | None:
    """Return the extras with their floats in single precision."""
    if extras is None:
        return None
    return {name: value.float() if value.is_floating_point() else value for name, value in extras.items()}


def records_graphs(train: TrainSpec, device: torch.device) -> bool:
    """Return whether passes are replayed as CUDA graphs, whose memory the next replay overwrites."""
    return device.type == "cuda" and train.compile in GRAPHS


def _compiled(function: Callable[..., Any], train: TrainSpec) -> Callable[..., Any]:
    if train.compile == "off":
        return function
    # Shapes are fixed: a program that depended on the shapes seen before would not resume to the bit.
    compiled = torch.compile(function, mode=train.compile, dynamic=False)

    def run(*arguments: Tensor) -> Any:
        try:
            return compiled(*arguments)
        except torch._dynamo.exc.TorchDynamoException as error:
            raise TrainingFailed(
                f"torch.compile failed in mode '{train.compile}': {first_line(error)}. Train with compile off",
                step=0,
            ) from error

    return run


@contextmanager
def _compiling(train: TrainSpec) -> Iterator[None]:
    """Within, compile in this process alone, and for as many shapes as a job may have."""
    if train.compile == "off":
        yield
        return
    import torch._dynamo
    import torch._inductor.config as inductor

    with torch._dynamo.config.patch(recompile_limit=COMPILED_SHAPES), inductor.patch(compile_threads=1):
        yield

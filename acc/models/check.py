"""Two images through a fresh model: what it gives is compared with its specification before anything trains."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from typing import Any, NoReturn

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy as _is_lazy

from acc.errors import AccError, InvalidInput
from acc.models.base import Model
from acc.models.output import Decoded, LazyDecode, ModelOutput, Posterior
from acc.places import describe
from acc.specs import ModelSpec
from acc.text import is_out_of_memory

IMAGES = 2
_OF_EVERY_MODULE = frozenset(vars(nn.Module()))
_NONE = torch.zeros(1, 1)
_OF_EVERY_OUTPUT = frozenset(
    vars(ModelOutput(mean=_NONE, logvar=None, z=_NONE, decode=LazyDecode(Decoded, _NONE)))
)


def is_lazy(module: nn.Module) -> bool:
    """Return whether a module has layers that have yet to learn their shapes."""
    return any(_is_lazy(tensor) for tensor in chain(module.parameters(), module.buffers()))


def check_passes(cls: type[Model], spec: ModelSpec) -> Model:
    """Return a fresh model that gave what ``spec`` says for two images; raises InvalidInput naming what differs.

    Buffers and attributes are put back as they were made, but for the shapes of lazy layers; a list or dict that a
    pass changes in place stays changed.
    """
    with _named(f"{cls.__name__} cannot be made"):
        model = cls(spec)
    if not isinstance(model, Model):  # a metaclass or __new__ of its own
        _refuse(f"{cls.__name__}(spec) made {_what(model)}, not a Model")
    image = spec.image
    size = image.channels * image.height * image.width
    x_BCHW = torch.linspace(0, 1, IMAGES * size).view(IMAGES, image.channels, image.height, image.width)
    model.eval()
    with _leaving_no_trace(model), torch.no_grad():
        _check_posterior(model, x_BCHW)
        _check_decoder(model, _check_output(model, x_BCHW), x_BCHW)
    model.train()
    if is_lazy(model):
        names = [
            name
            for name, tensor in chain(model.named_parameters(), model.named_buffers())
            if _is_lazy(tensor)
        ]
        _refuse(
            f"{cls.__name__} has a lazy layer that neither posterior nor decode_logits reaches, '{names[0]}'; "
            "remove it, or give it its shape"
        )
    return model


def _check_posterior(model: Model, x_BCHW: Tensor) -> None:
    name = f"{type(model).__name__}.posterior"
    with _named(f"{name} failed for {_of_images(x_BCHW)}"):
        given: Any = model.posterior(x_BCHW)
    if not isinstance(given, Posterior):
        if isinstance(given, Tensor) or not isinstance(given, tuple | list) or len(given) != 2:
            _refuse(
                f"{name} returned {_what(given)}; it must return two things, (mean, logvar), or (mean, None), or a "
                "Posterior, from acc.api"
            )
        given = Posterior(*given)
    mean, logvar = given.mean, given.logvar
    _check_latent(f"{name} returned as mean", model, mean)
    if model.has_posterior:
        if not isinstance(logvar, Tensor) or logvar.shape != mean.shape:
            _refuse(
                f"{name} returned as logvar {_what(logvar)}; has_posterior is True, so it must be a tensor of the "
                f"shape of the mean, {tuple(mean.shape)}"
            )
        _check_finite(f"{name} returned as logvar", logvar)
    elif logvar is not None:
        _refuse(
            f"{name} returned as logvar {_what(logvar)}, but has_posterior is False; return None, or say "
            "has_posterior = True in the class"
        )
    if model.has_posterior and model.discrete:
        _refuse(
            f"{type(model).__name__} says both has_posterior and discrete; a latent of codes has no log-variance, so "
            "leave one of them out"
        )
    if given.z is not None and (not isinstance(given.z, Tensor) or given.z.shape != mean.shape):
        _refuse(
            f"{name} returned as z {_what(given.z)}; it must be of the shape of the mean, {tuple(mean.shape)}"
        )
    _check_extras(f"{name} returned", given.extras)
    _check_extras(f"{name} returned", given.batch_wide, of_rows=False)
    both = sorted(set(given.extras or ()) & set(given.batch_wide or ()))
    if both:
        _refuse(f"{name} returned '{both[0]}' in extras and in batch_wide; it can be in one of them")


def _check_extras(who: str, extras: object, *, of_rows: bool = True) -> None:
    if extras is None:
        return
    kind = "extras" if of_rows else "batch_wide"
    if not isinstance(extras, Mapping) or not all(isinstance(name, str) for name in extras):
        _refuse(f"{who} as {kind} {_what(extras)}; it must be a dict of name -> tensor, or None")
    for name, value in extras.items():
        if not isinstance(value, Tensor):
            _refuse(f"{who} in {kind} '{name}' {_what(value)}; it must be a tensor")
        if of_rows and (not value.dim() or value.shape[0] != IMAGES):
            more = "; put what is of the whole batch into batch_wide" if "posterior" in who else ""
            _refuse(
                f"{who} in extras '{name}' {_what(value)} for {IMAGES} images; it must have a row for each image, "
                f"({IMAGES}, ...){more}"
            )


def _check_latent(who: str, model: Model, z: object) -> None:
    dimensions = model.spec.latent_dim
    right = f"a tensor of shape ({IMAGES}, {dimensions}) or ({IMAGES}, {dimensions}, h, w)"
    fits = isinstance(z, Tensor) and z.dim() in {2, 4} and tuple(z.shape[:2]) == (IMAGES, dimensions)
    if not fits or not z.is_floating_point():  # type: ignore[attr-defined]
        _refuse(f"{who} {_what(z)} for {IMAGES} images; latent_dim {dimensions} asks for {right}, of floats")
    _check_finite(who, z)  # type: ignore[arg-type]


def _check_output(model: Model, x_BCHW: Tensor) -> ModelOutput:
    name = f"{type(model).__name__}.encode"
    with _named(f"{name} failed for {_of_images(x_BCHW)}"):
        output: Any = model.encode(x_BCHW)
    if not isinstance(output, ModelOutput):
        _refuse(f"{name} returned {_what(output)}; it must return a ModelOutput, as super().encode(x) does")
    _check_latent(f"{name} gave as mean", model, output.mean)
    _check_latent(f"{name} gave as z", model, output.z)
    strange = sorted(vars(output).keys() - _OF_EVERY_OUTPUT)
    if strange:
        _refuse(
            f"{name} puts '{strange[0]}' on its output, where it would be lost once the batch is split; return it from "
            f"posterior: Posterior(mean, logvar, extras={{'{strange[0]}': ...}}), and read "
            f"output.extras['{strange[0]}']"
        )
    return output


def _check_decoder(model: Model, output: ModelOutput, x_BCHW: Tensor) -> None:
    name = f"{type(model).__name__}.decode_logits"
    with _named(f"{name} failed for z of shape {tuple(output.z.shape)}"):
        given: Any = model.decode_logits(model.shield(output.z))
    if not isinstance(given, Decoded):
        _refuse(f"{name} returned {_what(given)}; it must return Decoded(logits), from acc.api")
    right = tuple(x_BCHW.shape)
    if not isinstance(given.logits, Tensor) or tuple(given.logits.shape) != right:
        _refuse(
            f"{name} drew {_what(given.logits)} for {_of_images(x_BCHW)}; the logits must be of exactly that shape, "
            f"{right} (images, channels, height, width)"
        )
    if not given.logits.is_floating_point():
        _refuse(f"{name} drew {_what(given.logits)}; the logits must be floats")
    _check_finite(f"{name} drew", given.logits)
    attention = given.attention
    if attention is not None and (
        not isinstance(attention, Tensor) or attention.dim() != 4 or attention.shape[0] != IMAGES
    ):
        _refuse(
            f"{name} gave as attention {_what(attention)}; it must be of shape ({IMAGES}, slots, h, w), or None"
        )
    _check_extras(f"{name} gave", given.extras)


def _check_finite(who: str, tensor: Tensor) -> None:
    wrong = int((~torch.isfinite(tensor)).sum())
    if wrong:
        _refuse(f"{who} {_what(tensor)}, in which {wrong} of {tensor.numel()} numbers are not finite")


def _what(value: object) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}, {value.dtype}"
    if value is None:
        return "None"
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    if isinstance(value, torch.distributions.Distribution):
        return f"a {type(value).__name__} distribution"
    return f"{'an' if type(value).__name__[0] in 'AEIOU' else 'a'} {type(value).__name__}"


def _of_images(x_BCHW: Tensor) -> str:
    return (
        f"{IMAGES} images of {' x '.join(str(side) for side in x_BCHW.shape[1:])} (channels x height x width)"
    )


def _refuse(message: str) -> NoReturn:
    raise InvalidInput({"architecture": message})


@contextmanager
def _named(what: str) -> Iterator[None]:
    """Within, an exception of the plugin's becomes InvalidInput that says where it arose."""
    try:
        yield
    except (AccError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise InvalidInput({"architecture": f"{what}: {describe(error)}"}) from error


@contextmanager
def _leaving_no_trace(model: Model) -> Iterator[None]:
    """Put buffers and attributes back as they were, except in layers that learn their shapes within."""
    buffers = [
        (module, name, buffer, None if buffer is None else buffer.clone())
        for module in model.modules()
        if not is_lazy_itself(module)
        for name, buffer in module._buffers.items()
    ]
    attributes = [
        (module, {name: value for name, value in vars(module).items() if name not in _OF_EVERY_MODULE})
        for module in model.modules()
        if not is_lazy_itself(module)
    ]
    try:
        yield
    finally:
        for module, name, buffer, content in buffers:
            module._buffers[name] = buffer
            if buffer is not None and content is not None:
                buffer.copy_(content)
        for module, before in attributes:
            for name in [
                name for name in vars(module) if name not in _OF_EVERY_MODULE and name not in before
            ]:
                del vars(module)[name]
            vars(module).update(before)


def is_lazy_itself(module: nn.Module) -> bool:
    """Return whether this very module, not one in it, has yet to learn its shapes."""
    return any(
        tensor is not None and _is_lazy(tensor)
        for tensor in [*module._parameters.values(), *module._buffers.values()]
    )

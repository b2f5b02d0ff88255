"""A decoder as an ONNX file, for a browser or any other program that has no torch."""

from __future__ import annotations

import importlib.util
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from acc.errors import InvalidInput
from acc.models.base import Model
from acc.places import describe

OPSET = 18
INSTALL = "pip install onnx"


class _Decoder(nn.Module):
    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, z: Tensor) -> Tensor:
        return self.model.decode(z)


def decoder_to_onnx(model: Model, shape: Sequence[int]) -> bytes:
    """Return the decoder as ONNX: ``z`` (1, *shape) float32 to ``image`` (1, C, H, W) in 0..1.

    Of one latent at a time: with any number of them the recorded pass would hold for two only, where a decoder
    reshapes by numbers. ``model`` is in eval mode. Raises InvalidInput (onnx) where the package is missing,
    or the decoder does what ONNX has no words for.
    """
    if importlib.util.find_spec("onnx") is None:
        raise InvalidInput({"onnx": f"the package onnx is missing here; `{INSTALL}` installs it"})
    try:
        with warnings.catch_warnings(), torch.no_grad(), tempfile.TemporaryDirectory() as folder:
            out = Path(folder, "decoder.onnx")
            warnings.simplefilter("ignore")
            # The exporter that records one pass: it needs no onnxscript, and takes a tenth of the time.
            torch.onnx.export(
                _Decoder(model).eval(),
                (torch.zeros(1, *shape),),
                out,
                dynamo=False,
                opset_version=OPSET,
                input_names=["z"],
                output_names=["image"],
            )
            return out.read_bytes()
    except Exception as error:  # whatever a plugin's decoder raises, or the exporter of it
        name = type(model).__name__
        raise InvalidInput(
            {"onnx": f"the decoder of {name} cannot be written as ONNX: {describe(error)}"}
        ) from error

"""Arrays from ``.pt`` files: tensors only, read by torch with ``weights_only``, so that no code in them is run.

``python -m acc.data.tensor_files IN OUT.npz MAX_BYTES`` puts them into a file that needs no torch to be read.
"""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from acc.data.importers.limits import MAX_DATASET_BYTES, check_bytes, refuse
from acc.errors import InvalidInput
from acc.text import first_line

NAMES = ("images", "label")


def read(path: Path, max_bytes: int = MAX_DATASET_BYTES) -> dict[str, NDArray[Any]]:
    """Return the arrays of a file that ``torch.save`` wrote: a tensor, a dict of tensors, or images and labels.

    Raises InvalidInput (file) for anything else in it, and for more bytes than allowed.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            check_bytes(path.name, sum(entry.file_size for entry in archive.infolist()), max_bytes)
        found = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except InvalidInput:
        raise
    except OSError as error:
        raise refuse(path.name, f"cannot be read: {error.strerror or error}") from error
    except Exception as error:  # torch raises what it likes for what is damaged
        why = first_line(error) or type(error).__name__
        raise refuse(path.name, f"is not a whole .pt file of tensors alone: {why[:200]}") from error
    arrays = {name: _array(name, value, path.name) for name, value in _named(found, path.name).items()}
    # Tensors that are expanded views take no room in the file, but would here.
    check_bytes(path.name, sum(array.size * array.itemsize for array in arrays.values()), max_bytes)
    return arrays


def _named(found: Any, file: str) -> Mapping[str, Any]:
    if isinstance(found, torch.Tensor):
        return {"images": found}
    if isinstance(found, Mapping):
        return {str(name): value for name, value in found.items()}
    if isinstance(found, Sequence) and not isinstance(found, str | bytes) and len(found) in {1, 2}:
        return dict(zip(NAMES, found, strict=False))
    raise refuse(
        file,
        f"holds a {type(found).__name__}; need a tensor, a dict of tensors, or a pair of images and labels",
    )


def _array(name: str, value: Any, file: str) -> NDArray[Any]:
    if not isinstance(value, torch.Tensor):
        raise refuse(file, f"holds '{name}', which is a {type(value).__name__} and no tensor")
    if value.layout != torch.strided or value.is_quantized:
        raise refuse(file, f"holds '{name}', which is sparse or quantized; save it dense")
    plain = value.detach()
    if plain.dtype in {torch.bfloat16, torch.float16}:
        plain = plain.float()
    array: NDArray[Any] = plain.numpy()
    return array


def main() -> int:
    """Convert one file; a refusal is a sentence on the standard error, with exit status 2."""
    source, target, max_bytes = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    try:
        np.savez(target, allow_pickle=False, **read(source, max_bytes))
    except InvalidInput as error:
        sys.stderr.write("\n".join(error.fields.get("file", [str(error)])))
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

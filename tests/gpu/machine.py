"""What these tests ask of a machine."""

from __future__ import annotations

import pytest
import torch

GPUS = torch.cuda.device_count() if torch.cuda.is_available() else 0
GPU = "cuda:0"
NEEDS_GPU = pytest.mark.skipif(GPUS < 1, reason="needs an NVIDIA GPU and a CUDA torch")
NEEDS_TWO = pytest.mark.skipif(GPUS < 2, reason="needs two NVIDIA GPUs and a CUDA torch")

"""What a process of a job takes of its machine."""

from __future__ import annotations

import torch
from django.conf import settings

from workers.machine import memory


def take_share(device: str, *, ranks: int = 1) -> None:
    """Let torch use ACC_THREADS processor threads, unless the job says otherwise, and bound this process's memory.

    The bound is an equal part if ``ranks`` share the machine. There is none beside a GPU, whose driver maps more than
    it uses.
    """
    torch.set_num_threads(settings.ACC_THREADS)
    if device == "cpu":
        memory.limit(memory.allowed_gib(settings.ACC_JOB_MEMORY_GIB) / ranks)

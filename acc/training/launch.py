"""Joins processes of one machine into the ranks of a job."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist

from acc.training.ranks import RankLost, Ranks

TIMEOUT_SECONDS = 300.0
"""How long a rank waits for another, which may be compiling; one that has died is noticed at once."""


@contextmanager
def joined(
    rank: int, size: int, *, device: torch.device, meeting: Path, timeout: float = TIMEOUT_SECONDS
) -> Iterator[Ranks]:
    """Give this process's place among ``size`` ranks, which all come here: by NCCL on GPUs, else by gloo.

    ``meeting``: a file that is not there yet, the same for all. Raises RankLost if one does not come.
    """
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # a host's name may resolve to nothing
    if device.type == "cuda":
        torch.cuda.set_device(device)
    wait = timedelta(seconds=timeout)
    try:
        dist.init_process_group(
            "nccl" if device.type == "cuda" else "gloo",
            store=dist.FileStore(str(meeting), size),  # type: ignore[attr-defined]
            rank=rank,
            world_size=size,
            timeout=wait,
        )
        ranks = Ranks(rank, size, device=device, timeout=timeout)
    except RuntimeError as error:
        raise RankLost(f"the {size} ranks did not come together within {timeout:g} s ({error})") from error
    yield ranks
    # Not after an error: to leave politely is to wait for the others, and one of them may be gone.
    dist.destroy_process_group()

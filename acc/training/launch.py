"""Joins processes into the ranks of a job: they meet at a file on one machine, or at rank 0's address on several."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch.distributed import Store  # type: ignore[attr-defined]

from acc.training.ranks import RankLost, Ranks

TIMEOUT_SECONDS = 300.0
"""How long a rank waits for another, which may be compiling; one that has died is noticed at once."""

LOOPBACK = "lo"


def at_file(path: Path, size: int) -> Store:
    """Return where ``size`` ranks of one machine meet: a file that is not there yet, the same for all."""
    store: Store = dist.FileStore(str(path), size)  # type: ignore[attr-defined]
    return store


def at_socket(listening: socket.socket, *, timeout: float = TIMEOUT_SECONDS) -> Store:
    """Return where ranks of several machines meet, served by this process: rank 0's, already listening.

    The socket is the store's from then on, and it hears on that address alone. It knows no credentials: it belongs
    on a network of these machines' own.
    """
    host, port = listening.getsockname()[:2]
    store: Store = dist.TCPStore(  # type: ignore[attr-defined]
        host,
        port,
        is_master=True,
        timeout=timedelta(seconds=timeout),
        wait_for_workers=False,
        master_listen_fd=listening.detach(),
    )
    return store


def at_address(host: str, port: int, *, timeout: float = TIMEOUT_SECONDS) -> Store:
    """Return the meeting point that rank 0 serves at ``host:port``; raises RankLost if nobody does."""
    try:
        store: Store = dist.TCPStore(  # type: ignore[attr-defined]
            host, port, is_master=False, timeout=timedelta(seconds=timeout)
        )
    except RuntimeError as error:  # what torch raises for a network derives from it
        raise RankLost(f"rank 0 was not to be reached at {host}:{port} ({_first_line(error)})") from error
    return store


@contextmanager
def joined(
    rank: int,
    size: int,
    *,
    device: torch.device,
    store: Store,
    interface: str = LOOPBACK,
    timeout: float = TIMEOUT_SECONDS,
) -> Iterator[Ranks]:
    """Give this process's place among ``size`` ranks, which all come here: by NCCL on GPUs, else by gloo.

    interface: of the network that they share, the loopback on one machine. Raises RankLost if one does not come.
    """
    # Said, not guessed: gloo would ask for the address of the host's name, which may resolve to nothing.
    os.environ["GLOO_SOCKET_IFNAME"] = interface
    if device.type == "cuda":
        torch.cuda.set_device(device)
        if interface != LOOPBACK:
            os.environ["NCCL_SOCKET_IFNAME"] = interface
    wait = timedelta(seconds=timeout)
    try:
        dist.init_process_group(
            "nccl" if device.type == "cuda" else "gloo", store=store, rank=rank, world_size=size, timeout=wait
        )
        ranks = Ranks(rank, size, device=device, timeout=timeout)
    except RuntimeError as error:
        raise RankLost(
            f"the {size} ranks did not come together within {timeout:g} s ({_first_line(error)})"
        ) from error
    yield ranks
    # Not after an error: to leave politely is to wait for the others, and one of them may be gone.
    dist.destroy_process_group()


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:300]

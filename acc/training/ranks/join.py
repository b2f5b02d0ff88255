"""Joins processes into the ranks of a job: they meet at a file on one machine, or at rank 0's address on several.

Processes that torchrun started meet where it says: ``under_torchrun``.
"""

from __future__ import annotations

import importlib
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch.distributed import Store  # type: ignore[attr-defined]
from torch.distributed.rendezvous import rendezvous

from acc.errors import InvalidInput
from acc.text import first_line
from acc.training.ranks.group import RankLost, Ranks

TIMEOUT_SECONDS = 300.0
"""How long a rank waits for another, which may be compiling; one that has died is noticed at once."""

LOOPBACK = "lo"

SAYS_WHICH = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
SAYS_WHERE = ("MASTER_ADDR", "MASTER_PORT")
"""What torchrun tells each process that it starts."""


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
        raise RankLost(f"rank 0 was not to be reached at {host}:{port} ({first_line(error)})") from error
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
    with _grouped(rank, size, device=device, store=store, timeout=timeout) as ranks:
        yield ranks


@contextmanager
def under_torchrun(device: str = "auto", *, timeout: float = TIMEOUT_SECONDS) -> Iterator[Ranks | None]:
    """Give this process's place among those that torchrun started; None where there is but this one.

    ``with under_torchrun() as ranks: train(..., ranks=ranks)`` is a script for ``python script.py`` and for
    ``torchrun --nproc-per-node 2 script.py`` alike, on one machine or (``--nnodes``, ``--rdzv-endpoint``) several.

    device: ``cuda`` has the ranks of a machine take its GPUs in order, by NCCL; ``cpu`` talks by gloo; ``auto`` is
    cuda where there is one. ``GLOO_SOCKET_IFNAME`` and ``NCCL_SOCKET_IFNAME`` name the network, if they are set.
    Raises InvalidInput if the environment is not torchrun's, or there are fewer GPUs than ranks of this machine;
    RankLost if a rank does not come.
    """
    env = _TorchrunEnv.read()
    if env is None or env.size == 1:
        yield None
        return
    own = env.device(device)
    if env.alone:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", LOOPBACK)
    if own.type == "cuda":
        torch.cuda.set_device(own)
    try:
        store, _, _ = next(rendezvous("env://", timeout=timedelta(seconds=timeout)))
    except RuntimeError as error:
        raise RankLost(
            f"the other ranks were not to be reached at {env.where} ({first_line(error)})"
        ) from error
    with _grouped(env.rank, env.size, device=own, store=store, timeout=timeout) as ranks:
        yield ranks


@dataclass(frozen=True)
class _TorchrunEnv:
    """What torchrun told this process. alone: all ranks are on this machine."""

    rank: int
    size: int
    local: int
    where: str
    alone: bool

    @classmethod
    def read(cls) -> _TorchrunEnv | None:
        """Return it, or None if torchrun did not start this process; raises InvalidInput for half of it."""
        said = {name: os.environ.get(name, "") for name in (*SAYS_WHICH, *SAYS_WHERE)}
        if not any(said[name] for name in SAYS_WHICH):
            return None
        missing = [name for name in said if not said[name]]
        if missing:
            there = ", ".join(f"{name}={value}" for name, value in said.items() if value)
            raise InvalidInput(
                {
                    name: f"not set, although the environment has {there}; torchrun sets all of "
                    f"{', '.join(said)}. Start the script by torchrun, or unset them all to train in one process"
                    for name in missing
                }
            )
        numbers: dict[str, int] = {}
        for name in (*SAYS_WHICH, "MASTER_PORT"):
            if not said[name].isdecimal():
                raise InvalidInput({name: f"{said[name]!r} is no number; torchrun sets it to 0, 1, 2, ..."})
            numbers[name] = int(said[name])
        rank, size = numbers["RANK"], numbers["WORLD_SIZE"]
        if rank >= size:
            raise InvalidInput(RANK=f"{rank} is none of {size} ranks (WORLD_SIZE), which are 0 to {size - 1}")
        host = said["MASTER_ADDR"]
        here = os.environ.get("LOCAL_WORLD_SIZE") == said["WORLD_SIZE"]
        alone = here or host in {"localhost", "::1"} or host.startswith("127.")
        return cls(rank, size, numbers["LOCAL_RANK"], f"{host}:{numbers['MASTER_PORT']}", alone)

    def device(self, wanted: str) -> torch.device:
        """Return the device of this rank; raises InvalidInput if there is none for it."""
        if wanted not in {"auto", "cpu", "cuda"}:
            raise InvalidInput(
                device=f"{wanted!r} is one device, and each rank needs one of its own; use auto, cpu or cuda"
            )
        gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if wanted == "cpu" or (wanted == "auto" and not gpus):
            return torch.device("cpu")
        if self.local >= gpus:
            raise InvalidInput(
                LOCAL_RANK=f"{self.local} is beyond the GPUs of this machine, which has {gpus}; start no more "
                "processes than that on it (--nproc-per-node), or use under_torchrun(device='cpu')"
            )
        return torch.device("cuda", self.local)


@contextmanager
def _grouped(rank: int, size: int, *, device: torch.device, store: Store, timeout: float) -> Iterator[Ranks]:
    """Join the ranks that meet at ``store``, and leave them if all went well."""
    # Every optimizer imports it. Functions of torch.distributed that come with it take the group there is by then for
    # the default of an argument, and so would keep it, and its threads, beyond ``leave``.
    importlib.import_module("torch._dynamo")
    wait = timedelta(seconds=timeout)
    try:
        dist.init_process_group(
            "nccl" if device.type == "cuda" else "gloo", store=store, rank=rank, world_size=size, timeout=wait
        )
        ranks = Ranks(rank, size, device=device, timeout=timeout)
    except RuntimeError as error:
        raise RankLost(
            f"the {size} ranks did not come together within {timeout:g} s ({first_line(error)})"
        ) from error
    yield ranks
    # Not after an error: to leave politely is to wait for the others, and one of them may be gone.
    ranks.leave()

"""What the ranks beside rank 0 do, on whichever machine: the same training, of which they keep and report nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from acc.specs import TrainJobSpec
from acc.training.protocols import Command, NullControl
from acc.training.ranks.control import SharedControl
from acc.training.ranks.join import at_address, at_file, joined
from acc.training.trainer import Trainer
from accsite.apps.jobs.models import Job
from accsite.apps.training.models import Checkpoint
from accsite.apps.training.services.resuming import mended_plugins
from workers.fork import copies
from workers.job.durable import disconnect
from workers.job.materials import Materials, load_checkpoint
from workers.machine.share import take_share


def follow(job_id: int, rank: int, told: dict[str, Any]) -> None:
    """Train as rank ``rank`` what rank 0 told; raises what ends it.

    told: ``devices``, one for each rank of this machine from rank ``first`` on; ``size``, the number of all ranks;
    ``resume_from``, the sha256 of a checkpoint or ''; ``meeting``, a file, or host:port; ``interface`` of the network.
    """
    device = torch.device(told["devices"][rank - told["first"]])
    take_share(str(device), ranks=len(told["devices"]))
    job = Job.objects.select_related("start_checkpoint").get(pk=job_id)
    spec = TrainJobSpec.model_validate(job.spec)
    resumed = None
    if told["resume_from"]:
        resumed = load_checkpoint(Checkpoint.objects.filter(job=job, sha256=told["resume_from"]).latest("id"))
    started = None if resumed or job.start_checkpoint is None else load_checkpoint(job.start_checkpoint)
    materials = Materials(spec, resumed, mended_plugins(job, resumed.header.job_step if resumed else 0))
    disconnect()

    def prepare(command: Command) -> None:
        materials.prepare(command)
        disconnect()

    store = _store(told["meeting"], told["size"])
    with joined(rank, told["size"], device=device, store=store, interface=told["interface"]) as ranks:
        control = SharedControl(ranks, NullControl(), prepare=prepare)
        try:
            trainer = Trainer(
                spec,
                materials.datasets,
                classes=materials.classes,
                control=control,
                start_from=started,
                resume_from=resumed,
                device=str(device),
                ranks=ranks,
            )
            trainer.run()
        finally:
            copies.end_if_copy()


def _store(meeting: str, size: int) -> Any:
    """Return this rank's end of where all meet."""
    if meeting.startswith("/"):
        return at_file(Path(meeting), size)
    host, _, port = meeting.rpartition(":")
    return at_address(host, int(port))

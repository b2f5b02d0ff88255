"""What the ranks beside rank 0 do: the same training, of which they keep, report and save nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from acc.specs import TrainJobSpec
from acc.training.launch import at_file, joined
from acc.training.orders import SharedControl
from acc.training.protocols import Command, NullControl
from acc.training.trainer import Trainer
from accsite.apps.training.models import Checkpoint, Job
from workers.durable import disconnect
from workers.materials import Materials


def follow(job_id: int, rank: int, told: dict[str, Any]) -> None:
    """Train as rank ``rank`` what ``workers.ranks.together`` told; raises what ends it."""
    from workers.runner import limit_memory, use_threads
    from workers.train import load

    device = torch.device(told["devices"][rank])
    use_threads()
    limit_memory(str(device), ranks=len(told["devices"]))
    job = Job.objects.select_related("start_checkpoint").get(pk=job_id)
    spec = TrainJobSpec.model_validate(job.spec)
    resumed = None
    if told["resume_from"]:
        resumed = load(Checkpoint.objects.filter(job=job, sha256=told["resume_from"]).latest("id"))
    started = None if resumed or job.start_checkpoint is None else load(job.start_checkpoint)
    materials = Materials(spec, resumed)
    disconnect()

    def prepare(command: Command) -> None:
        materials.prepare(command)
        disconnect()

    size = len(told["devices"])
    with joined(rank, size, device=device, store=at_file(Path(told["meeting"]), size)) as ranks:
        control = SharedControl(ranks, NullControl(), prepare=prepare)
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
        control.finish()

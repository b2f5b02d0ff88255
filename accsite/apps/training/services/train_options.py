"""What of a train specification can be judged before a worker has it."""

from __future__ import annotations

from collections.abc import Iterable

from acc.errors import InvalidInput
from acc.specs import TrainSpec
from accsite.apps.jobs.models import Worker
from accsite.apps.jobs.services.placement import most_ranks

GRAPHS = ("reduce-overhead", "max-autotune")
TOTAL = "total"


def check_options(train: TrainSpec, tasks: Iterable[str], *, queue: str) -> None:
    """Raise InvalidInput for an option that no worker could obey; ``tasks``: keys of those that train."""
    errors = {}
    known = [TOTAL, *tasks]
    if train.early_stop and train.early_stop not in known:
        errors["early_stop"] = (
            f"{train.early_stop!r} is no task of this branch that is switched on; use one of: {', '.join(known)}"
        )
    if train.compile in GRAPHS and not _may_have_gpu(train, queue):
        errors["compile"] = (
            f"{train.compile!r} replays CUDA graphs, which need an NVIDIA GPU, and this job would run on a CPU; "
            "use 'default' or 'off'"
        )
    if train.ranks > 1:
        errors |= _too_many_ranks(train, queue)
    if errors:
        raise InvalidInput(errors)


def _too_many_ranks(train: TrainSpec, queue: str) -> dict[str, str]:
    """Return what is wrong if the workers that are online could never hold all ranks."""
    online = Worker.objects.serving(queue)
    most = most_ranks(train.device, online)
    if not most or train.ranks <= most:
        return {}
    what = "GPUs or processor cores"
    if any(worker.address for worker in online):
        have = f"{what}, and the online workers that reach each other have {most} together"
    else:
        have = f"{what} of one machine, and no online worker has more than {most}"
    return {"ranks": f"{train.ranks} ranks need as many {have}; use fewer"}


def _may_have_gpu(train: TrainSpec, queue: str) -> bool:
    """Return whether a GPU could take the job: one that is online, or any while nobody is."""
    if train.device != "auto":
        return train.device.startswith("cuda")
    online = Worker.objects.serving(queue)
    return not online or any(worker.device.startswith("cuda") for worker in online)

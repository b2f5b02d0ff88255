"""What of a train specification can be judged before a worker has it."""

from __future__ import annotations

from collections.abc import Iterable

from acc.errors import InvalidInput
from acc.specs import TrainSpec
from accsite.apps.training.models import Worker
from accsite.apps.training.services.placement import capacity, fits

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
    """Return what is wrong if no worker that is online could ever hold all ranks; they are on one machine."""
    online = [worker for worker in Worker.objects.filter(state=Worker.State.ONLINE) if queue in worker.queues]
    able = [capacity(train.device, worker) for worker in online if fits(train.device, worker)]
    if not able or train.ranks <= max(able):
        return {}
    what = "GPUs or processor cores of one machine"
    return {
        "ranks": f"{train.ranks} ranks need as many {what}, and no online worker has more than {max(able)}; use fewer"
    }


def _may_have_gpu(train: TrainSpec, queue: str) -> bool:
    """Return whether a GPU could take the job: one that is online, or any while nobody is."""
    if train.device != "auto":
        return train.device.startswith("cuda")
    online = [worker for worker in Worker.objects.filter(state=Worker.State.ONLINE) if queue in worker.queues]
    return not online or any(worker.device.startswith("cuda") for worker in online)

"""The proof that a job can be taken up again: a step after a checkpoint was read back equals the step without it.

What fails here would be found at a resume, days later, or never. It is made with states of the same job that are
made anew, so that it leaves no trace in the one that trains.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from acc import rng
from acc.errors import AccError, CheckpointError, PluginFailed
from acc.text import in_words, is_out_of_memory
from acc.training.batch import Stored
from acc.training.checkpoints.comparing import differing
from acc.training.checkpoints.files import Checkpoint, Snapshot, from_bytes
from acc.training.failures import TaskFailed, failing
from acc.training.protocols import Alarm, Sink
from acc.training.task import JointTask, TaskView

if TYPE_CHECKING:
    from acc.specs import TaskSpec
    from acc.training.train_state import TrainState

KEPT = (
    "A checkpoint keeps of a task or a model its modules, buffers and parameters, optimizers and random generators, "
    "each as an attribute of its own, and numbers, texts, tensors, arrays, and lists, tuples, sets and dicts of these; "
    "not modules, optimizers or generators inside of lists or dicts"
)
WRITE = (
    f"{KEPT}: make them in attach or build_head (self.x = ...), keep modules in lists as nn.ModuleList, and hold what "
    "need not be kept in local variables"
)


def prove(state: TrainState) -> None:
    """Raise PluginFailed, naming what is lost, unless the job of ``state`` can be taken up again exactly.

    That is to the bit on a CPU; a GPU's kernels may differ in the last digits.
    """

    def as_it_stands() -> TrainState:
        twin = state.twin(**state.origin)
        twin.take_tasks(state.tasks.specs)  # some may have been switched off, taken away or added since
        return twin

    state.harmless |= _compare(as_it_stands, lambda read: state.twin(resume_from=read), state.unmeasured)


def try_task(state: TrainState, spec: TaskSpec) -> None:
    """Prove the same of the running job with the task of ``spec`` in it; raises PluginFailed or InvalidInput."""
    now = state.snapshot().checkpoint()

    def with_task() -> TrainState:
        twin = state.twin(resume_from=now)
        if spec.key in twin.tasks.entries:
            twin.tasks.change(spec.key, enabled=True)
        else:
            twin.join(spec)
        return twin

    state.harmless |= _compare(with_task, lambda read: state.twin(resume_from=read), state.unmeasured)


def on_rank_0(state: TrainState, sink: Sink, check: Callable[[], None]) -> float:
    """Have rank 0 check something, and raise what it refuses on all ranks; return the seconds that it took."""
    began = time.perf_counter()
    refused = ""
    if state.leads:
        try:
            check()
        except Exception as error:
            if isinstance(error, torch.OutOfMemoryError) or is_out_of_memory(error):
                message = (
                    "there was no memory to prove that this job can be taken up again; it goes on unproven"
                )
                sink.on_alarm(Alarm("proof", state.step, message))
            elif state.ranks is None:
                raise
            else:
                refused = in_words(error)  # whatever it is, the other ranks wait for it
    if state.ranks is not None and (told := state.ranks.broadcast(refused)):
        raise PluginFailed(told)
    return time.perf_counter() - began


def _compare(
    first: Callable[[], TrainState], again: Callable[[Checkpoint], TrainState], unmeasured: dict[str, str]
) -> frozenset[str]:
    """Return what no checkpoint kept, though nothing depends on it; raises PluginFailed if something does.

    unmeasured: takes task key -> why the task could not be measured, were this a checkpoint to evaluate.
    """
    # What the steps of the proof print is not of the job: its own steps print it again.
    with rng.preserved(), redirect_stdout(StringIO()):
        one = first()
        with one.ready():
            one.make_step()
            written = one.snapshot()
            seen = one.described()
            losses = one.make_step().losses
            after = one.snapshot()
        try:
            other = again(from_bytes(written.as_bytes()))
        except CheckpointError as error:
            raise PluginFailed(
                f"a checkpoint of this job could not be opened again: {error}. What it holds after one step must have "
                f"the names and shapes that it is made with. {WRITE}"
            ) from error
        except AccError as error:
            raise PluginFailed(f"this job could not be taken up again from a checkpoint: {error}") from error
        lost = differing(seen, other.described())
        if lost:
            raise PluginFailed(
                f"{lost} changes while the job trains and is in no checkpoint, so that a job that is taken up again "
                f"would go on without it. {WRITE}"
            )
        with other.ready():
            losses_again = other.make_step().losses
            after_again = other.snapshot()
        _same_step(one, losses, losses_again, after, after_again)
        unmeasured.update(_unmeasured(one))
        return one.left_out()


def _unmeasured(state: TrainState) -> dict[str, str]:
    """Return task key -> what failed as one batch went through the tasks as an evaluation does it.

    ``state`` is of no use afterwards.
    """
    model, found = state.model.eval(), {}
    views: dict[str, TaskView] = {}
    for key, entry in state.tasks.entries.items():
        entry.eval()
        entry.context.load(None)
        data = state.tasks.dataset(entry.spec.dataset)
        batch = Stored(data, state.device).batch(np.arange(min(len(data), state.train.batch_size)))
        with torch.no_grad():
            views[key] = TaskView(entry.task, model.encode(batch.images), batch)
    for key, entry in state.tasks.entries.items():
        own = views[key]
        if not entry.spec.enabled:  # nobody has said that it works
            continue
        try:
            with torch.no_grad(), failing(entry.spec, entry.task):
                if isinstance(entry.task, JointTask):
                    others = [view for other, view in views.items() if other != key and view.task.trains]
                    entry.task.evaluate_joint(own, others)
                    entry.summed(entry.task.compute_joint_loss(own, others, entry.head, *entry.step))
                    continue
                entry.task.evaluate(own.output, own.batch, entry.head)
                if entry.task.trains:
                    entry.loss(own.output, own.batch)
        except TaskFailed as failed:
            found[key] = (
                f"{failed}. A task must work in evaluation, too: no gradients, and self.training False"
            )
    return found


def _same_step(
    one: TrainState, losses: list[Tensor], again: list[Tensor], after: Snapshot, other: Snapshot
) -> None:
    keys = [entry.spec.key for entry in one.tasks.enabled]
    task = differing(dict(zip(keys, losses, strict=True)), dict(zip(keys, again, strict=True)))
    tensor = differing(after.tensors, other.tensors, exactly=one.device.type == "cpu")
    if not (task or tensor):
        return
    where = f"in the loss of task '{task}'" if task else f"in '{tensor}'"
    raise PluginFailed(
        "a job that is taken up again from a checkpoint would not go on as if nothing had happened: the next step "
        f"differs, first {where}. Something that it depends on is kept where no checkpoint looks: in a variable of the "
        f"module or of the class, in an iterator, in a generator that is no attribute, or in the clock. {WRITE}"
    )

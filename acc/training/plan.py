"""What one step does: which tasks train, on which batches, with which shared passes."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from torch import Tensor

from acc.errors import PluginFailed
from acc.models import Model, ModelOutput
from acc.places import told, written_at
from acc.rng import seed_for
from acc.specs import TrainSpec
from acc.training.data import IndexStream, Resident, to_unit
from acc.training.failures import TaskFailed, failing, is_no_fault
from acc.training.ranks.group import Ranks
from acc.training.ranks.share import Share
from acc.training.task import Batch, GatheredTargets, JointTask, Sight
from acc.training.taskset import Entry

DRAWS_AHEAD = 1024  # task draws of the sampled schedule made at once


@dataclass
class Group:
    """The tasks of one dataset: they share its batch and its part of the forward pass.

    members: (place among the plan's losses, task); a place of -1: only seen by the others, not trained.
    """

    resident: Resident
    stream: IndexStream
    members: list[tuple[int, Entry]]

    @property
    def needs_decoder(self) -> bool:
        """Whether one of the tasks looks at the reconstruction."""
        return any(entry.task.needs_reconstruction for place, entry in self.members if place >= 0)


class Plan:
    """One encoder pass over the batches of all groups, one decoder pass over those that need it."""

    def __init__(
        self,
        entries: Sequence[Entry],
        group_of: Callable[[str, list[tuple[int, Entry]]], Group],
        *,
        seen: Sequence[Entry] = (),
        finite: bool = False,
    ) -> None:
        """Plan a step that trains ``entries``; ``seen`` are others that one of these looks at.

        finite: the first losses must be finite numbers, which asks the device once.
        """
        by_dataset: dict[str, list[tuple[int, Entry]]] = {}
        for place, entry in [*enumerate(entries), *((-1, entry) for entry in seen)]:
            by_dataset.setdefault(entry.spec.dataset, []).append((place, entry))
        groups = [group_of(key, members) for key, members in by_dataset.items()]
        # Rows that need the decoder come first, so that it runs once on one slice of the latents.
        self._groups = sorted(groups, key=lambda group: not group.needs_decoder)
        self._sharing = sum(group.needs_decoder for group in groups)
        self._size = len(entries)
        self._joint = any(isinstance(entry.task, JointTask) for entry in entries)
        self._whole = any(entry.task.needs_whole_batch for entry in entries)
        self._entries = list(entries)
        self._checked, self._finite = False, finite
        self._failed: TaskFailed | None = None

    def losses(
        self, model: Model, share: Share | None = None, ranks: Ranks | None = None, *, together: bool = False
    ) -> list[Tensor]:
        """Draw the next batches and return the raw loss of each task: over their rows, or this process's share.

        Raises TaskFailed for a task that raises or gives no loss; with ``together``, which several ranks agree on,
        only after all that the ranks tell each other, so that none waits for one that left.
        """
        self._failed = None
        everything = [group.stream.next() for group in self._groups]
        indices = everything if share is None else [share.take(index) for index in everything]
        images = [
            group.resident.images.index_select(0, index)
            for group, index in zip(self._groups, indices, strict=True)
        ]
        if len({own.dtype for own in images}) > 1:  # float32 images beside uint8 ones
            images = [to_unit(own) for own in images]
        x_BCHW = to_unit(images[0] if len(images) == 1 else torch.cat(images))
        sizes = [len(index) for index in indices]
        outputs = _encoded(model, x_BCHW).split(sizes, share=self._sharing)
        losses: list[Tensor] = [x_BCHW] * self._size
        sights: list[Sight] = []
        divided = self._whole and ranks is not None and share is not None and share.rows < share.batch
        for group, index, output, own, complete in zip(
            self._groups, indices, outputs, x_BCHW.split(sizes), everything, strict=True
        ):
            batch = whole_batch = Batch(own, GatheredTargets(group.resident.targets, index))
            whole = output
            if divided:
                assert ranks is not None
                assert share is not None
                whole, whole_batch = ranks.whole(model, output, share), group.resident.batch(complete)
            if self._joint:
                sights += [Sight(entry.task, whole, whole_batch) for _, entry in group.members]
            for place, entry in group.members:
                if place >= 0 and not isinstance(entry.task, JointTask):
                    sees = (whole, whole_batch) if entry.task.needs_whole_batch else (output, batch)
                    self._loss(place, entry, entry.task.compute_loss, sees, losses, together=together)
        members = [member for group in self._groups for member in group.members]
        for (place, entry), own_sight in zip(members, sights, strict=False):
            if place >= 0 and isinstance(entry.task, JointTask):
                others = [sight for sight in sights if sight is not own_sight]
                compute = entry.task.compute_joint_loss
                self._loss(place, entry, compute, (own_sight, others), losses, together=together)
        if together:
            assert ranks is not None
            self._agree(ranks)
        self._checked = True
        return losses

    def _loss(
        self,
        place: int,
        entry: Entry,
        compute: Callable[..., Tensor],
        sees: tuple[Any, Any],
        losses: list[Tensor],
        *,
        together: bool,
    ) -> None:
        """Put the loss of one task in its place of ``losses``; what fails is noted if ``together``, else raised."""
        device = losses[place].device  # of the images that stand there
        try:
            with failing(entry.spec, entry.task):
                loss = compute(*sees, entry.head)
            if not self._checked:
                _check_loss(entry, loss, device, finite=self._finite)
            losses[place] = loss
        except TaskFailed as failed:
            if not together:
                raise
            self._failed = self._failed or failed

    def _agree(self, ranks: Ranks) -> None:
        """Raise TaskFailed on every rank if a task has failed on one."""
        keys = [entry.spec.key for entry in self._entries]
        own = self._failed
        place = ranks.highest(-1 if own is None else keys.index(own.key))
        if place >= 0:
            key = keys[place]
            if own is not None and own.key == key:
                raise own
            raise TaskFailed(f"task '{key}' failed on another rank", key=key)

    def factors(self, train: TrainSpec, *, weighted: bool) -> list[float]:
        """Return the factor of each loss in the total; the tasks grow one update older."""
        factors = []
        for entry in self._entries:
            with failing(entry.spec, entry.task):
                scale = entry.task.weight_scale(entry.age, train)
            factors.append(scale * entry.spec.weight if weighted else scale)
            entry.age += 1
        return factors


class JointSchedule:
    """Every step trains every enabled task."""

    weighted = True

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    def at(self, global_step: int) -> tuple[Plan, int | None]:
        """Return what the step does, and None: no single task was drawn."""
        return self._plan, None


class SampledSchedule:
    """Every step trains one enabled task, drawn by weight.

    The weight is the odds, so it does not scale the loss as well. Draws depend on seed and global step alone.
    """

    weighted = False

    def __init__(self, plans: Sequence[Plan], weights: Sequence[float], seed: int) -> None:
        self._plans, self._seed = plans, seed
        self._bounds = list(accumulate(weights))
        self._chunk = -1
        self._draws: list[float] = []

    def at(self, global_step: int) -> tuple[Plan, int | None]:
        """Return what the step does, and the place of the task drawn."""
        number, within = divmod(global_step, DRAWS_AHEAD)
        if self._chunk != number:
            generator = np.random.default_rng(seed_for(self._seed, "schedule", number))
            self._chunk, self._draws = number, generator.random(DRAWS_AHEAD).tolist()
        drawn = bisect_right(self._bounds, self._draws[within] * self._bounds[-1])
        return self._plans[drawn], drawn


Schedule = JointSchedule | SampledSchedule


def _encoded(model: Model, x_BCHW: Tensor) -> ModelOutput:
    try:
        output: ModelOutput = model(x_BCHW)
    except Exception as error:
        if is_no_fault(error):
            raise
        raise PluginFailed(f"the model {type(model).__name__} failed, {told(error)}") from error
    return output


def _check_loss(entry: Entry, loss: object, device: torch.device, *, finite: bool) -> None:
    """Raise TaskFailed unless ``loss`` is a scalar tensor that can be trained; looked at once for each plan."""
    wrong = _wrong_with(loss, device, finite=finite)
    if wrong:
        raise TaskFailed(f"task '{entry.spec.key}': {where_of(entry)} returned {wrong}", key=entry.spec.key)


def where_of(entry: Entry) -> str:
    """Return the method that gives a task's loss, with file and line."""
    method = "compute_joint_loss" if isinstance(entry.task, JointTask) else "compute_loss"
    return f"{entry.spec.task_class}.{method}{written_at(getattr(type(entry.task), method))}"


def _wrong_with(loss: object, device: torch.device, *, finite: bool) -> str:
    right = "it must return a scalar floating-point tensor, such as a mean"
    if not isinstance(loss, Tensor):
        return f"{loss!r:.200}; {right}"
    if loss.dim() or not loss.is_floating_point():
        return f"a tensor of shape {tuple(loss.shape)}, {loss.dtype}; {right}"
    if loss.device != device:
        return f"a loss on {loss.device}, and the job trains on {device}; make new tensors on output.z.device"
    if not loss.requires_grad:
        return (
            "a loss without a gradient, so nothing would learn from it; let it depend on output or on the head, not "
            "on what was detached or computed under no_grad. A task that is only measured is an EvaluationTask"
        )
    if finite and not torch.isfinite(loss):
        return f"{loss.item()}, which is no finite number, for the first batch"
    return ""

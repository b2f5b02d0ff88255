"""One training step: draw the batches, run the model once, take each task's loss, update the weights.

A ``Plan`` says what a step trains and computes the losses, a schedule which plan is next; ``Updates`` makes the
gradients and the optimizer's step of them. Batches that are divided, among ranks or over several passes, take the
longer way (``acc.training.ranks``).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from acc.errors import PluginFailed
from acc.models import Model, ModelOutput
from acc.places import describe
from acc.rng import seed_for
from acc.specs import TrainSpec
from acc.training.batch import Drawn, OnDevice, Stream, to_unit
from acc.training.failures import TaskFailed, check_loss, failing, is_no_fault
from acc.training.optimizers import Optimizers
from acc.training.passes import network_passes, precision_on, records_graphs
from acc.training.ranks.group import Ranks
from acc.training.ranks.share import Share, SharedNoise, mean_of
from acc.training.task import JointTask, Loss, TaskView
from acc.training.taskset import Entry

DRAWS_AHEAD = 1024  # task draws of the sampled schedule made at once
GRAD_NORM_STEPS = 10
"""The gradient's norm is recorded at each step that clips or may be skipped, else at every tenth: under 0.1 % of a
step on a CPU (0.6 % at every step), and no more than 1 % where steps are short."""


@dataclass(slots=True)
class StepResult:
    """What a step came to.

    losses: raw, detached; factors: what each was multiplied with in the total; norm: the gradient's length, if it
    was measured; drawn: which of the enabled tasks was trained, None for all of them. parts: series and value of each
    loss that a task gave by name.
    """

    losses: list[Tensor]
    factors: list[float]
    lr: float
    norm: Tensor | None
    drawn: int | None
    parts: Sequence[tuple[str, Tensor]] = ()


@dataclass
class TaskGroup:
    """The tasks of one dataset: they share its batch and its part of the forward pass.

    members: (place among the plan's losses, task); a place of -1: only seen by the others, not trained.
    """

    data: OnDevice
    stream: Stream
    members: list[tuple[int, Entry]]

    def draw(self) -> Drawn:
        """Return the next batch."""
        return self.stream.draw(self.data)

    @property
    def needs_decoder(self) -> bool:
        return any(entry.task.needs_reconstruction for place, entry in self.members if place >= 0)


class Plan:
    """One encoder pass over the batches of all groups, one decoder pass over those that need it."""

    def __init__(
        self,
        entries: Sequence[Entry],
        group_of: Callable[[str, list[tuple[int, Entry]]], TaskGroup],
        *,
        seen: Sequence[Entry] = (),
        drawn: int | None = None,
        finite: bool = False,
    ) -> None:
        """Plan a step that trains ``entries``; ``seen`` are others that one of these looks at.

        drawn: the place among the enabled tasks of the one that is trained, whose weight is then the odds of that.
        finite: the first losses must be finite numbers, which asks the device once.
        """
        self.drawn = drawn
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
        self._in_parts: list[Entry] = []
        self._apart: list[Entry] = []

    def losses(
        self, model: Model, share: Share | None = None, ranks: Ranks | None = None, *, together: bool = False
    ) -> list[Tensor]:
        """Draw the next batches and return the raw loss of each task: over their rows, or this process's share.

        Raises TaskFailed for a task that raises or gives no loss; with ``together``, which several ranks agree on,
        only after all that the ranks tell each other, so that none waits for one that left.
        """
        self._failed = None
        # The rows of each dataset's next batch, and which of them are this process's.
        batches = [group.draw() for group in self._groups]
        shares = batches if share is None else [each.part(share.start, share.end) for each in batches]
        images = [each.images() for each in shares]
        if len({own.dtype for own in images}) > 1:  # float32 images beside uint8 ones
            images = [to_unit(own) for own in images]
        # One pass of the model over all of them.
        x_BCHW = to_unit(images[0] if len(images) == 1 else torch.cat(images))
        sizes = [len(each) for each in shares]
        outputs = _encoded(model, x_BCHW).split(sizes, share=self._sharing)
        # The loss of each task on what its dataset's rows came to.
        losses: list[Tensor] = [x_BCHW] * self._size
        own_images = x_BCHW.split(sizes) if len(sizes) > 1 else (x_BCHW,)
        views: list[TaskView] = []
        divided = self._whole and ranks is not None and share is not None and share.rows < share.batch
        for group, drawn, output, own, whole_drawn in zip(
            self._groups, shares, outputs, own_images, batches, strict=True
        ):
            batch = whole_batch = drawn.batch(own)
            whole = output
            if divided:
                assert ranks is not None
                assert share is not None
                whole = ranks.gather(model, output, share)
                whole_batch = whole_drawn.batch(to_unit(whole_drawn.images()))
            if self._joint:
                views += [TaskView(entry.task, whole, whole_batch) for _, entry in group.members]
            for place, entry in group.members:
                if place >= 0 and not isinstance(entry.task, JointTask):
                    sees = (whole, whole_batch) if entry.task.needs_whole_batch else (output, batch)
                    self._loss(place, entry, entry.task.compute_loss, sees, losses, together=together)
        # Last those that look at what the other tasks see.
        members = [member for group in self._groups for member in group.members]
        for (place, entry), own_view in zip(members, views, strict=False):
            if place >= 0 and isinstance(entry.task, JointTask):
                others = [view for view in views if view is not own_view]
                compute = entry.task.compute_joint_loss
                self._loss(place, entry, compute, (own_view, others), losses, together=together)
        if together:
            assert ranks is not None
            self._agree(ranks)
        if not self._checked:
            self._checked = True
            for entry in self._entries:
                entry.part_names = entry.part_names or ()
            self._in_parts = [entry for entry in self._entries if entry.part_names]
            self._apart = [entry for entry in self._in_parts if entry.apart]
        return losses

    def gradients_apart(
        self, scaled: Callable[[Tensor], Tensor]
    ) -> list[tuple[torch.nn.Parameter, Tensor | None]]:
        """Return the gradients of parameters that learn from a loss of their own alone, before the total's."""
        found: list[tuple[torch.nn.Parameter, Tensor | None]] = []
        for entry in self._apart:
            for loss, parameters in entry.losses_apart():
                if not loss.requires_grad:
                    key = entry.spec.key
                    raise TaskFailed(
                        f"task '{key}': a loss of a group of optimizers() has no gradient", key=key
                    )
                gradients = torch.autograd.grad(
                    scaled(loss), parameters, retain_graph=True, allow_unused=True
                )
                found += zip(parameters, gradients, strict=True)
        return found

    def parts(self) -> list[tuple[str, Tensor]]:
        """Return series and value of each of the losses that tasks gave by name, raw; let their graphs go."""
        for entry in self._in_parts:
            entry.parts = tuple(part.detach() for part in entry.parts)
        return [named for entry in self._in_parts for named in entry.part_series()]

    def modules(self) -> Iterator[nn.Module]:
        """Yield what the tasks keep beside the model: heads, and other modules."""
        for entry in self._entries:
            if entry.head is not None:
                yield entry.head
            yield from entry.extra.modules()

    def _loss(
        self,
        place: int,
        entry: Entry,
        compute: Callable[..., Loss],
        sees: tuple[Any, Any],
        losses: list[Tensor],
        *,
        together: bool,
    ) -> None:
        """Put the loss of one task in its place of ``losses``; what fails is noted if ``together``, else raised."""
        device = losses[place].device  # of the images that stand there
        try:
            with failing(entry.spec, entry.task):
                given = compute(*sees, entry.head, *entry.step)
                # One loss is what nearly every task gives.
                loss = given if type(given) is Tensor and not entry.part_names else entry.summed(given)
            if not self._checked:
                check_loss(entry.spec, entry.task, loss, device, finite=self._finite)
            losses[place] = loss
        except TaskFailed as failed:
            if not together:
                raise
            self._failed = self._failed or failed

    def _agree(self, ranks: Ranks) -> None:
        """Raise TaskFailed on every rank if a task has failed on one."""
        keys = [entry.spec.key for entry in self._entries]
        own = self._failed
        place = ranks.all_reduce_max(-1 if own is None else keys.index(own.key))
        if place >= 0:
            key = keys[place]
            if own is not None and own.key == key:
                raise own
            raise TaskFailed(f"task '{key}' failed on another rank", key=key)

    def factors(self, train: TrainSpec) -> list[float]:
        """Return the factor of each loss in the total."""
        factors = []
        for entry in self._entries:
            with failing(entry.spec, entry.task):
                scale = entry.task.weight_scale(entry.age, train)
            factors.append(scale * entry.spec.weight if self.drawn is None else scale)
        return factors

    def grow_older(self) -> None:
        """Count an update for each of the tasks."""
        for entry in self._entries:
            entry.context.step += 1


class JointSchedule:
    """Every step trains every enabled task."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    def at(self, global_step: int) -> Plan:
        return self._plan


class SampledSchedule:
    """Every step trains one enabled task, drawn by weight.

    The weight is the odds, so it does not scale the loss as well. Draws depend on seed and global step alone.
    """

    def __init__(self, plans: Sequence[Plan], weights: Sequence[float], seed: int) -> None:
        self._plans, self._seed = plans, seed
        self._bounds = list(accumulate(weights))
        self._chunk = -1
        self._draws: list[float] = []

    def at(self, global_step: int) -> Plan:
        """Return what the step does: the plan of the task drawn."""
        number, within = divmod(global_step, DRAWS_AHEAD)
        if self._chunk != number:
            generator = np.random.default_rng(seed_for(self._seed, "schedule", number))
            self._chunk, self._draws = number, generator.random(DRAWS_AHEAD).tolist()
        return self._plans[bisect_right(self._bounds, self._draws[within] * self._bounds[-1])]


Schedule = JointSchedule | SampledSchedule


class Updates:
    """Makes the updates of one model. A batch that is computed whole, in one pass, takes the shortest way."""

    def __init__(
        self,
        model: Model,
        train: TrainSpec,
        optimizer: Optimizers,
        device: torch.device,
        ranks: Ranks | None,
    ) -> None:
        self._model, self._train, self._optimizer, self._ranks = model, train, optimizer, ranks
        self._device = device
        rank, size = (ranks.rank, ranks.size) if ranks is not None else (0, 1)
        share = Share.of(train.batch_size, rank=rank, ranks=size, passes=train.accumulate)
        self._share = None if share.is_whole else share
        self._noise = None if self._share is None else SharedNoise(self._share)
        self._graphs = records_graphs(train, device)
        self.survives = False  # whether a task that fails is to be switched off
        self.scaler: torch.amp.GradScaler | None = None
        if precision_on(device, train.precision) == "fp16":
            self.scaler = torch.amp.GradScaler(device.type)

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Within, the model's passes and its noise are what the specification asks for."""
        with network_passes(self._model, self._train, self._device):
            if self._noise is None:
                yield
                return
            self._model.noise = self._noise  # type: ignore[method-assign]
            try:
                yield
            finally:
                del self._model.noise  # the method of its class again

    def make(self, plan: Plan, base_lr: float, step: int, clip: float | None) -> StepResult:
        """Make one update of the tasks of ``plan``, of a gradient no longer than ``clip``; return what it came to."""
        optimizer, train = self._optimizer, self._train
        skips = train.on_nan == "skip" or self.survives
        buffers = _Buffers([self._model, *plan.modules()]) if skips else None
        optimizer.zero_grad()
        if self._share is None:
            losses = self._losses(plan)
            factors = plan.factors(train)
            total = _total(losses, factors)
            apart = plan.gradients_apart(self._scaled)
            self._scaled(total).backward()
            for parameter, gradient in apart:  # in place of what the total said to them
                parameter.grad = gradient
            losses, total = [loss.detach() for loss in losses], total.detach()
            parts = plan.parts()
        else:
            losses, factors, total, parts = self._divided(plan, self._share)
        plan.grow_older()
        norm = self._norm(step, clip)
        lr = optimizer.set_lr(base_lr, step)
        if self.scaler is not None:
            if buffers is not None:
                assert norm is not None
                buffers.keep_if(torch.isfinite(total + norm))
            for inner in optimizer.inner:
                self.scaler.step(inner)
            self.scaler.update()
        else:
            if buffers is not None:
                assert norm is not None
                buffers.keep_if(torch.isfinite(optimizer.skip_unless_finite(total + norm)))
            optimizer.step()
        return StepResult(losses, factors, lr, norm, plan.drawn, parts)

    def _losses(self, plan: Plan) -> list[Tensor]:
        if self._graphs:
            torch.compiler.cudagraph_mark_step_begin()
        together = self.survives and self._ranks is not None
        return plan.losses(self._model, self._share, self._ranks, together=together)

    def _divided(
        self, plan: Plan, share: Share
    ) -> tuple[list[Tensor], list[float], Tensor, list[tuple[str, Tensor]]]:
        """Compute this process's share of an update in its passes, and add up those of all ranks."""
        assert self._noise is not None
        self._noise.begin()
        factors: list[float] = []
        passes: list[list[Tensor]] = []
        parts: list[tuple[str, Tensor]] = []
        apart: list[tuple[torch.nn.Parameter, Tensor | None]] = []
        for number in range(share.passes):
            self._noise.turn(number)
            losses = self._losses(plan)
            factors = factors or plan.factors(self._train)
            before, apart = apart, plan.gradients_apart(lambda loss: self._scaled(loss * share.weight))
            self._scaled(_total(losses, factors) * share.weight).backward()
            if before:
                apart = [(one, _sum(old, new)) for (one, new), (_, old) in zip(apart, before, strict=True)]
            parts = plan.parts()
            passes.append([*(loss.detach() for loss in losses), *(part for _, part in parts)])
            if self._graphs and not number:
                # A replay writes its gradients where the last one did, so they are added up elsewhere.
                for parameter in self._optimizer.parameters:
                    parameter.grad = None if parameter.grad is None else parameter.grad.clone()
        for parameter, gradient in apart:  # in place of what the total said to them
            parameter.grad = gradient
        losses = mean_of(passes, share)
        if self._ranks is not None:
            gradients = [one.grad for one in self._optimizer.parameters if one.grad is not None]
            self._ranks.all_reduce([*gradients, *losses])
        count = len(factors)
        named = [(name, part) for (name, _), part in zip(parts, losses[count:], strict=True)]
        return losses[:count], factors, _total(losses[:count], factors), named

    def _scaled(self, total: Tensor) -> Tensor:
        return total if self.scaler is None else self.scaler.scale(total)

    def _norm(self, step: int, clip: float | None) -> Tensor | None:
        """Return the length that the gradient had if it is needed or due, after clipping it to ``clip``."""
        train, optimizer = self._train, self._optimizer
        if self.scaler is not None:
            for inner in optimizer.inner:
                self.scaler.unscale_(inner)
        if clip is not None:
            return optimizer.clip_grad_norm(clip)
        if train.on_nan == "skip" or self.survives or self.scaler is not None or step % GRAD_NORM_STEPS == 0:
            return optimizer.grad_norm()
        return None

    def state(self) -> dict[str, Tensor]:
        """Return the loss scale of fp16 and the updates since it last changed; empty for other precisions."""
        if self.scaler is None:
            return {}
        state = self.scaler.state_dict()
        return {"scale": torch.tensor(state["scale"]), "growth": torch.tensor(state["_growth_tracker"])}

    def load(self, state: dict[str, Tensor]) -> None:
        """Take over what ``state`` returned."""
        if self.scaler is not None and state:
            held = {"scale": float(state["scale"]), "_growth_tracker": int(state["growth"])}
            self.scaler.load_state_dict({**self.scaler.state_dict(), **held})


class _Buffers:
    """The buffers of modules as they are before a step, which a step that is left out must not have moved."""

    def __init__(self, modules: Iterable[nn.Module]) -> None:
        owners = {id(each): each for module in modules for each in module.modules()}
        self._before = [
            (owner, name, buffer.clone())
            for owner in owners.values()
            for name, buffer in owner._buffers.items()
            if buffer is not None
        ]

    @torch.no_grad()
    def keep_if(self, finite: Tensor) -> None:
        """Put them back unless ``finite``; on the device, without waiting for it."""
        for owner, name, before in self._before:
            now = owner._buffers.get(name)
            if now is not None and now.shape == before.shape and now.dtype == before.dtype:
                now.copy_(torch.where(finite, now, before))
            elif not finite:  # another tensor was put in its place
                owner._buffers[name] = before


def _encoded(model: Model, x_BCHW: Tensor) -> ModelOutput:
    try:
        output: ModelOutput = model(x_BCHW)
    except Exception as error:
        if is_no_fault(error):
            raise
        raise PluginFailed(f"the model {type(model).__name__} failed, {describe(error)}") from error
    return output


def _sum(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    return other if one is None else one if other is None else one + other


def _total(losses: Sequence[Tensor], factors: Sequence[float]) -> Tensor:
    total = losses[0] * factors[0]
    for loss, factor in zip(losses[1:], factors[1:], strict=True):
        total = total + loss * factor
    return total

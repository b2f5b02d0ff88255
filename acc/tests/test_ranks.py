"""Ranks that share each batch learn what one process learns, and their checkpoints are interchangeable."""

from __future__ import annotations

import multiprocessing
import os
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
import torch

from acc.copies import COPY_ENDED
from acc.data import AccDataset
from acc.errors import InvalidInput, PluginFailed
from acc.tests import helpers
from acc.training.checkpoints.files import Checkpoint, Snapshot, load
from acc.training.proof import on_rank_0
from acc.training.protocols import Command, NullControl
from acc.training.ranks.group import RankLost, Ranks
from acc.training.ranks.join import at_file, joined
from acc.training.ranks.share import Share
from acc.training.trainer import Trainer

CPU = torch.device("cpu")
OPTIONS: dict[str, Any] = {"optimizer": "sgd", "lr": 1e-2, "steps": 6, "batch_size": 9}


class Steered(NullControl):
    """Asks for another rate before step 2 and for a stop before step 4."""

    def due(self, step: int) -> list[Command]:
        asked = {2: Command(1, "set_lr", {"lr": 0.02}), 4: Command(2, "stop")}
        return [asked[step]] if step in asked else []


class Paused(NullControl):
    """Asks for a pause before step 2, for a resume once that was waited for, and for another rate before step 3."""

    def __init__(self) -> None:
        self.left: dict[Literal["pause", "set_lr"], int] = {"pause": 2, "set_lr": 3}
        self.waited = 0

    def due(self, step: int) -> list[Command]:
        if self.waited == 3:
            self.waited += 1
            return [Command(2, "resume")]
        now = [kind for kind, at in self.left.items() if at <= step]
        for kind in now:
            del self.left[kind]
        return [Command(1, kind, {"lr": 0.05}) for kind in now]

    def wait(self, seconds: float) -> None:
        self.waited += 1


def together(folder: Path, body: Callable[[Ranks], None], size: int = 2) -> None:
    """Run ``body`` on every rank, in forks of this process, and raise what went wrong in one of them."""
    torch.set_num_threads(1)

    def rank(number: int) -> None:
        try:
            with joined(
                number, size, device=CPU, store=at_file(folder / "meeting", size), timeout=60
            ) as ranks:
                body(ranks)
        except BaseException:
            (folder / f"broken-{number}").write_text(traceback.format_exc())
        os._exit(0)

    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=rank, args=(number,)) for number in range(size)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert not [process for process in processes if process.is_alive()], "a rank hangs"
    broken = [path.read_text() for path in sorted(folder.glob("broken-*"))]
    assert not broken, "\n".join(broken)


def test_a_copy_that_a_plugin_forks_never_speaks_in_the_place_of_its_original(tmp_path: Path) -> None:
    def body(ranks: Ranks) -> None:
        copy = os.fork() if ranks.leads else None
        values = torch.tensor([1.0 + ranks.rank])
        if copy == 0:  # as one that comes back from a task's compute_loss
            values.fill_(100.0)
            ranks.all_reduce([values])
            os._exit(0)
        if copy:
            assert os.waitstatus_to_exitcode(os.waitpid(copy, 0)[1]) == COPY_ENDED
        ranks.all_reduce([values])
        assert values.item() == 3.0

    together(tmp_path, body)


def trained(folder: Path, dataset: AccDataset, size: int = 2, **options: Any) -> Snapshot:
    """Return the last checkpoint of two ranks."""
    control, resume = options.pop("control", None), options.pop("resume_from", None)
    tasks = options.pop("tasks", None)
    spec = helpers.job({"data": dataset}, tasks, **{**OPTIONS, **options}, ranks=size)

    def body(ranks: Ranks) -> None:
        trainer, sink = helpers.run(spec, {"data": dataset}, ranks=ranks, control=control, resume_from=resume)
        if ranks.leads:
            for snapshot, _ in sink.checkpoints:
                snapshot.write(str(folder / f"{snapshot.step}.safetensors"))
        else:
            assert not sink.checkpoints
            assert not sink.blocks
        assert trainer.step <= spec.train.steps

    folder.mkdir(exist_ok=True)
    together(folder, body, size)
    newest = max(folder.glob("*.safetensors"), key=lambda path: int(path.stem))
    return load(newest)  # type: ignore[return-value]


def alone(dataset: AccDataset, **options: Any) -> Snapshot:
    resume, control = options.pop("resume_from", None), options.pop("control", None)
    tasks = options.pop("tasks", None)
    spec = helpers.job({"data": dataset}, tasks, **{**OPTIONS, **options})
    _, sink = helpers.run(spec, {"data": dataset}, resume_from=resume, control=control)
    return sink.last


def furthest(one: Snapshot, other: Snapshot) -> float:
    names = [name for name in one.tensors if name.startswith(("model.", "head.", "optim."))]
    assert one.tensors.keys() == other.tensors.keys()
    return max(float((one.tensors[name] - other.tensors[name]).abs().max()) for name in names)


@pytest.mark.parametrize("gib", [2, 0], ids=["held", "streamed"])
def test_two_ranks_learn_what_one_process_learns(dataset: AccDataset, tmp_path: Path, gib: float) -> None:
    whole = alone(dataset, resident_gib=gib)
    shared = trained(tmp_path / "shared", dataset, resident_gib=gib)
    assert shared.header.streamed == (() if gib else ("data",))
    assert furthest(whole, shared) < 1e-6
    for name in ("rng.torch", "rng.numpy"):
        assert torch.equal(whole.tensors[name], shared.tensors[name])
    assert shared.header.offsets == whole.header.offsets
    assert shared.header.ages == whole.header.ages


def test_a_loss_of_the_whole_batch_sees_all_of_its_rows(dataset: AccDataset, tmp_path: Path) -> None:
    tasks = [*helpers.all_tasks(), helpers.task("LeakageTask", key="leakage", weight=0.3)]
    two: dict[str, Any] = {"steps": 2, "tasks": tasks}
    whole, shared = alone(dataset, **two), trained(tmp_path / "shared", dataset, **two)
    without = alone(dataset, steps=2, tasks=helpers.all_tasks())

    def apart(one: Snapshot, other: Snapshot) -> float:
        names = [name for name in one.tensors if name.startswith("model.")]
        return max(float((one.tensors[name] - other.tensors[name]).abs().max()) for name in names)

    # Correlations of few rows are ill-conditioned: what sums in another order differs more than elsewhere.
    assert apart(whole, shared) < 1e-2 * apart(whole, without)


@pytest.mark.parametrize(
    ("name", "params"),
    [("PairsTask", {}), ("MMDTask", {}), ("DIPTask", {}), ("KLDivergenceTask", {"free_bits": 0.3})],
)
def test_ranks_learn_of_statistics_of_a_batch_what_one_process_learns(
    dataset: AccDataset, tmp_path: Path, name: str, params: dict[str, Any]
) -> None:
    few: dict[str, Any] = {"steps": 3, "lr": 1e-4, "tasks": [helpers.task(name, weight=0.01, params=params)]}
    assert furthest(alone(dataset, **few), trained(tmp_path / "shared", dataset, **few)) < 1e-6


def test_checkpoints_of_either_mode_go_on_in_the_other(dataset: AccDataset, tmp_path: Path) -> None:
    whole = alone(dataset)
    trained(tmp_path / "first", dataset, checkpoint_every_steps=3)
    on_one = alone(dataset, resume_from=load(tmp_path / "first" / "3.safetensors"))
    assert furthest(whole, on_one) < 1e-6
    spec = helpers.job({"data": dataset}, **OPTIONS, checkpoint_every_steps=3)
    _, sink = helpers.run(spec, {"data": dataset})
    sink.at(3).write(tmp_path / "3")
    on_two = trained(tmp_path / "second", dataset, resume_from=load(tmp_path / "3"))
    assert furthest(whole, on_two) < 1e-6


def test_ranks_resume_their_own_checkpoint_to_the_bit(dataset: AccDataset, tmp_path: Path) -> None:
    whole = trained(tmp_path / "whole", dataset, checkpoint_every_steps=3)
    again = trained(
        tmp_path / "again",
        dataset,
        checkpoint_every_steps=3,
        resume_from=load(tmp_path / "whole" / "3.safetensors"),
    )
    assert all(torch.equal(whole.tensors[name], again.tensors[name]) for name in whole.tensors)


def test_every_rank_can_go_on_from_what_it_holds_at_the_end(dataset: AccDataset, tmp_path: Path) -> None:
    spec = helpers.job({"data": dataset}, **{**OPTIONS, "steps": 3}, ranks=2)

    def body(ranks: Ranks) -> None:
        first, _ = helpers.run(spec, {"data": dataset}, ranks=ranks)
        start = first.snapshot().checkpoint()
        second, _ = helpers.run(spec, {"data": dataset}, ranks=ranks, start_from=start)
        second.snapshot().write(tmp_path / f"{ranks.rank}")

    together(tmp_path, body)
    whole, ends = alone(dataset), [load(tmp_path / str(rank)) for rank in (0, 1)]
    assert all(torch.equal(ends[0].tensors[name], ends[1].tensors[name]) for name in ends[0].tensors)
    assert furthest(whole, ends[0]) < 1e-6  # type: ignore[arg-type]


def test_all_ranks_leave_out_the_same_steps_of_fp16(dataset: AccDataset, tmp_path: Path) -> None:
    options: dict[str, Any] = {**OPTIONS, "precision": "fp16", "optimizer": "adamw", "lr": 1e-3}
    first = alone(dataset, **{**options, "steps": 1})
    tensors = {**first.tensors, "scaler.scale": torch.tensor(2.0**24)}
    start = Checkpoint(first.header, tensors, "")

    def body(ranks: Ranks) -> None:
        spec = helpers.job({"data": dataset}, **{**options, "steps": 16}, ranks=2)
        trainer, _ = helpers.run(spec, {"data": dataset}, ranks=ranks, start_from=start)
        trainer.snapshot().write(tmp_path / f"{ranks.rank}")

    together(tmp_path, body)
    one, other = (load(tmp_path / str(rank)) for rank in (0, 1))
    assert 1 < float(one.tensors["scaler.scale"]) < 2.0**24, "none was left out"
    assert all(torch.equal(one.tensors[name], other.tensors[name]) for name in one.tensors)
    made = {tensor.item() for name, tensor in one.tensors.items() if name.endswith("/step")}
    assert made == {17 - one.header.skipped}


def test_all_ranks_obey_before_the_same_step(dataset: AccDataset, tmp_path: Path) -> None:
    whole, shared = alone(dataset, control=Steered()), trained(tmp_path / "s", dataset, control=Steered())
    assert shared.header.job_step == whole.header.job_step == 4
    assert shared.header.lr == 0.02
    assert furthest(whole, shared) < 1e-5


def test_what_is_due_at_the_next_step_is_not_taken_while_paused(dataset: AccDataset, tmp_path: Path) -> None:
    whole, shared = alone(dataset, control=Paused()), trained(tmp_path / "s", dataset, control=Paused())
    assert shared.header.lr == whole.header.lr == 0.05
    assert furthest(whole, shared) < 1e-6


def test_a_rank_that_is_gone_is_told_at_once(dataset: AccDataset, tmp_path: Path) -> None:
    def body(ranks: Ranks) -> None:
        if not ranks.leads:
            os._exit(9)
        with pytest.raises(RankLost, match="another rank was lost"):
            ranks.all_reduce([torch.ones(1)])
        os._exit(0)  # it cannot leave politely any more

    together(tmp_path, body)


def test_whatever_rank_0_finds_in_the_proof_all_ranks_hear_of(dataset: AccDataset, tmp_path: Path) -> None:
    spec = helpers.job({"data": dataset}, **OPTIONS, ranks=2)

    def judge() -> None:
        raise ValueError("boom")

    def body(ranks: Ranks) -> None:
        trainer = Trainer(spec, {"data": dataset}, classes=helpers.shipped_tasks(), ranks=ranks)
        with pytest.raises(PluginFailed, match="ValueError: boom"):
            on_rank_0(trainer.state, trainer.sink, judge)

    together(tmp_path, body)


def test_one_process_refuses_a_job_of_several(dataset: AccDataset) -> None:
    with pytest.raises(InvalidInput) as caught:
        alone(dataset, ranks=2)
    assert "this job is for 2 ranks" in str(caught.value.fields["ranks"])


def test_shares_divide_a_batch_without_rest() -> None:
    shares = [Share.of(10, rank=rank, ranks=4) for rank in range(4)]
    assert [(share.start, share.end) for share in shares] == [(0, 3), (3, 6), (6, 8), (8, 10)]
    assert sum(share.weight for share in shares) == pytest.approx(1)

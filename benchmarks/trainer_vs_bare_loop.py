"""The engine's trainer over the bare loop of the same math: what specs, tasks, sink and control cost in a step.

`rate` measures a whole platform job; this one leaves out processes, database and Redis, so that a slower trainer
cannot hide behind them. Both loops train the same three losses from the same initial weights on the same digits,
in one process and one thread. They take turns, each round's ratio counts once, and what is counted is CPU time: of
the wall's, a busy machine takes a different share each round. The noise of the posterior is drawn by the same
generator in the same order, so both must end a round with the same loss, which is checked.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch

from acc.data import AccDataset
from acc.plugins import PluginRegistry
from acc.specs import FactorGroup, ModelSpec, TaskSpec, TrainJobSpec, TrainSpec
from acc.training.batch import IndexStream
from acc.training.plugin_set import PluginSet
from acc.training.protocols import PointBlock
from acc.training.run import MemorySink
from acc.training.settings import keep_freed_memory
from acc.training.split import split_indices
from acc.training.trainer import Trainer
from benchmarks.bare_loop import BareLoop
from benchmarks.rows import Row, median, report

STEPS = 150
ROUNDS = 11
BATCH = 64
WEIGHTS = {"reconstruction": 30.0, "kl": 0.002, "digit": 0.2}
TOLERANCE = 1e-3  # of the last total; sums are added in another order


def prepared() -> tuple[AccDataset, PluginSet, TrainJobSpec]:
    """Return the bundled digits, the shipped tasks, and the job of the demo in small."""
    plugins = shipped()
    dataset: AccDataset = plugins.classes("generator")["HandwrittenDigits"].cls().generate(None, 0)
    return dataset, *job_on(dataset, plugins)


def shipped() -> PluginRegistry:
    """Return the plugins that come with ACC, loaded."""
    registry = PluginRegistry(Path(__file__).resolve().parents[1] / "plugins")
    registry.scan()
    return registry


def job_on(dataset: AccDataset, plugins: PluginRegistry) -> tuple[PluginSet, TrainJobSpec]:
    """Return the shipped tasks, and a job of three of them on the digits."""
    model = ModelSpec(
        architecture="FactorSlotAutoencoder",
        latent_dim=16,
        factor_groups=(
            FactorGroup(name="digit", start=0, end=6),
            FactorGroup(name="thickness", start=6, end=8),
            FactorGroup(name="slant", start=8, end=10),
            FactorGroup(name="free", start=10, end=16),
        ),
    )
    classes = {
        "reconstruction": "ReconstructionTask",
        "kl": "KLDivergenceTask",
        "digit": "ClassificationTask",
    }
    tasks = tuple(
        TaskSpec(
            key=key,
            name=key,
            task_class=name,
            dataset="digits",
            weight=WEIGHTS[key],
            factor="digit" if key == "digit" else None,
        )
        for key, name in classes.items()
    )
    train = TrainSpec(steps=STEPS, batch_size=BATCH, device="cpu", threads=1, checkpoint_every_seconds=None)
    job = TrainJobSpec(model=model, tasks=tasks, datasets={"digits": dataset.spec("digits")}, train=train)
    return PluginSet(*plugins.classes("task").values()), job


def bare(dataset: AccDataset, job: TrainJobSpec, head: torch.nn.Module) -> tuple[float, float]:
    """Return steps per CPU second and the last total of the loop that one would write by hand."""
    images, labels = torch.from_numpy(dataset.images), torch.from_numpy(dataset.targets["digit"])
    loop = BareLoop(job.model, images, labels, WEIGHTS, head)
    rows, _ = split_indices(dataset, seed=job.model.seed, val_fraction=job.train.val_fraction)
    stream = IndexStream(
        rows, seed=0, content_hash=dataset.content_hash, batch_size=BATCH, device=torch.device("cpu")
    )
    index_batches = [stream.next().clone() for _ in range(STEPS)]
    torch.manual_seed(job.train.seed)
    started = time.process_time()
    history = [loop.step(index) for index in index_batches]
    last = float(history[-1])
    return STEPS / (time.process_time() - started), last


def platform(dataset: AccDataset, classes: PluginSet, job: TrainJobSpec) -> tuple[float, float]:
    """Return steps per CPU second and the last total of the trainer, its checkpoint and all its points kept."""
    sink = MemorySink()
    trainer = Trainer(job, {"digits": dataset}, classes=classes, sink=sink)
    started = time.process_time()
    result = trainer.run()
    seconds = time.process_time() - started
    points: list[PointBlock] = sink.blocks
    assert sum(block.count for block in points) == STEPS
    return STEPS / seconds, result.losses["total"]


def initial_head(dataset: AccDataset, classes: PluginSet, job: TrainJobSpec) -> dict[str, Any]:
    """Return the weights with which the trainer starts its head."""
    trainer = Trainer(job, {"digits": dataset}, classes=classes)
    head = trainer.tasks.entries["digit"].head
    assert head is not None
    return head.state_dict()


def main() -> None:
    torch.set_num_threads(1)
    keep_freed_memory()
    dataset, classes, job = prepared()
    start = initial_head(dataset, classes, job)
    ratios, ours, theirs = [], [], []
    for round_ in range(ROUNDS + 1):
        head = torch.nn.Linear(6, 10)
        head.load_state_dict(start)
        if round_ % 2:
            their_rate, their_loss = bare(dataset, job, head)
            our_rate, our_loss = platform(dataset, classes, job)
        else:
            our_rate, our_loss = platform(dataset, classes, job)
            their_rate, their_loss = bare(dataset, job, head)
        if abs(our_loss - their_loss) > TOLERANCE * abs(their_loss):
            raise SystemExit(
                f"the loops differ: the trainer ended at {our_loss}, the bare loop at {their_loss}"
            )
        if round_:  # the first round only warms up
            ratios.append(our_rate / their_rate)
            ours.append(our_rate)
            theirs.append(their_rate)
    told = f"{median(ours):.1f}, rounds {min(ratios):.3f} to {max(ratios):.3f}"
    baseline = f"bare loop {median(theirs):.1f}"
    report(Row("engine's trainer, steps per CPU second", median(ratios), "x", 0.98, "higher", told, baseline))


if __name__ == "__main__":
    main()

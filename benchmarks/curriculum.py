"""Does a curriculum of synthetic glyphs take a model's factors apart on real digits? Arms of paired seeds, measured.

python -m benchmarks.curriculum                        five seeds, 250 steps an arm: some minutes on one thread
python -m benchmarks.curriculum --size full            700 steps an arm
python -m benchmarks.curriculum --seeds 10             enough seeds for all five claims to be decided together
python -m benchmarks.curriculum --json rows.json       also every number of every arm

After the rows stands the verdict of each claim, as a study judges it.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from acc.api import (
    AccDataset,
    FactorGroup,
    FactoringEvaluator,
    ImageShape,
    ModelSpec,
    PluginSet,
    TaskSpec,
    Trainer,
    TrainJobSpec,
    TrainSpec,
)
from acc.evaluation.task_metrics import TaskMetrics, attach
from acc.plugins import PluginRegistry
from acc.studies import Measured, Result, Study, judge
from acc.training.batch import Stored
from acc.training.checkpoints.files import Snapshot
from acc.training.run import MemorySink
from acc.training.taskset import TaskSet
from benchmarks.rows import Row, report

PLUGINS = Path(__file__).resolve().parents[1] / "plugins"
STEPS = {"quick": 250, "full": 700}
GROUPS = (("digit", 0, 6), ("thickness", 6, 8), ("slant", 8, 10), ("free", 10, 14))
CONCEPTS = ("digit", "thickness", "slant")
SYNTHETIC = ("thickness", "slant")
QUALITY = {"accuracy": ("", -0.02), "psnr": ("dB", -1.0)}
"""What a curriculum may cost elsewhere: unit, and the paired difference that is hoped for at least."""
ARMS = ("digits only", "curriculum", "shuffled targets")
CLAIMS = (
    "curriculum > digits only on ufr by at least .15",
    "curriculum > shuffled targets on ufr",
    "shuffled targets > digits only on ufr",
    "curriculum > digits only on accuracy by at least -.02",
    "curriculum > digits only on psnr by at least -1",
)
"""The third is the control's: it should never be decided for."""
WRITTEN = {"thickness_min": 2.5, "thickness_max": 6.0, "slant_min": -0.45, "slant_max": 0.45}
GRID = {"thickness_min": 3.0, "thickness_max": 5.5, "slant_min": -0.35, "slant_max": 0.35}
DATA: Mapping[str, tuple[str, int | None, dict[str, Any]]] = {
    "digits": ("Thickness", 5600, {"source": "digits", "part": "train", **WRITTEN}),
    "thickness": ("Thickness", 4000, {}),
    "slant": ("Slant", 4000, {}),
    "shuffled": ("ShuffledGlyphs", 4000, {}),
    "grid": ("FactorGrid", None, {"source": "digits", "part": "held_out", **GRID}),
}


@dataclass(frozen=True)
class Outcome:
    """What one arm came to, and what it took.

    cleanness: concept -> along its pattern; principal: along the group's own direction; quality: digit accuracy and
    PSNR (dB) on the grid, whose scans no arm has seen; images: how many it was shown.
    """

    arm: str
    seed: int
    ufr: float
    unified: dict[str, float]
    factored: dict[str, float]
    cleanness: dict[str, float]
    principal: dict[str, float]
    losses: dict[str, float]
    quality: dict[str, float]
    steps: int
    images: int
    cpu_seconds: float


def make_data(registry: PluginRegistry) -> dict[str, AccDataset]:
    """Return the datasets; the same every time."""
    generators = registry.classes("generator")
    return {name: generators[kind].cls(**params).generate(n, 0) for name, (kind, n, params) in DATA.items()}


def tasks_of(arm: str) -> tuple[TaskSpec, ...]:
    """Return the tasks of an arm."""

    def task(key: str, kind: str, weight: float, dataset: str = "digits", **fields: Any) -> TaskSpec:
        return TaskSpec(key=key, name=key, task_class=kind, dataset=dataset, weight=weight, **fields)

    tasks = [
        task("reconstruction", "ReconstructionTask", 30.0),
        task("kl", "KLDivergenceTask", 0.002),
        task("digit", "ClassificationTask", 0.2, factor="digit", params={"target_name": "digit"}),
        task("leakage", "LeakageTask", 0.05),
    ]
    if arm != "digits only":
        tasks += [
            task(
                name,
                "RegressionTask",
                1.0,
                "shuffled" if arm == "shuffled targets" else name,
                factor=name,
                params={"target_name": name},
            )
            for name in SYNTHETIC
        ]
    return tuple(tasks)


def run(arm: str, seed: int, steps: int, data: Mapping[str, AccDataset], classes: PluginSet) -> Outcome:
    """Train one arm and measure it; arms of a seed begin with the same weights."""
    tasks = tasks_of(arm)
    used = {task.dataset: data[task.dataset] for task in tasks}
    job = TrainJobSpec(
        model=ModelSpec(
            architecture="FactorSlotAutoencoder",
            image=ImageShape(channels=1, height=32, width=32),
            latent_dim=14,
            factor_groups=tuple(FactorGroup(name=name, start=a, end=b) for name, a, b in GROUPS),
            seed=seed,
        ),
        tasks=tasks,
        datasets={key: dataset.spec(key) for key, dataset in used.items()},
        train=TrainSpec(
            steps=steps, lr=0.002, lr_schedule="one_cycle", seed=seed, val_fraction=0, device="cpu", threads=1
        ),
    )
    sink = MemorySink()
    trainer = Trainer(job, used, classes=classes, sink=sink)
    started = time.process_time()
    result = trainer.run()
    seconds = time.process_time() - started
    snapshot = sink.checkpoints[-1][0]
    assert isinstance(snapshot, Snapshot)
    evaluator = FactoringEvaluator(snapshot.checkpoint(), {"grid": data["grid"]}, classes, device="cpu")
    found = evaluator.ufr("grid", concepts=CONCEPTS, permutations=0, resamples=0)
    return Outcome(
        arm=arm,
        seed=seed,
        ufr=found.ufr,
        unified={name: value.value for name, value in found.suite.ufr.unified.items()},
        factored={name: value.value for name, value in found.suite.ufr.factored.items()},
        cleanness={name: each.score.cleanness.value for name, each in found.cleanness.items()},
        principal={name: each.score.cleanness.value for name, each in found.cleanness_principal.items()},
        losses=result.losses,
        quality=quality(evaluator, data["grid"], classes),
        steps=steps,
        images=steps * job.train.batch_size * len(used),
        cpu_seconds=seconds,
    )


@torch.inference_mode()
def quality(evaluator: FactoringEvaluator, grid: AccDataset, classes: PluginSet) -> dict[str, float]:
    """Return how well an arm's own tasks read and draw the digits of the grid."""
    device = torch.device("cpu")
    tasks = TaskSet(classes, evaluator.model, {"grid": grid}, device)
    entries = [
        attach(tasks, task.model_copy(update={"dataset": "grid"}), evaluator.checkpoint)
        for task in evaluator.job.tasks
        if task.key in {"reconstruction", "digit"}
    ]
    every = np.arange(len(grid.images))
    found, _ = TaskMetrics(evaluator.model).measure(Stored(grid, device), entries, every, every, keep=every)
    return {each.name: each.value for each in found if each.name in QUALITY and each.value is not None}


def main() -> None:
    """Run the arms and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--size", choices=STEPS, default="quick")
    parser.add_argument("--json", type=Path, help="file for every number")
    options = parser.parse_args()
    torch.set_num_threads(1)
    registry = PluginRegistry(PLUGINS)
    registry.scan()
    classes = PluginSet(*registry.classes("task").values())
    data = make_data(registry)
    found = [
        run(arm, seed, STEPS[options.size], data, classes) for seed in range(options.seeds) for arm in ARMS
    ]
    if options.json:
        options.json.write_text(json.dumps([asdict(each) for each in found], indent=1))
    summarise(found, f"{options.seeds} seeds x {STEPS[options.size]} steps")
    print("\n".join(sentences(found)))


def sentences(found: list[Outcome]) -> list[str]:
    """Return what may be said of each claim, as of a study with a fixed number of seeds."""
    study = Study(
        name="Curriculum",
        arms=[{"name": name} for name in ARMS],
        seeds=sorted({each.seed for each in found}),
        outcomes=[{"name": "ufr"}, {"name": "accuracy"}, {"name": "psnr", "unit": "dB"}],
        claims=CLAIMS,
    )
    results = [
        Result(
            arm=each.arm,
            seed=each.seed,
            status="succeeded",
            values={
                name: Measured(value=value, sample="grid")
                for name, value in {"ufr": each.ufr, **each.quality}.items()
            },
            seconds=each.cpu_seconds,
            images=each.images,
        )
        for each in found
    ]
    return [f"{verdict.decision}: {verdict.sentence}" for verdict in judge(study, results)]


def summarise(found: list[Outcome], size: str) -> None:
    """Report the paired differences beside what was asked of them."""
    by_arm = {arm: [each for each in found if each.arm == arm] for arm in ARMS}
    only, curriculum, shuffled = by_arm.values()

    def differences(arm: list[Outcome], value: Any) -> np.ndarray[Any, Any]:
        return np.array([value(a) - value(b) for a, b in zip(arm, only, strict=True)])

    def told(arm: list[Outcome], value: Any) -> str:
        numbers = np.array([value(each) for each in arm])
        return f"{numbers.mean():.3f} +- {numbers.std(ddof=1) if len(numbers) > 1 else 0:.3f}"

    gain = differences(curriculum, lambda each: each.ufr)
    control = differences(shuffled, lambda each: each.ufr)
    ufr = told(curriculum, lambda each: each.ufr)
    base = f"digits only {told(only, lambda each: each.ufr)}"
    report(
        Row("curriculum: UFR, mean paired difference", float(gain.mean()), "", 0.15, "higher",
            f"{ufr}, {size}", base)
    )  # fmt: skip
    report(
        Row("curriculum: UFR, seeds won", float((gain > 0).mean() * 100), "%", 100, "higher",
            " ".join(f"{each:+.3f}" for each in gain), base)
    )  # fmt: skip
    report(
        Row("curriculum: UFR, control with shuffled targets", float(control.mean()), "", 0.05, "lower",
            told(shuffled, lambda each: each.ufr), base)
    )  # fmt: skip
    for name, kind in (("group's own direction", "principal"), ("pattern of the probe", "cleanness")):

        def clean(each: Outcome, kind: str = kind) -> float:
            return float(getattr(each, kind)["thickness"])

        report(
            Row(f"curriculum: thickness traversal, {name}", float(differences(curriculum, clean).mean()), "",
                0.4, "higher", told(curriculum, clean), f"digits only {told(only, clean)}")
        )  # fmt: skip
    for name, (unit, goal) in QUALITY.items():

        def quality_of(each: Outcome, name: str = name) -> float:
            return each.quality[name]

        report(
            Row(f"curriculum: cost in {name}, unseen digits", float(differences(curriculum, quality_of).mean()),
                unit, goal, "higher", told(curriculum, quality_of), f"digits only {told(only, quality_of)}")
        )  # fmt: skip
    seconds = {
        arm: float(np.mean([each.cpu_seconds for each in outcomes])) for arm, outcomes in by_arm.items()
    }
    shown = {
        arm: f"{outcomes[0].images:,} images, {seconds[arm]:.1f} CPU s" for arm, outcomes in by_arm.items()
    }
    report(
        Row("curriculum: cost in CPU time, as many steps", seconds["curriculum"] / seconds["digits only"], "x", 3.0,
            "lower", shown["curriculum"], f"digits only {shown['digits only']}")
    )  # fmt: skip


if __name__ == "__main__":
    main()

"""Do synthetic images of one factor each teach a model to keep its factors apart on real digits?"""

from __future__ import annotations

from statistics import mean, stdev
from typing import Any, TypeGuard

from acc.api import (
    BranchRef,
    CheckpointRef,
    DatasetRef,
    EvalOutcome,
    Param,
    Recipe,
    RecipeContext,
    TrainOutcome,
)

GROUPS = {"digit": (0, 6), "thickness": (6, 8), "slant": (8, 10), "free": (10, 14)}
CONCEPTS = ("digit", "thickness", "slant")
SYNTHETIC = {"thickness": "Thickness", "slant": "Slant"}
GLYPHS = 4_000
WRITTEN = {
    "source": "digits",
    "part": "train",
    "thickness_min": 2.5,
    "thickness_max": 6.0,
    "slant_min": -0.45,
    "slant_max": 0.45,
}
WRITTEN_IMAGES = 5_600
GRID = {
    "source": "digits",
    "part": "held_out",
    "thickness_min": 3.0,
    "thickness_max": 5.5,
    "slant_min": -0.35,
    "slant_max": 0.35,
}
# size: steps of the root, steps of each arm
SIZES = {"quick": (10, 250), "full": (10, 700), "mnist": (500, 5_000)}
SHOWN = ("ufr", "ufr_unified/", "ufr_factored/", "cleanness_principal/thickness", "accuracy", "psnr")
BATCH = 64
HELD_OUT = 0.2
ONLY, CURRICULUM, SHUFFLED, DIFFERENCE = "mnist_only", "with_curriculum", "shuffled_targets", "difference"
COSTS = ("accuracy", "psnr")
Row = dict[str, Any]


class FactorExperiment(Recipe):
    """Two branches from one root, which differ only in two tasks: thickness and slant of synthetic glyphs.

    ``mnist_only`` is trained further on digits alone; ``with_curriculum`` also learns thickness and slant, each in
    its own factor group, on glyphs drawn with a known one. Both are measured on digits that nobody trained on,
    written at three thicknesses by three slants (UFR). For each seed there is a root with first weights of its
    own, and the arms are compared in pairs: the seed is what varies most. With ``control`` a third branch learns
    from the same glyphs with their targets shuffled. docs/factor_experiment.md has the figures.
    """

    label = "Factor experiment"

    seeds = Param(1, min=1, max=20, help="pairs of branches, each from a root of its own")
    size = Param(
        "quick", choices=("quick", "full", "mnist"), help="250, 700 or 5000 steps; the last for a GPU"
    )
    steps = Param(0, min=0, max=1_000_000, help="updates of each branch; 0: as the size has it")
    dataset = Param(
        "", help="slug of the digits to train on, such as mnist; empty: the bundled ones, rewritten"
    )
    leakage = Param(True, help="in every branch, a task that keeps labels out of the other factor groups")
    control = Param(False, help="a third branch, whose synthetic targets are shuffled")
    threads = Param(1, min=1, max=64, help="processor threads of each train job")

    def run(self, ctx: RecipeContext) -> Any:
        """Return a row for each branch and each seed's difference, then mean and spread over the seeds."""
        root_steps, arm_steps = SIZES[self.size]
        self.root_steps, self.arm_steps = root_steps, self.steps or arm_steps
        with ctx.phase("data"):
            digits = (
                ctx.load_dataset(self.dataset)
                if self.dataset
                else ctx.create_dataset(
                    "Thickness", name="Digits rewritten", params=WRITTEN, n=WRITTEN_IMAGES, seed=0
                )
            )
            size = {"size": digits.shape[1]}
            self.grid = ctx.create_dataset("FactorGrid", params={**GRID, **size}, seed=0)
            kinds = {**SYNTHETIC, **({"shuffled": "ShuffledGlyphs"} if self.control else {})}
            made = ctx.sweep(
                lambda kind: ctx.create_dataset(kind, params=size, n=GLYPHS, seed=0),
                {"kind": list(kinds.values())},
            )
            synthetic = dict(zip(kinds, made, strict=True))
        rows: list[Row] = []
        for found in ctx.sweep(
            lambda seed: self.one_seed(ctx, ctx.seed + seed, digits, synthetic), {"seed": range(self.seeds)}
        ):
            rows += found
        rows += over_seeds(rows)
        for line in summary(rows):
            ctx.log(line)
        return rows

    def one_seed(
        self, ctx: RecipeContext, seed: int, digits: DatasetRef, synthetic: dict[str, DatasetRef]
    ) -> list[Row]:
        """Return the rows of the branches from one root, and the difference of the first two."""
        with ctx.phase("root"):
            main = ctx.create_model(
                f"factors seed {seed}",
                architecture="FactorSlotAutoencoder",
                latent_dim=14,
                factor_groups=GROUPS,
                image=digits,
                seed=seed,
            )
            ctx.attach_task(main, "ReconstructionTask", digits, name="Reconstruction", weight=30)
            ctx.attach_task(main, "KLDivergenceTask", digits, name="KL", weight=0.002)
            ctx.attach_task(
                main,
                "ClassificationTask",
                digits,
                name="Digit",
                weight=0.2,
                factor="digit",
                params={"target_name": "digit"},
            )
            if self.leakage:
                ctx.attach_task(main, "LeakageTask", digits, name="Leakage", weight=0.05)
            self.train(ctx, main, self.root_steps, seed)
            root = ctx.save_checkpoint(main, "root")
        arms: dict[str, dict[str, DatasetRef]] = {
            ONLY: {},
            CURRICULUM: {name: synthetic[name] for name in ("thickness", "slant")},
        }
        if self.control:
            arms[SHUFFLED] = dict.fromkeys(("thickness", "slant"), synthetic["shuffled"])
        with ctx.phase("branches"):
            measured = ctx.parallel(
                *(
                    lambda name=name, data=data: self.arm(ctx, root, name, data, seed)
                    for name, data in arms.items()
                )
            )
        rows = [{"seed": seed, "branch": name, **found} for name, found in zip(arms, measured, strict=True)]
        return [*rows, {"seed": seed, "branch": DIFFERENCE, **difference(rows[0], rows[1])}]

    def arm(
        self, ctx: RecipeContext, root: CheckpointRef, name: str, synthetic: dict[str, DatasetRef], seed: int
    ) -> Row:
        """Return what one branch took and came to: the root's tasks, and a regression for each synthetic set."""
        branch = ctx.fork(root, name)
        for factor, data in synthetic.items():
            ctx.attach_task(
                branch,
                "RegressionTask",
                data,
                name=factor.capitalize(),
                factor=factor,
                params={"target_name": factor},
            )
        trained = self.train(ctx, branch, self.arm_steps, seed)
        ctx.save_checkpoint(branch, name)
        found = ctx.evaluate(trained, ("metrics", "ufr"), dataset=self.grid.slug, concepts=CONCEPTS)
        datasets = 1 + len({data.id for data in synthetic.values()})
        took = {
            "steps": self.arm_steps,
            "images": self.arm_steps * BATCH * datasets,
            "seconds": trained.seconds,
        }
        return {**took, **shown(found)}

    def train(self, ctx: RecipeContext, branch: BranchRef, steps: int, seed: int) -> TrainOutcome:
        """Train a branch the same way in every arm."""
        return ctx.train(
            branch,
            steps,
            lr=0.002,
            lr_schedule="one_cycle",
            seed=seed,
            batch_size=BATCH,
            val_fraction=HELD_OUT,
            threads=self.threads,
        )


def shown(found: EvalOutcome) -> Row:
    """Return the metrics that tell how well the factors came apart, and what that cost; without a value, why."""
    return {
        name: found.reasons.get(name) or "not measured" if value is None else value
        for name, value in sorted(found.metrics.items())
        if name == "ufr" or any(part in name for part in SHOWN[1:])
    }


def difference(before: Row, after: Row) -> Row:
    """Return how much more ``after`` has of every figure of both; where one has none, why."""
    both = [name for name in before if name in after and name not in {"seed", "branch"}]
    return {
        name: after[name] - before[name]
        if is_figure(before[name]) and is_figure(after[name])
        else next(row[name] for row in (before, after) if not is_figure(row[name]))
        for name in both
    }


def over_seeds(rows: list[Row]) -> list[Row]:
    """Return mean and standard deviation of each branch over its seeds; of one seed there is nothing to say."""
    found: list[Row] = []
    for branch in dict.fromkeys(row["branch"] for row in rows):
        of_seeds = [row for row in rows if row["branch"] == branch]
        if len(of_seeds) < 2:
            continue
        for word, statistic in (("mean", mean), ("spread", stdev)):
            line: Row = {"seed": f"{word} of {len(of_seeds)}", "branch": branch}
            for name in of_seeds[0].keys() - line.keys():
                values = [row.get(name, "not measured") for row in of_seeds]
                reasons = [value for value in values if not is_figure(value)]
                line[name] = reasons[0] if reasons else float(statistic(values))
            found.append({name: line[name] for name in of_seeds[0]})
    return found


def summary(rows: list[Row]) -> list[str]:
    """Return in sentences what the curriculum gained, and what it cost."""
    by_seed = [row for row in rows if isinstance(row["seed"], int)]
    only, curriculum, gain = (
        [row for row in by_seed if row["branch"] == branch] for branch in (ONLY, CURRICULUM, DIFFERENCE)
    )
    gains = [name for name in gain[0] if "ufr" in name or "cleanness" in name]
    costs = [name for name in gain[0] if any(part in name for part in COSTS)]

    def told(name: str) -> str:
        values = [row.get(name) for row in gain]
        figures = [value for value in values if is_figure(value)]
        if len(figures) < len(values):
            return f"{name} {next(value for value in values if not is_figure(value))}"
        spread = f" \N{PLUS-MINUS SIGN} {stdev(figures):.3f}" if len(figures) > 1 else ""
        return f"{name} {mean(figures):+.3f}{spread}"

    def took(rows: list[Row]) -> str:
        return f"{mean(row['images'] for row in rows):,.0f} images in {mean(row['seconds'] for row in rows):.1f} s"

    seeds = (
        f"mean of {len(gain)} seeds and its spread" if len(gain) > 1 else "one seed, so no spread is known"
    )
    return [
        f"with_curriculum - mnist_only ({seeds}): {', '.join(map(told, gains)) or 'nothing was measured'}",
        f"cost of the curriculum: both arms took {only[0]['steps']:,} steps; {took(curriculum)}, and {took(only)} "
        f"without it; on held-out images {', '.join(map(told, costs)) or 'nothing was measured'}",
    ]


def is_figure(value: Any) -> TypeGuard[int | float]:
    """Return whether a cell of the table is a number, and not the reason why there is none."""
    return isinstance(value, int | float) and not isinstance(value, bool)

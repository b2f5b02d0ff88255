"""Do synthetic images of one factor each teach a model to keep its factors apart on real digits?"""

from __future__ import annotations

from typing import Any

from acc.api import BranchRef, CheckpointRef, DatasetRef, Param, Recipe, RecipeContext

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
        """Return a row for each branch, and for each seed the difference between the first two."""
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
        rows: list[dict[str, Any]] = []
        for found in ctx.sweep(
            lambda seed: self.one_seed(ctx, ctx.seed + seed, digits, synthetic), {"seed": range(self.seeds)}
        ):
            rows += found
        for row in rows:
            if row["branch"] == "difference":
                figures = ", ".join(
                    f"{name} {value:+.3f}" for name, value in row.items() if isinstance(value, float)
                )
                ctx.log(
                    f"seed {row['seed']}: with_curriculum - mnist_only: {figures or 'nothing to compare'}"
                )
        return rows

    def one_seed(
        self, ctx: RecipeContext, seed: int, digits: DatasetRef, synthetic: dict[str, DatasetRef]
    ) -> list[dict[str, Any]]:
        """Return the rows of the branches from one root."""
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
            "mnist_only": {},
            "with_curriculum": {name: synthetic[name] for name in ("thickness", "slant")},
        }
        if self.control:
            arms["shuffled_targets"] = dict.fromkeys(("thickness", "slant"), synthetic["shuffled"])
        with ctx.phase("branches"):
            measured = ctx.parallel(
                *(
                    lambda name=name, data=data: self.arm(ctx, root, name, data, seed)
                    for name, data in arms.items()
                )
            )
        rows: list[dict[str, Any]] = [
            {"seed": seed, "branch": name, **shown(found)} for name, found in zip(arms, measured, strict=True)
        ]
        only, curriculum = rows[:2]
        both = [
            name
            for name, value in only.items()
            if isinstance(value, float) and curriculum.get(name) is not None
        ]
        rows.append(
            {"seed": seed, "branch": "difference", **{name: curriculum[name] - only[name] for name in both}}
        )
        return rows

    def arm(
        self, ctx: RecipeContext, root: CheckpointRef, name: str, synthetic: dict[str, DatasetRef], seed: int
    ) -> dict[str, float | None]:
        """Return what was measured of one branch: the root's tasks, and a regression for each synthetic set."""
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
        return dict(found.metrics)

    def train(self, ctx: RecipeContext, branch: BranchRef, steps: int, seed: int) -> Any:
        """Train a branch the same way in every arm."""
        return ctx.train(
            branch,
            steps,
            lr=0.002,
            lr_schedule="one_cycle",
            seed=seed,
            val_fraction=0.2 if self.dataset else 0,
            threads=self.threads,
        )


def shown(metrics: dict[str, float | None]) -> dict[str, float | None]:
    """Return the metrics that tell how well the factors came apart, and what that cost."""
    return {
        name: value
        for name, value in sorted(metrics.items())
        if name == "ufr" or any(part in name for part in SHOWN[1:])
    }

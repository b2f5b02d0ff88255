"""What does each task contribute? The same training again and again, each time without one of them."""

from __future__ import annotations

from typing import Any

from acc.api import CheckpointRef, Param, Recipe, RecipeContext


class TaskAblation(Recipe):
    """Forks a checkpoint once with all of its tasks and once without each, trains, and compares.

    Without a checkpoint it makes one: handwritten digits with reconstruction, digit, thickness and slant.
    """

    label = "Task ablation"

    checkpoint = Param(
        "", help="id or tag of the checkpoint to begin with; empty: a new one on the bundled digits"
    )
    steps = Param(300, min=1, max=1_000_000, help="updates of each branch")
    root_steps = Param(100, min=1, max=1_000_000, help="updates of a new root")
    threads = Param(1, min=1, max=64, help="processor threads of each train job")

    def run(self, ctx: RecipeContext) -> Any:
        """Return a row for each branch: the task left out, and every metric."""
        with ctx.phase("root"):
            root = ctx.load_checkpoint(self.checkpoint) if self.checkpoint else self.new_root(ctx)
            tasks = root.tasks
        with ctx.phase("branches"):
            measured = ctx.sweep(
                lambda without: self.branch(ctx, root, tasks, without), {"without": ["", *tasks]}
            )
        return [
            {"without": without or "nothing", **metrics}
            for without, metrics in zip(["", *tasks], measured, strict=True)
        ]

    def new_root(self, ctx: RecipeContext) -> CheckpointRef:
        """Return a checkpoint of a model that was trained a little on four tasks."""
        digits = ctx.create_dataset("HandwrittenDigits", name="Handwritten digits")
        main = ctx.create_model(
            "ablation",
            architecture="FactorSlotAutoencoder",
            latent_dim=14,
            factor_groups={"digit": (0, 6), "thickness": (6, 8), "slant": (8, 10), "free": (10, 14)},
            image=digits,
        )
        ctx.attach_task(main, "ReconstructionTask", digits, name="Reconstruction", weight=30)
        ctx.attach_task(main, "ClassificationTask", digits, name="Digit", factor="digit")
        for factor in ("thickness", "slant"):
            ctx.attach_task(
                main,
                "RegressionTask",
                digits,
                name=factor.capitalize(),
                factor=factor,
                params={"target_name": factor},
            )
        ctx.train(main, self.root_steps, seed=ctx.seed, threads=self.threads)
        return ctx.save_checkpoint(main, "root")

    def branch(
        self, ctx: RecipeContext, root: CheckpointRef, tasks: tuple[str, ...], without: str
    ) -> dict[str, float | None]:
        """Return the metrics of a branch that lacks one task."""
        kept = [name for name in tasks if name != without]
        if not kept:
            ctx.log(f"{without} is the only task; there is nothing to train without it")
            return {}
        name = f"without {without}" if without else "with all"
        trained = ctx.train(ctx.fork(root, name, tasks=kept), self.steps, seed=ctx.seed, threads=self.threads)
        return dict(ctx.evaluate(trained).metrics)

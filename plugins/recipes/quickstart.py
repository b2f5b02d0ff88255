"""The shortest recipe that is of use: data, a model, two tasks, training, and what came of it."""

from __future__ import annotations

from typing import Any

from acc.api import Param, Recipe, RecipeContext

FIRST = ("ufr", "unified", "factored", "digit/accuracy", "reconstruction/psnr")
"""The metrics that one asks for first; the others stand below them by name."""


class Quickstart(Recipe):
    """Trains a factor-slot autoencoder on handwritten digits, and measures it.

    Copy this file under another name to begin a recipe of your own: every call of ``ctx`` is done once, also
    when a worker dies in between.
    """

    label = "Quickstart"

    steps = Param(300, min=1, max=1_000_000, help="updates")
    size = Param(32, min=16, max=64, unit="px", help="height and width of the images")
    threads = Param(1, min=1, max=64, help="processor threads of the train job")

    def run(self, ctx: RecipeContext) -> Any:
        """Return the metrics as a table, what one asks for first on top."""
        ctx.phase("prepare")
        digits = ctx.create_dataset(
            "HandwrittenDigits", params={"size": self.size}, name="Handwritten digits"
        )
        main = ctx.create_model(
            "quickstart",
            architecture="FactorSlotAutoencoder",
            latent_dim=10,
            factor_groups={"digit": (0, 6), "free": (6, 10)},
            image=digits,
        )
        ctx.attach_task(main, "ReconstructionTask", digits, name="Reconstruction", weight=30)
        ctx.attach_task(main, "ClassificationTask", digits, name="Digit", factor="digit")

        ctx.phase("train")
        trained = ctx.train(main, self.steps, seed=ctx.seed, threads=self.threads)
        ctx.save_checkpoint(main, "quickstart")
        ctx.log(f"loss of Digit after {trained.step} steps: {trained.losses['Digit']:.3f}")

        ctx.phase("evaluate")
        measured = ctx.evaluate(trained)
        place = {name: at for at, name in enumerate(FIRST)}
        names = sorted(measured.metrics, key=lambda name: (place.get(name, len(FIRST)), name))
        return [{"metric": name, "value": measured.metrics[name]} for name in names]

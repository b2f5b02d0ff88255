"""Does a grown model become better than the one that it was grown from, and does it matter how it is begun?"""

from __future__ import annotations

from typing import Any

from acc.api import CheckpointRef, Param, Recipe, RecipeContext


class ExpansionStudy(Recipe):
    """Trains a model of one stage, grows it by another in two ways, and trains all three on.

    ``identity`` begins as the function that the small model is (in the manner of Net2Net, Chen et al. 2016), so
    nothing is lost; ``random`` begins with new weights and has to recover. ``small`` is trained as long without
    growing.
    """

    label = "Expansion study"

    seeds = Param(1, min=1, max=20, help="models to begin with")
    steps = Param(400, min=1, max=1_000_000, help="updates of the small model")
    more = Param(400, min=1, max=1_000_000, help="updates after growing")
    where = Param("encoder_stage", choices=("encoder_stage", "decoder_stage", "latent"), help="what grows")
    amount = Param(1, min=1, max=64, help="stages, or latent dimensions")
    threads = Param(1, min=1, max=64, help="processor threads of each train job")

    def run(self, ctx: RecipeContext) -> Any:
        """Return a row for each model: before growing, right after, and trained on."""
        with ctx.phase("data"):
            digits = ctx.create_dataset("HandwrittenDigits", name="Handwritten digits")
        rows: list[dict[str, Any]] = []
        for found in ctx.sweep(
            lambda seed: self.one_seed(ctx, digits, ctx.seed + seed), {"seed": range(self.seeds)}
        ):
            rows += found
        return rows

    def one_seed(self, ctx: RecipeContext, digits: Any, seed: int) -> list[dict[str, Any]]:
        """Return the rows of one seed."""
        with ctx.phase("small model"):
            main = ctx.create_model(
                f"expansion seed {seed}",
                architecture="Autoencoder",
                latent_dim=16,
                image=digits,
                params={"encoder_stages": 1, "decoder_stages": 1},
                seed=seed,
            )
            ctx.attach_task(main, "ReconstructionTask", digits, name="Reconstruction", weight=30)
            ctx.attach_task(main, "ClassificationTask", digits, name="Digit")
            ctx.train(main, self.steps, seed=seed, threads=self.threads)
            small = ctx.save_checkpoint(main, "small")
            before = ctx.evaluate(small)
        with ctx.phase("grow"):
            found = ctx.sweep(
                lambda start: self.grown(ctx, small, start, seed), {"start": ["identity", "random"]}
            )
        with ctx.phase("compare"):
            longer = ctx.fork(small, "small for longer")
            after = ctx.evaluate(ctx.train(longer, self.more, seed=seed, threads=self.threads))
        rows = [{"seed": seed, "model": "small", "when": "before", **before.metrics}]
        rows += [row for each in found for row in each]
        return [*rows, {"seed": seed, "model": "small", "when": "trained on", **after.metrics}]

    def grown(self, ctx: RecipeContext, small: CheckpointRef, start: str, seed: int) -> list[dict[str, Any]]:
        """Return what was measured of a model right after it was grown, and after it was trained on."""
        larger = ctx.expand(small, start, where=self.where, start=start, amount=self.amount, seed=seed)
        at_once = ctx.evaluate(larger)
        later = ctx.evaluate(ctx.train(larger.branch, self.more, seed=seed, threads=self.threads))
        return [
            {"seed": seed, "model": start, "when": when, **found.metrics}
            for when, found in (("just grown", at_once), ("trained on", later))
        ]

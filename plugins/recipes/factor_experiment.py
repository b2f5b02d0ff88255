"""Do synthetic images of one factor each teach a model to keep its factors apart on real digits? A study."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from acc.api import DatasetRef, InvalidInput, Param, Recipe, RecipeContext, StudyOutcome

ONLY, CURRICULUM, SHUFFLED = "digits only", "curriculum", "shuffled control"
QUESTION = "Does a curriculum of synthetic glyphs take a model's factors apart on real digits?"
CLAIMS = (
    f"{CURRICULUM} > {ONLY} on ufr by at least .15",
    f"{CURRICULUM} > {SHUFFLED} on ufr",
    f"{SHUFFLED} > {ONLY} on ufr",  # the control's: it should never be decided for
    f"{CURRICULUM} > {ONLY} on matched ufr",
    f"{CURRICULUM} > {ONLY} on cleanness by at least .4",
    f"{CURRICULUM} > {ONLY} on accuracy by at least -.02",
    f"{CURRICULUM} > {ONLY} on psnr by at least -1",
)
MODEL = "FactorSlotAutoencoder"
GROUPS = {"digit": (0, 6), "thickness": (6, 8), "slant": (8, 10), "free": (10, 14)}
CONCEPTS = ("digit", "thickness", "slant")
WRITTEN = {"thickness_min": 2.5, "thickness_max": 6.0, "slant_min": -0.45, "slant_max": 0.45}
GRID = {"thickness_min": 3.0, "thickness_max": 5.5, "slant_min": -0.35, "slant_max": 0.35}
DATA: Mapping[str, tuple[str, int | None, Mapping[str, Any]]] = {
    "digits": ("Thickness", 5_600, {"source": "digits", "part": "train", **WRITTEN}),
    "thickness": ("Thickness", 4_000, {}),
    "slant": ("Slant", 4_000, {}),
    "shuffled": ("ShuffledGlyphs", 4_000, {}),
    "grid": ("FactorGrid", None, {"source": "digits", "part": "held_out", **GRID}),
}
"""Part that a dataset plays -> generator, images, parameters; all with seed 0."""
STEPS = {"quick": 250, "full": 700, "mnist": 5_000}
TRAIN: Mapping[str, Any] = {"lr": 0.002, "lr_schedule": "one_cycle", "batch_size": 64, "val_fraction": 0.2}


class FactorExperiment(Recipe):
    """A study of three arms: digits only, a curriculum of synthetic glyphs, and the same with shuffled targets.

    All arms learn to reconstruct and to read real digits. The curriculum also learns thickness and slant, each in its
    own factor group, on glyphs drawn with a known one; the control learns from as many glyphs whose targets are those
    of other glyphs. Measured on digits that nobody trained on, written at three thicknesses by three slants: UFR,
    matched UFR and how clean the traversal of thickness is; on held-out digits, accuracy and PSNR. The claims were
    written down before. docs/factor_experiment.md has the verdicts.
    """

    label = "Factor experiment"

    seeds = Param(10, min=1, max=1_000, help="of each arm; below 9 not all claims can be decided")
    size = Param(
        "quick", choices=("quick", "full", "mnist"), help="250, 700 or 5000 steps; the last for a GPU"
    )
    steps = Param(0, min=0, max=1_000_000, help="updates of each arm; 0: as the size has it")
    dataset = Param(
        "", help="slug of the digits to train on, such as mnist; empty: the bundled ones, rewritten"
    )
    leakage = Param(False, help="in every arm, a task that keeps labels out of the other factor groups")
    threads = Param(1, min=1, max=64, help="processor threads of each train job")

    def run(self, ctx: RecipeContext) -> Any:
        """Return a row for each arm: mean of each outcome with its interval, and what a seed cost."""
        with ctx.phase("data"):
            digits = ctx.load_dataset(self.dataset) if self.dataset else made(ctx, "digits")
            size = digits.shape[1]
            parts = [part for part in DATA if part != "digits"]
            others = ctx.sweep(lambda part: made(ctx, part, size=size), {"part": parts})
            data = {"digits": digits, **dict(zip(parts, others, strict=True))}
        slugs = {part: each.slug for part, each in data.items()}
        with ctx.phase("arms"):
            main = ctx.create_model(
                "factors", architecture=MODEL, latent_dim=14, factor_groups=GROUPS, image=digits
            )
            for key, fields in self.tasks(ONLY, slugs).items():
                ctx.attach_task(main, name=key, **fields)
        with ctx.phase("study"):
            found = ctx.study(
                self.label,
                {ONLY: main, **{arm: {"tasks": self.tasks(arm, slugs)} for arm in (CURRICULUM, SHUFFLED)}},
                question=QUESTION,
                seeds=range(ctx.seed, ctx.seed + self.seeds),
                outcomes=outcomes(slugs["grid"]),
                claims=CLAIMS,
                steps=self.steps or STEPS[self.size],
                threads=self.threads,
                **TRAIN,
            )
        for verdict in found.verdicts:
            ctx.log(verdict["sentence"])
        for row in found.costs:
            ctx.log(f"{row['arm']}: {row['images']:,.0f} images and {row['seconds']:.1f} s a seed")
        return table(found)

    def local(self, generators: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments of ``acc.study`` that do the same on local processes; generators: class name -> plugin.

        Raises InvalidInput for a ``dataset`` of a site.
        """
        if self.dataset:
            raise InvalidInput(dataset=f"{self.dataset!r} is a dataset of a site; leave it empty here")
        data = {
            part: generators[kind].cls(**params).generate(n, 0) for part, (kind, n, params) in DATA.items()
        }
        grid = data.pop("grid")
        parts = {part: part for part in DATA}
        return {
            "name": self.label,
            "question": QUESTION,
            "data": data,
            "measure_on": {"grid": grid},
            "arms": {
                arm: {
                    "tasks": [
                        {"key": key, "name": key, **task} for key, task in self.tasks(arm, parts).items()
                    ]
                }
                for arm in (ONLY, CURRICULUM, SHUFFLED)
            },
            "seeds": self.seeds,
            "outcomes": outcomes("grid"),
            "claims": CLAIMS,
            "model": MODEL,
            "factors": {name: end - start for name, (start, end) in GROUPS.items()},
            "latent_dim": 14,
            "steps": self.steps or STEPS[self.size],
            "threads": self.threads,
            **TRAIN,
        }

    def tasks(self, arm: str, data: Mapping[str, str]) -> dict[str, dict[str, Any]]:
        """Return the tasks of an arm by key, with the datasets by the part that they play."""
        found = {
            "reconstruction": task("ReconstructionTask", data["digits"], 30.0),
            "kl": task("KLDivergenceTask", data["digits"], 0.002),
            "digit": task("ClassificationTask", data["digits"], 0.2, "digit"),
        }
        if self.leakage:
            found["leakage"] = task("LeakageTask", data["digits"], 0.05)
        if arm != ONLY:
            for factor in ("thickness", "slant"):
                glyphs = data["shuffled" if arm == SHUFFLED else factor]
                found[factor] = task("RegressionTask", glyphs, 1.0, factor)
        return found


def made(ctx: RecipeContext, part: str, **params: Any) -> DatasetRef:
    """Return a dataset of the experiment."""
    generator, n, usual = DATA[part]
    name = "Digits rewritten" if part == "digits" else ""
    return ctx.create_dataset(generator, name=name, params={**usual, **params}, n=n, seed=0)


def task(kind: str, dataset: str, weight: float, factor: str = "") -> dict[str, Any]:
    """Return the fields of a task; one with a factor learns the target of that name."""
    of_factor = {"factor": factor, "params": {"target_name": factor}} if factor else {}
    return {"task_class": kind, "dataset": dataset, "weight": weight, **of_factor}


def outcomes(grid: str) -> list[dict[str, Any]]:
    """Return what is measured: three on the grid, two on the digits that the arm held out."""
    on_grid = {"dataset": grid, "options": {"concepts": list(CONCEPTS)}}
    return [
        {"name": "ufr", **on_grid},
        {"name": "matched ufr", "metric": "ufr_matched", **on_grid},
        {"name": "cleanness", "metric": "cleanness_principal/thickness", "low": 0.0, "high": 1.0, **on_grid},
        {"name": "accuracy", "metric": "digit/accuracy"},
        {"name": "psnr", "metric": "reconstruction/psnr", "unit": "dB"},
    ]


def table(found: StudyOutcome) -> list[dict[str, Any]]:
    """Return a row for each arm: mean and spread of each outcome, and what a seed took."""
    rows: list[dict[str, Any]] = []
    for cost in found.costs:
        row: dict[str, Any] = {"arm": cost["arm"]}
        for cell in found.table:
            if cell["arm"] == cost["arm"]:
                row |= {cell["outcome"]: cell["mean"], f"{cell['outcome']} spread": cell["spread"]}
        rows.append(
            {**row, "seeds": cost["n"], "seconds a seed": cost["seconds"], "images a seed": cost["images"]}
        )
    return rows

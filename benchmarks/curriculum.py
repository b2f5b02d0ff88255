"""Does a curriculum of synthetic glyphs take factors apart on real digits? The recipe's study, without a site.

python -m benchmarks.curriculum                        ten seeds of three arms, 250 steps each: some minutes
python -m benchmarks.curriculum --size full            700 steps
python -m benchmarks.curriculum --leakage              with the leakage task in every arm
python -m benchmarks.curriculum --folder curriculum    kept there, and gone on with

A row for each claim, its goal the claim's margin; then the verdicts and what each arm cost.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import acc
from acc.plugins import PluginRegistry
from acc.studies import Claim
from acc.studies.run import StudyRun
from benchmarks.rows import Row, report

PLUGINS = Path(__file__).resolve().parents[1] / "plugins"


def study(folder: str | Path, **params: Any) -> StudyRun:
    """Return the recipe ``factor_experiment`` as a study on local processes, done."""
    registry = PluginRegistry(PLUGINS)
    registry.scan()
    experiment = registry.classes("recipe")["FactorExperiment"].cls(**params)
    run: StudyRun = acc.study(**experiment.local(registry.classes("generator")), folder=folder)
    return run


def rows(run: StudyRun) -> list[Row]:
    """Return a row for each claim that has pairs: the mean paired difference beside the margin."""
    found = []
    for verdict in run.verdicts():
        claim = Claim.parse(verdict.claim)
        if verdict.mean is None:
            continue
        control = claim.first == "shuffled control"
        told = " ".join(f"{each:+.3f}" for each in verdict.differences)
        found.append(
            Row(
                f"curriculum: {claim.first} - {claim.second}, {claim.outcome}",
                verdict.mean,
                run.study.outcome(claim.outcome).unit,
                claim.by,
                "lower" if control else "higher",  # the control's claim should never be decided for
                f"{verdict.decision}, {verdict.wins} of {verdict.n} seeds: {told}",
            )
        )
    return found


def costs(run: StudyRun) -> list[str]:
    """Return what a seed of each arm took on average."""
    found = []
    for arm in run.study.arms:
        done = [each for each in run.results if each.arm == arm.name and each.status == "succeeded"]
        if done:
            seconds = sum(each.seconds or 0.0 for each in done) / len(done)
            found.append(f"{arm.name}: {done[0].images or 0:,} images, {seconds:.1f} s a seed")
    return found


def main() -> None:
    """Do the study and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--size", choices=("quick", "full"), default="quick")
    parser.add_argument("--steps", type=int, default=0, help="of each arm; 0: as the size has it")
    parser.add_argument("--leakage", action="store_true", help="in every arm")
    parser.add_argument("--folder", type=Path, help="where it is kept; default: nowhere")
    options = parser.parse_args()
    asked = {name: getattr(options, name) for name in ("seeds", "size", "steps", "leakage")}
    with tempfile.TemporaryDirectory(prefix="acc-curriculum-") as folder:
        run = study(options.folder or folder, **asked)
        report(*rows(run))
        print(run)
        print("\n".join(costs(run)))


if __name__ == "__main__":
    main()

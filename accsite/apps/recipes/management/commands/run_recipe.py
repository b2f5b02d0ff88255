"""``manage.py run_recipe quickstart --param steps=200 --follow``: run a recipe from a shell."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from accsite.apps.jobs.following import follow
from accsite.apps.recipes.models import RecipeRun
from accsite.apps.recipes.selectors import find_recipe, find_run, run_state, run_summary
from accsite.apps.recipes.services import recipes
from accsite.cli import SUCCEEDED, ServiceCommand, parse_params


class Command(ServiceCommand):
    """Submit a run of a recipe, or resume one."""

    help = (
        "Run a recipe; `manage.py recipes` lists them with their parameters. Exit status: 0 queued (with --follow: "
        "succeeded), 1 failed or stopped, 2 bad input, 130 detached by Ctrl-C while the run goes on."
    )

    def add_options(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "recipe", nargs="?", default="", help="class name, or factor_experiment for FactorExperiment"
        )
        parser.add_argument("--param", action="append", default=[], metavar="NAME=VALUE", help="a parameter")
        parser.add_argument("--seed", default="0", help="default: %(default)s")
        parser.add_argument(
            "--resume", type=int, metavar="RUN", help="go on with a run that was stopped or failed"
        )
        parser.add_argument(
            "--follow", action="store_true", help="show the run until it ends, and its result"
        )
        parser.add_argument(
            "--stop-on-interrupt", action="store_true", help="with --follow: Ctrl-C stops the run"
        )

    def run(self, **options: Any) -> int:
        if options["resume"] is not None:
            run = recipes.resume_recipe(actor=self.actor, run=find_run(self.actor, options["resume"]))
        else:
            run = recipes.submit_recipe(
                actor=self.actor,
                recipe=find_recipe(options["recipe"]),
                params=parse_params(options["param"]),
                seed=options["seed"],
            )
        assert run.job is not None
        if not options["follow"]:
            self.tell(
                run_summary(run),
                f"recipe run {run.pk} queued as job {run.job.pk}; `manage.py recipes show {run.pk}` shows it",
            )
            return SUCCEEDED
        status = follow(
            run.job, out=self.out, as_json=self.json, stop_on_interrupt=options["stop_on_interrupt"]
        )
        self._tell(RecipeRun.objects.select_related("job").get(pk=run.pk))
        return status

    def _tell(self, run: RecipeRun) -> None:
        if self.json:
            self.print_json(run_state(run))
            return
        state = run_state(run)
        for line in state["log"]:
            self.stdout.write(f"  {line}")
        rows = run.result if isinstance(run.result, list) else [run.result]
        for row in rows:
            if isinstance(row, dict):
                self.stdout.write("  " + "  ".join(f"{name} {_short(value)}" for name, value in row.items()))
            elif row is not None:
                self.stdout.write(f"  {row}")


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)

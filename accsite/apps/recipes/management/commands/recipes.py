"""``manage.py recipes``: what can be run, the runs, and how one of them stands."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from accsite.apps.recipes.models import RecipeRun
from accsite.apps.recipes.selectors import find_run, run_page, run_state, run_summary
from accsite.apps.recipes.services import recipes
from accsite.apps.registry import selectors as registry
from accsite.apps.registry.models import PluginKind
from accsite.cli import ServiceCommand

RUNS_SHOWN = 20


class Command(ServiceCommand):
    """List recipes and runs, show a run, stop or resume it."""

    help = "Recipes: `recipes` lists what can be run, `recipes runs` the runs, `recipes show|stop|resume RUN` one run."

    def add_options(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "action", nargs="?", default="list", choices=("list", "runs", "show", "stop", "resume")
        )
        parser.add_argument("number", nargs="?", type=int, help="of a run")

    def run(self, **options: Any) -> None:
        if options["action"] == "list":
            self._recipes()
        elif options["action"] == "runs":
            seen = RecipeRun.objects.visible_to(self.actor) if self.actor else RecipeRun.objects.all()
            for run in seen.select_related("job")[:RUNS_SHOWN]:
                self._line(run)
        else:
            run = find_run(self.actor, options["number"] or 0)
            if options["action"] == "stop":
                recipes.stop_recipe(actor=self.actor, run=run)
            elif options["action"] == "resume":
                run = recipes.resume_recipe(actor=self.actor, run=run)
            self._show(find_run(self.actor, run.pk))

    def _recipes(self) -> None:
        for recipe in registry.available(PluginKind.RECIPE):
            if self.json:
                self.print_json({"name": recipe.name, "label": recipe.label, "params": recipe.params})
                continue
            self.stdout.write(
                f"{recipe.name}: {recipe.description.splitlines()[0] if recipe.description else ''}"
            )
            for param in recipe.params:
                self.stdout.write(f"    --param {param['name']}={param['default']}  {param['help']}")

    def _line(self, run: RecipeRun) -> None:
        if self.json:
            self.print_json(run_summary(run))
            return
        state = run.job.get_state_display() if run.job else "gone"
        params = " ".join(f"{name}={value}" for name, value in run.params.items())
        self.stdout.write(f"run {run.pk}  {state}  {run.recipe} {params}")

    def _show(self, run: RecipeRun) -> None:
        if self.json:
            self.print_json(run_state(run))
            return
        self._line(run)
        page = run_page(run)
        for phase in page.phases:
            self.stdout.write(
                f"  phase {phase.name}: {phase.done} of {phase.verbs} done, {phase.made:,} train steps"
            )
        for row in page.steps:
            job = f"  job {row.step.job_id}" if row.step.job_id else ""
            text = f"  {row.step.message}" if row.step.message else ""
            self.stdout.write(
                f"  {row.step.path:<10} {row.step.state.lower():<10} {row.step.verb} {row.words}{job}{text}"
            )
        for line in page.lines:
            self.stdout.write(f"  log: {line.message}")

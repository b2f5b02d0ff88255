"""``manage.py recipes``: what can be run, the runs, and how one of them stands."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import Model

from accsite.actions.commands import ActionCommand
from accsite.apps.recipes.models import RecipeRun
from accsite.apps.recipes.selectors import find_run, run_page, run_state, run_summary
from accsite.apps.recipes.services import recipes
from accsite.apps.registry import selectors as registry
from accsite.apps.registry.models import PluginKind
from accsite.cli import SUCCEEDED

RUNS_SHOWN = 20


class Command(ActionCommand):
    """List recipes and runs, show a run, stop or resume it."""

    help = "Recipes: `recipes` lists what can be run, `recipes runs` the runs, `recipes show|stop|resume RUN` one run."

    on: ClassVar[type[Model]] = RecipeRun
    called: ClassVar[str] = "number of a run"
    own: ClassVar[tuple[str, ...]] = ("list", "runs", "show", "stop", "resume")
    typed: ClassVar[type] = int

    def run_own(self, **options: Any) -> int:
        verb = options["verb"]
        if verb == "list":
            self._recipes()
        elif verb == "runs":
            seen = RecipeRun.objects.visible_to(self.actor) if self.actor else RecipeRun.objects.all()
            for run in seen.alone().select_related("job")[:RUNS_SHOWN]:
                self._line(run)
        else:
            run = find_run(self.actor, options["thing"] or 0)
            if verb == "stop":
                recipes.stop_recipe(actor=self.actor, run=run)
            elif verb == "resume":
                run = recipes.resume_recipe(actor=self.actor, run=run)
            self._show(find_run(self.actor, run.pk))
        return SUCCEEDED

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

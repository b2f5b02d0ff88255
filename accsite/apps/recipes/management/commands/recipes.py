"""``manage.py recipes``: what can be run, the runs, and how one of them stands."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from typing_extensions import override

from accsite.apps.recipes.models import RecipeRun
from accsite.apps.recipes.selectors import find_run, run_page, run_state, run_summary
from accsite.apps.recipes.services import recipes
from accsite.apps.registry import selectors as registry
from accsite.apps.registry.models import PluginKind
from accsite.apps.training.services import jobs
from accsite.cli import SUCCEEDED, ServiceCommand, find_user
from accsite.errors import WrongState

RUNS_SHOWN = 20


class Command(ServiceCommand):
    """List recipes and runs, show a run, stop or resume it."""

    help = "Recipes: `recipes` lists what can be run, `recipes runs` the runs, `recipes show|stop|resume RUN` one run."

    @override
    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "action", nargs="?", default="list", choices=("list", "runs", "show", "stop", "resume")
        )
        parser.add_argument("number", nargs="?", type=int, help="of a run")

    @override
    def run(self, **options: Any) -> int:
        actor = find_user(options["user"])
        if options["action"] == "list":
            self._recipes(as_json=options["json"])
        elif options["action"] == "runs":
            seen = RecipeRun.objects.visible_to(actor) if actor else RecipeRun.objects.all()
            for run in seen.select_related("job")[:RUNS_SHOWN]:
                self._line(run, as_json=options["json"])
        else:
            run = find_run(actor, options["number"] or 0)
            if options["action"] == "stop":
                if run.job is None:
                    raise WrongState({"run": f"recipe run {run.pk} has no job that could be stopped"})
                jobs.request_control(actor=actor, job=run.job, kind="stop")
            elif options["action"] == "resume":
                run = recipes.resume_recipe(actor=actor, run=run)
            self._show(find_run(actor, run.pk), as_json=options["json"])
        return SUCCEEDED

    def _recipes(self, *, as_json: bool) -> None:
        for recipe in registry.available(PluginKind.RECIPE):
            if as_json:
                self.print_json({"name": recipe.name, "label": recipe.label, "params": recipe.params})
                continue
            self.stdout.write(
                f"{recipe.name}: {recipe.description.splitlines()[0] if recipe.description else ''}"
            )
            for param in recipe.params:
                self.stdout.write(f"    --param {param['name']}={param['default']}  {param['help']}")

    def _line(self, run: RecipeRun, *, as_json: bool) -> None:
        if as_json:
            self.print_json(run_summary(run))
            return
        state = run.job.get_state_display() if run.job else "gone"
        params = " ".join(f"{name}={value}" for name, value in run.params.items())
        self.stdout.write(f"run {run.pk}  {state}  {run.recipe} {params}")

    def _show(self, run: RecipeRun, *, as_json: bool) -> None:
        if as_json:
            self.print_json(run_state(run))
            return
        self._line(run, as_json=False)
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

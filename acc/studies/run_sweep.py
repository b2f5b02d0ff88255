"""A sweep on the processes of this machine, without a site: kept in a folder, and no trial done twice.

The folder holds what was asked and drawn (``sweep.json``, written before any of it begins) and a file for each trial
and seed, as that of a study has.
"""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from acc.errors import InvalidInput
from acc.specs import EvalSpec, TrainSpec, parse
from acc.studies import run as studies
from acc.studies import space as spaces
from acc.studies.plan import Outcome, Study, patch, plain
from acc.studies.results import Result
from acc.studies.run import RESULTS, Local, Place, Progress, StudyRun
from acc.studies.space import Value
from acc.studies.sweep import (
    FIRST,
    Standing,
    Sweep,
    advance,
    arm_of,
    fresh_seeds,
    importance,
    ranking,
    require_optuna,
    standings,
    winner,
)
from acc.text import in_words
from acc.training.run import ONLY_DATASET

if TYPE_CHECKING:
    from acc.data import AccDataset

SWEEP, CONFIRM = "sweep.json", "confirm"
SHOWN = 10


class SweepRun(StudyRun):
    """A sweep in its folder. ``sweep`` is what was asked and drawn, ``study`` the plan with an arm for each trial."""

    def __init__(self, sweep: Sweep, plan: Study, local: Local, folder: Path) -> None:
        self.sweep, self._asked = sweep, list[Place]()
        super().__init__(plan, local, folder)
        self._add_arms()

    @property
    @override
    def results(self) -> list[Result]:
        return [self._result(place) for place in self._asked]

    @property
    def trials(self) -> list[Standing]:
        """How the first arm and each trial stands, as they were drawn."""
        return standings(self.sweep, self.study.primary, self.results)

    def ranking(self) -> list[Standing]:
        """Return the trials, the best mean first. It is an order, no verdict: ``confirm`` asks for one."""
        return ranking(self.sweep, self.trials)

    def importance(self) -> dict[str, float]:
        """Return what share of the spread each parameter explains alone; raises InvalidInput below 20 trials."""
        return importance(self.sweep, self.trials)

    def rank_table(self) -> list[dict[str, Any]]:
        """Return a row for each trial, the best first: its place, values, mean, interval, seeds, state."""
        return [
            {
                "rank": place,
                "trial": stand.number,
                **stand.values,
                "state": stand.state,
                "n": stand.n,
                "mean": stand.value,
                "low": stand.low,
                "high": stand.high,
                "seconds": stand.seconds,
                "reason": stand.reason,
            }
            for place, stand in enumerate(self.ranking(), 1)
        ]

    @override
    def __str__(self) -> str:
        stands = self.ranking()
        states = [stand.state for stand in stands]
        counts = ", ".join(f"{states.count(word)} {word}" for word in dict.fromkeys(states))
        lines = [f"{self.study.name}: {len(stands) - 1} trials and the first arm; {counts}"]
        for place, stand in enumerate(stands[:SHOWN], 1):
            values = ", ".join(f"{name} {spaces.shown(value)}" for name, value in stand.values.items())
            mean = "no value" if stand.value is None else f"{stand.value:.4g}"
            span = "" if stand.low is None else f" ({stand.low:.4g} to {stand.high:.4g})"
            lines.append(f"{place}. {stand.arm}: {mean}{span}, {stand.n} seeds, {stand.state}; {values}")
        lines.append(
            "The order is no verdict: the first of many is there by luck too. confirm() asks on fresh seeds."
        )
        return "\n".join(lines)

    @override
    def go(
        self, workers: int | None = None, progress: Progress | None = None, *, retry_failed: bool = False
    ) -> SweepRun:
        """Draw and do what is missing and return this. Raises InvalidInput where somebody else is at it."""
        with studies._locked(self.folder):
            if (kept := _kept(self.folder)) is not None:
                self.sweep = self.sweep.model_copy(update={"drawn": kept[0].drawn})
                self._add_arms()
            self._keep_sweep(self.sweep)
            if retry_failed:
                self._set_failed_aside()
            _Work(self, workers, progress).do()
        return self

    @override
    def add_seeds(self, more: int, workers: int | None = None, progress: Progress | None = None) -> StudyRun:
        """Raise InvalidInput: all trials of a sweep have the same seeds; ``confirm`` takes others."""
        raise InvalidInput(more="a sweep keeps its seeds; confirm() takes fresh ones")

    def confirm(
        self,
        seeds: int = 6,
        *,
        by: float = 0.0,
        folder: str | Path | None = None,
        workers: int | None = None,
        progress: Progress | None = None,
    ) -> StudyRun:
        """Return a study of the trial that ranks first against the first arm, on seeds that the sweep did not use.

        It alone may claim that the trial is better, by at least ``by``. Asked again it goes on in the same folder; of
        another trial it takes seeds that no confirmation had. Raises InvalidInput (winner) where there is none.
        """
        best = winner(self.sweep, self.trials)
        place = Path(folder) if folder is not None else self.folder / f"{CONFIRM}-{best.number}"
        used = [*self.sweep.seeds]
        for other in sorted(self.folder.glob(f"{CONFIRM}-*/{studies.PLAN}")):
            if other.parent.resolve() != place.resolve():
                used += [seed for seed in studies._plan(other).seeds if seed not in used]
        if (place / studies.PLAN).exists():
            used = list(studies._plan(place / studies.PLAN).chosen_on)
        outcome = self.study.primary
        sign = ">" if self.sweep.maximize else "<"
        margin = f" by at least {plain(by)}" if by else ""
        return studies.study(
            self._local.data,
            {FIRST: self._local.arms[FIRST], best.arm: self._local.arms[best.arm]},
            outcomes=[outcome],
            claims=f"{best.arm} {sign} {FIRST} on {outcome.name}{margin}",
            seeds=fresh_seeds(used, seeds),
            chosen_on=used,
            name=f"{self.study.name}: {best.arm}",
            measure_on=self._local.measure_on,
            folder=place,
            workers=workers,
            progress=progress,
        )

    def missing(self) -> list[Place]:
        """Draw what may be drawn by now, and return all places that are not done."""
        self.more()
        return [place for place in self._asked if not self.path(place).exists()]

    def more(self) -> list[Place]:
        """Draw what may be drawn by now, keep it, and return the new places that are not done."""
        found: list[Place] = []
        while True:
            step = advance(self.sweep, self.study.primary, self.results)
            if step.sweep == self.sweep and not step.places:
                return found
            self._keep_sweep(step.sweep)
            self._add_arms()
            new = [(arm_of(number), seed) for number, seed in step.places]
            self._asked += new
            found += [place for place in new if not self.path(place).exists()]

    def _keep_sweep(self, sweep: Sweep) -> None:
        told = {"sweep": sweep.model_dump(mode="json"), "outcome": self.study.primary.model_dump(mode="json")}
        path, text = self.folder / SWEEP, json.dumps(told, indent=1)
        if not path.exists() or path.read_text() != text:
            studies._write(path, text)
        self.sweep = sweep

    def _add_arms(self) -> None:
        """Give each trial that was drawn its arm."""
        known = {arm.name for arm in self.study.arms}
        new = [trial for trial in self.sweep.drawn if trial.arm not in known]
        if not new:
            return
        first = self._local.arms[FIRST]
        added = {trial.arm: placed(first, trial.values) for trial in new}
        self._local = dataclasses.replace(self._local, arms={**self._local.arms, **added})
        arms = [arm.model_dump() for arm in self.study.arms]
        for arm in added:
            changes = patch(self.study.settings, self._local.settings(arm))
            arms.append({"name": arm, "changes": changes, "says": self._local.says(arm, FIRST)})
        self._take(parse(Study, {**self.study.model_dump(), "arms": arms}))


class _Work(studies._Work):
    """Hands out trials as they may be drawn."""

    run: SweepRun

    def __init__(self, run: SweepRun, workers: int | None, progress: Progress | None) -> None:
        super().__init__(run, workers, progress)
        self.waiting = run.missing()

    @override
    def _ended(self, place: Place, why: str) -> None:
        super()._ended(place, why)
        self.waiting += self.run.more()


def placed(arguments: Mapping[str, Any], values: Mapping[str, Value]) -> dict[str, Any]:
    """Return arguments of ``train`` with values at their places.

    A place is an argument (``lr``, or a parameter of the method), or goes into one (``model.params.depth``,
    ``tasks.NAME.weight`` of the task of that name, key or class). Raises InvalidInput (space.PLACE) where none is.
    """
    found: dict[str, Any] = dict(arguments)
    for name, value in values.items():
        first, *rest = name.split(".")
        if not rest:
            found[first] = value
            continue
        if first not in found:
            raise InvalidInput(
                {f"space.{name}": f"there is no argument {first!r}; give it, or name another place"}
            )
        found[first] = _with(found[first], rest, value, name)
    return found


def _with(inside: Any, path: Sequence[str], value: Value, name: str) -> Any:
    """Return a mapping or a list of tasks with a value at a path."""
    if not path:
        return value
    step, rest = path[0], path[1:]
    if isinstance(inside, Mapping):
        return {**inside, step: _with(inside.get(step, {}), rest, value, name)}
    if isinstance(inside, list | tuple):
        tasks = [each if isinstance(each, Mapping) else {"task_class": each} for each in inside]
        at = [n for n, task in enumerate(tasks) if step in _names(task)]
        if len(at) != 1 or not rest:
            known = ", ".join(_names(task)[0] for task in tasks)
            raise InvalidInput(
                {f"space.{name}": f"{step!r} names {len(at)} of the tasks {known}; write tasks.NAME.weight"}
            )
        return [_with(task, rest, value, name) if n == at[0] else inside[n] for n, task in enumerate(tasks)]
    raise InvalidInput({f"space.{name}": f"{step!r} cannot be set in {inside!r:.60}; name another place"})


def _names(task: Mapping[str, Any]) -> list[str]:
    cls = task.get("task_class", "")
    word = cls if isinstance(cls, str) else cls.__name__
    named = [str(task[name]) for name in ("name", "key") if name in task]
    return [*named, word, word.removesuffix("Task"), word.removesuffix("Task").lower()]


def _value_at(arguments: Any, path: Sequence[str]) -> Any:
    """Return what stands at a place of the arguments; None where nothing does."""
    for step in path:
        if isinstance(arguments, list | tuple):
            arguments = next(
                (each for each in arguments if isinstance(each, Mapping) and step in _names(each)), None
            )
        else:
            arguments = arguments.get(step) if isinstance(arguments, Mapping) else None
    return arguments


def sweep(
    data: AccDataset | Mapping[str, AccDataset],
    space: str | Mapping[str, Any],
    *,
    outcome: str | Mapping[str, Any] | Outcome,
    trials: int = 20,
    seeds: int | Sequence[int] = 3,
    sampler: str = "tpe",
    seed: int = 0,
    prune: bool = False,
    jobs: int | None = None,
    hours: float | None = None,
    together: int = 4,
    name: str = "sweep",
    measure_on: Mapping[str, AccDataset] | None = None,
    folder: str | Path | None = None,
    workers: int | None = None,
    progress: Callable[[StudyRun], None] | None = None,
    retry_failed: bool = False,
    run: bool = True,
    **options: Any,
) -> SweepRun:
    """Train trials that are drawn from a space, each with the same seeds, and return their ranking.

    options: of ``acc.api.train``; the first arm is trained with these as they are, a trial with what was drawn in their
    place. space: place -> range: ``{"lr": "1e-4 to 1e-2 log", "latent_dim": "8 to 32 int", "optimizer": ["adam",
    "sgd"], "tasks.KLDivergence.weight": ".001 to 1 log"}``. outcome: what is ranked by, as of ``acc.study``, the mean
    over seeds; ``higher_is_better`` says which end comes first. sampler: ``tpe`` (Optuna), ``random`` or ``grid``;
    seed: of it. prune: end a trial after 1, 2, 4... seeds that is not in the better half (needs Optuna). jobs:
    trainings at most; hours: of computing, after which nothing more is drawn. together: trials under way at once; what
    is drawn does not depend on ``workers``.
    folder: where it is kept; the same folder goes on, and does no trial twice. More ``trials``, ``jobs`` and ``hours``
    may be asked for there; another space, sampler, seed or outcome is another sweep, and refused.
    Nothing may be claimed of the first in rank; ``confirm`` asks for it on fresh seeds. Raises InvalidInput.
    """
    usual = {"threads": 1, **options}
    studies._require_arguments_of_arms({"": options})
    given = spaces.space_of(space)
    local = Local(
        data if isinstance(data, Mapping) else {ONLY_DATASET: data}, {FIRST: usual}, measure_on or {}
    )
    for parameter in given:
        for end in parameter.ends():
            tried = placed(usual, {parameter.name: end})
            try:
                dataclasses.replace(local, arms={FIRST: tried}).planned(FIRST, 0)
            except InvalidInput as error:
                said = "; ".join(each for told in error.fields.values() for each in told)
                raise InvalidInput(
                    {f"space.{parameter.name}": f"{spaces.shown(end)} is refused: {said}"}
                ) from error
    ranked_by = studies._outcome(outcome)
    if (ranked_by.get("metric") or ranked_by.get("name")) in studies.COSTS:
        ranked_by.setdefault("higher_is_better", False)
    settings = local.settings(FIRST)
    plan: Study = parse(
        Study,
        {
            "name": name,
            "settings": settings,
            "arms": [{"name": FIRST}],
            "seeds": seeds if isinstance(seeds, int) else tuple(seeds),
            "outcomes": [ranked_by],
        },
    )
    if plan.primary.higher_is_better is None:
        raise InvalidInput(outcome=f"{plan.primary.name!r} has no better end; give higher_is_better")
    parse(EvalSpec, plan.primary.options, prefix=f"outcome.{plan.primary.name}.options.")
    studies._require(plan.primary.dataset, local)
    first = {each.name: _first(each, usual, settings) for each in given}
    asked: Sweep = parse(
        Sweep,
        {
            "space": given,
            "seeds": plan.seeds,
            "sampler": sampler,
            "seed": seed,
            "trials": trials,
            "jobs": jobs,
            "hours": hours,
            "together": together,
            "prune": prune,
            "maximize": plan.primary.higher_is_better,
            "first": {name: value for name, value in first.items() if value is not None},
        },
    )
    require_optuna(asked)
    place = Path(folder) if folder is not None else Path(tempfile.mkdtemp(prefix="acc-sweep-"))
    (place / RESULTS).mkdir(parents=True, exist_ok=True)
    if (kept := _kept(place)) is not None:
        before, outcome_before = kept
        if changed := before.changed(asked) + ["outcome"] * (outcome_before != plan.primary):
            raise InvalidInput(
                folder=f"{str(place)!r} holds another sweep, of another {', '.join(changed)}; give another folder"
            )
        asked = asked.model_copy(update={"drawn": before.drawn})
    made = SweepRun(asked, plan, local, place)
    return made.go(workers, progress, retry_failed=retry_failed) if run else made


def _kept(folder: Path) -> tuple[Sweep, Outcome] | None:
    """Return the sweep that a folder holds, and its outcome; raises InvalidInput naming its file if that is damaged."""
    path = folder / SWEEP
    if not path.exists():
        return None
    try:
        told = json.loads(path.read_text())
        return parse(Sweep, told["sweep"]), parse(Outcome, told["outcome"])
    except (InvalidInput, KeyError, TypeError, ValueError) as error:  # no JSON, no text, or no sweep
        raise InvalidInput(
            folder=f"{str(path)!r} is damaged ({in_words(error).splitlines()[0]}); put back a copy of it, or give "
            "another folder: without it nobody knows which trials were drawn"
        ) from error


def _first(parameter: spaces.Parameter, arguments: Mapping[str, Any], settings: Mapping[str, Any]) -> Any:
    """Return the value that the first arm has of a parameter, its default among them where that is known."""
    found = _value_at(arguments, parameter.name.split("."))
    if found is None and parameter.name in TrainSpec.model_fields:
        found = settings["train"].get(parameter.name)
    if parameter.kind == "float" and isinstance(found, int) and not isinstance(found, bool):
        return float(found)
    return found

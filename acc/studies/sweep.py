"""A sweep: a study whose arms are drawn from a space, each done with the same seeds, ranked and never judged.

What there is of a sweep is what it was asked, the trials that were drawn, and the results of their seeds. All else
follows from these: what is drawn next, what is pruned, the ranking. Trial n is drawn from what came of the trials up to
n - ``together``, by a generator of (seed, n); so the same trials come out whoever does them, on however many processes,
and whatever is killed between. Torch-free; Optuna is imported where it is needed, and only there.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import Field, field_validator, model_validator

from acc.errors import InvalidInput
from acc.specs import Spec
from acc.studies import space as spaces
from acc.studies.plan import MOST_SEEDS, Outcome
from acc.studies.results import Result
from acc.studies.space import Parameter, Value
from acc.studies.statistics import mean_interval

MOST_TRIALS = 900
"""A study has up to 1,000 arms."""
FIRST = "as it is"
"""What the first arm of a sweep is called: nothing is drawn of it."""
TRIES = 10
"""How often a sampler is asked again for what was drawn before."""
HALVING = 2
"""A trial goes on if its mean is in the best half of those with as many seeds: after 1, 2, 4, 8... of them."""
FEWEST_FOR_IMPORTANCE = 20
TREES = 64
INSTALL = "pip install 'acc[sweeps]'"
Sampler = Literal["grid", "random", "tpe"]
State = Literal["waiting", "running", "done", "pruned", "failed"]


class Trial(Spec):
    """What was drawn: its number, from 1, and the value of each parameter.

    pruned_after: with how many seeds it was ended, as it was not among the better half; None: it was not.
    """

    number: int = Field(ge=0)
    values: dict[str, Value]
    pruned_after: int | None = None

    @property
    def arm(self) -> str:
        """What its arm is called."""
        return arm_of(self.number)


class Sweep(Spec):
    """What is asked of a sweep, and what was drawn so far.

    seeds: which each trial is done with; its value is the mean over them. trials: how many at most, the first arm not
    counted; jobs: how many at most, where each arm and seed has ``jobs_each``; hours: of computing, after which nothing
    more is drawn. together: how many trials are under way at once; trial n does not know what came of the ones just
    before it. prune: end a trial after 1, 2, 4... seeds that is not in the better half by then (successive halving,
    asynchronous: Li et al. 2020). first: the values of the first arm; where all lie in the space, the sampler is told
    what came of it. confirmed_on: seeds of confirmations that were removed, which are fresh no more.
    """

    space: tuple[Parameter, ...] = Field(min_length=1, max_length=50)
    seeds: tuple[int, ...]
    sampler: Sampler = "tpe"
    seed: int = Field(default=0, ge=0, lt=2**63)
    trials: int = Field(default=20, ge=1, le=MOST_TRIALS)
    jobs: int | None = Field(default=None, ge=1)
    jobs_each: int = Field(default=1, ge=1)
    hours: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    together: int = Field(default=4, ge=1, le=64)
    prune: bool = False
    maximize: bool = True
    first: dict[str, Value] = Field(default_factory=dict)
    drawn: tuple[Trial, ...] = ()
    confirmed_on: tuple[int, ...] = ()

    @field_validator("space", mode="before")
    @classmethod
    def _space_is_read(cls, value: Any) -> Any:
        try:
            return spaces.space_of(value)
        except InvalidInput as error:
            raise ValueError(str(error).removeprefix("space: ")) from error

    @field_validator("seeds", mode="before")
    @classmethod
    def _seeds_from_a_number(cls, value: Any) -> Any:
        if isinstance(value, int) and not isinstance(value, bool):
            if not 1 <= value <= MOST_SEEDS:
                raise ValueError(f"{value} seeds are refused; 1 to {MOST_SEEDS} are allowed")
            return tuple(range(value))
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Sweep:
        if not 1 <= len(self.seeds) <= MOST_SEEDS:
            raise ValueError(f"{len(self.seeds)} seeds are refused; 1 to {MOST_SEEDS} are allowed")
        if self.sampler == "grid":
            try:
                spaces.points(self.space)
            except InvalidInput as error:
                raise ValueError(str(error)) from error
        if self.prune and len(self.seeds) < HALVING:
            raise ValueError(
                "prune: a trial of 1 seed cannot be ended early; give 2 seeds or more, or do not prune"
            )
        if self.jobs is not None and self.jobs < self.jobs_each * len(self.seeds) * 2:
            raise ValueError(
                f"jobs: {self.jobs} are too few; the first arm and one trial take "
                f"{self.jobs_each * len(self.seeds) * 2}"
            )
        if [trial.number for trial in self.drawn] != list(range(1, len(self.drawn) + 1)):
            raise ValueError("drawn: trials are numbered 1, 2, 3 as they were drawn")
        return self

    @property
    def knows_first(self) -> bool:
        """Whether the first arm lies in the space."""
        return all(each.name in self.first and self.first[each.name] in each for each in self.space)

    @property
    def limit(self) -> int:
        """How many trials there can be: those asked for, or as many as there are to be drawn."""
        there = spaces.points(self.space) if self.sampler == "grid" else spaces.size(self.space)
        if self.sampler != "grid" and self.knows_first:
            there -= 1  # the first arm has it
        return int(min(self.trials, there))

    def changed(self, other: Sweep) -> list[str]:
        """Return the fields in which another sweep asks for something else, the budget left out."""
        budget = {"trials", "jobs", "hours", "drawn"}
        return [
            name
            for name in Sweep.model_fields
            if name not in budget and getattr(self, name) != getattr(other, name)
        ]


Place = tuple[int, int]
"""Number of a trial (0: the first arm), seed."""


class Step(NamedTuple):
    """A sweep with what was drawn and pruned by now, and the places that are new, in the order to be begun."""

    sweep: Sweep
    places: list[Place]


@dataclass(frozen=True)
class Standing:
    """How a trial stands. value: the mean over its seeds so far; low, high: its 95 % t interval, None of one seed.

    by_seed: seed -> value, in the order of the sweep's seeds; asked: for how many it was begun; in_space: whether its
    values lie in the space, as those of the first arm may not. A failed one has no value: a seed that fails is not left
    out by chance.
    """

    number: int
    values: Mapping[str, Value]
    state: State
    asked: int
    by_seed: Mapping[int, float]
    value: float | None = None
    low: float | None = None
    high: float | None = None
    seconds: float = 0.0
    reason: str = ""
    in_space: bool = True

    @property
    def arm(self) -> str:
        return arm_of(self.number)

    @property
    def n(self) -> int:
        return len(self.by_seed)

    @property
    def ended(self) -> bool:
        return self.state in ("done", "pruned", "failed")


def arm_of(number: int) -> str:
    """Return what the arm of a trial is called; 0 is the first arm."""
    return f"trial {number}" if number else FIRST


def standings(sweep: Sweep, outcome: Outcome, results: Sequence[Result]) -> list[Standing]:
    """Return how the first arm and each trial stands, in their order."""
    by_arm: dict[str, dict[int, Result]] = {}
    for result in results:
        by_arm.setdefault(result.arm, {})[result.seed] = result
    first = Trial(number=0, values=sweep.first)
    return [_standing(sweep, outcome, trial, by_arm.get(trial.arm, {})) for trial in (first, *sweep.drawn)]


def _standing(sweep: Sweep, outcome: Outcome, trial: Trial, known: Mapping[int, Result]) -> Standing:
    mine = [known[seed] for seed in sweep.seeds if seed in known]
    values: dict[int, float] = {}
    reason = ""
    for result in mine:
        measured = result.values.get(outcome.name)
        if result.status in ("failed", "stopped"):
            reason = reason or f"seed {result.seed}: {result.reason or result.status}"
        elif result.status == "succeeded" and (measured is None or measured.value is None):
            why = measured.reason if measured else ""
            reason = reason or f"seed {result.seed}: '{outcome.name}' has no value{': ' if why else ''}{why}"
        elif result.status == "succeeded" and measured is not None and measured.value is not None:
            values[result.seed] = measured.value
    open_ = any(result.status in ("waiting", "running") for result in mine)
    pruned = trial.pruned_after is not None
    state: State = "running"
    if reason:
        state = "running" if open_ else "failed"
    elif pruned:
        state = "pruned"
    elif len(values) == len(sweep.seeds):
        state = "done"
    elif all(result.status == "waiting" for result in mine):
        state = "waiting"
    interval = mean_interval(list(values.values())) if values and not reason else None
    ends = interval is not None and math.isfinite(interval.low)
    return Standing(
        trial.number,
        trial.values,
        state,
        len(mine),
        values,
        interval.mean if interval else None,
        interval.low if interval and ends else None,
        interval.high if interval and ends else None,
        sum(result.seconds or 0.0 for result in mine),
        reason,
        bool(trial.number) or sweep.knows_first,
    )


def ranking(sweep: Sweep, stands: Sequence[Standing]) -> list[Standing]:
    """Return trials and first arm, the best mean first: those with all seeds, then the pruned by how far they came.

    What failed and what is under way come last, as they were drawn. It is an order, and says of nothing that it is
    better: the first of many is there by luck too.
    """
    sign = -1.0 if sweep.maximize else 1.0
    rank = {"done": 0, "pruned": 1}

    def place(stand: Standing) -> tuple[float, ...]:
        if stand.state in rank and stand.value is not None:
            return (rank[stand.state], -stand.n, sign * stand.value, stand.number)
        return (2, 0, 0, stand.number)

    return sorted(stands, key=place)


def winner(sweep: Sweep, stands: Sequence[Standing]) -> Standing:
    """Return the trial that ranks first; raises InvalidInput where none does, or the first arm ranks before all."""
    best = next(iter(ranking(sweep, stands)))
    if best.state != "done":
        raise InvalidInput(winner="no trial has a value of all its seeds yet; go on with the sweep first")
    if best.number == 0:
        raise InvalidInput(winner=f"'{FIRST}' ranks before every trial; there is no other to be confirmed")
    return best


def fresh_seeds(used: Sequence[int], count: int) -> tuple[int, ...]:
    """Return so many seeds that nothing was chosen on: those after the last that was used."""
    begin = max(used) + 1
    return tuple(range(begin, begin + count))


def is_over(sweep: Sweep, outcome: Outcome, results: Sequence[Result]) -> bool:
    """Return whether nothing is under way and nothing more will be drawn."""
    stands = standings(sweep, outcome, results)
    return all(stand.ended for stand in stands) and not _may_draw(sweep, results)


def advance(sweep: Sweep, outcome: Outcome, results: Sequence[Result]) -> Step:
    """Return the sweep with all that can be drawn and decided by now, and the places that are new.

    results: of every place that was ever returned, those that wait among them; places of trials that were drawn are
    returned again where they are missing there. What is returned is to be kept before any of it is begun. Raises
    InvalidInput where Optuna is needed and missing.
    """
    known = {(result.arm, result.seed) for result in results}
    places: list[Place] = [(0, seed) for seed in sweep.seeds if (FIRST, seed) not in known]
    stands = standings(sweep, outcome, results)
    trials = list(sweep.drawn)
    for at, trial in enumerate(trials):
        stand = stands[trial.number]
        whole = stand.n == stand.asked and not stand.reason
        if not whole or stand.asked == (trial.pruned_after or len(sweep.seeds)):
            continue
        if trial.pruned_after is None and stand.asked and _is_pruned(sweep, stand, stands):
            trials[at] = trial.model_copy(update={"pruned_after": stand.n})
            continue
        more = trial.pruned_after or (HALVING * stand.asked or 1 if sweep.prune else len(sweep.seeds))
        places += [(trial.number, seed) for seed in sweep.seeds[stand.asked : more]]
    new = sweep.model_copy(update={"drawn": tuple(trials)})
    stands = standings(new, outcome, results)
    at_first = sweep.seeds[:1] if sweep.prune else sweep.seeds
    asked = len(results) + len(places)
    while (number := len(new.drawn) + 1) and _may_draw(new, results, asked):
        before = _known_to(sweep, number, stands)
        if not all(stand.ended for stand in before):
            break
        trial = Trial(number=number, values=draw(new, number, before))
        new = new.model_copy(update={"drawn": (*new.drawn, trial)})
        stands.append(Standing(number, trial.values, "waiting", 0, {}))
        places += [(number, seed) for seed in at_first]
        asked += len(at_first)
    return Step(new, places)


def _known_to(sweep: Sweep, number: int, stands: Sequence[Standing]) -> Sequence[Standing]:
    """Return the trials whose ends a trial knows: those up to ``together`` before it."""
    return stands[: max(0, number - sweep.together + 1)]


def _may_draw(sweep: Sweep, results: Sequence[Result], asked: int | None = None) -> bool:
    """Return whether the budget has room for a trial more; asked: places so far, those not begun among them."""
    if len(sweep.drawn) >= sweep.limit:
        return False
    places = max(len(results) if asked is None else asked, len(sweep.seeds))
    if sweep.jobs is not None and (places + len(sweep.seeds)) * sweep.jobs_each > sweep.jobs:
        return False
    spent = sum(result.seconds or 0.0 for result in results)
    return sweep.hours is None or spent < 3600 * sweep.hours


def draw(sweep: Sweep, number: int, before: Sequence[Standing]) -> dict[str, Value]:
    """Return the values of a trial, which no earlier trial has.

    before: the trials whose ends are known to it. It follows from these, the sweep's seed, and what was drawn of the
    trials between; from nothing else.
    """
    if sweep.sampler == "grid":
        count = spaces.points(sweep.space)
        order = np.random.default_rng(sweep.seed).permutation(
            count
        )  # so that an early end has seen all of it
        return spaces.point(sweep.space, int(order[number - 1]))
    known = {spaces.key(trial.values) for trial in sweep.drawn[: number - 1]}
    known |= {spaces.key(sweep.first)} if sweep.knows_first else set()
    for attempt in range(TRIES):
        tpe = sweep.sampler == "tpe"
        values = _tpe(sweep, number, attempt, before) if tpe else _random(sweep, number, attempt)
        if spaces.key(values) not in known:
            return values
    if math.isinf(spaces.size(sweep.space)):
        return values
    return next(values for values in spaces.everything(sweep.space) if spaces.key(values) not in known)


def _generator(sweep: Sweep, number: int, attempt: int) -> np.random.Generator:
    return np.random.default_rng([sweep.seed, number, attempt])


def _random(sweep: Sweep, number: int, attempt: int) -> dict[str, Value]:
    parts = _generator(sweep, number, attempt).random(len(sweep.space))
    return {
        parameter.name: parameter.at(float(part)) for parameter, part in zip(sweep.space, parts, strict=True)
    }


def _tpe(sweep: Sweep, number: int, attempt: int, before: Sequence[Standing]) -> dict[str, Value]:
    """Return what the tree-structured Parzen estimator asks for (Bergstra et al. 2011), of what came before."""
    with _optuna() as optuna:
        seed = int(_generator(sweep, number, attempt).integers(2**31))
        study = _told(optuna, sweep, before, sampler=optuna.samplers.TPESampler(seed=seed))
        ended = {stand.number for stand in before}
        for trial in sweep.drawn[: number - 1]:
            if trial.number not in ended:  # under way: not to be drawn again nearby
                study.add_trial(
                    optuna.trial.create_trial(
                        params=dict(trial.values),
                        distributions=_distributions(optuna, sweep),
                        state=optuna.trial.TrialState.RUNNING,
                    )
                )
        asked = study.ask(fixed_distributions=_distributions(optuna, sweep)).params
    return {parameter.name: _as_drawn(parameter, asked[parameter.name]) for parameter in sweep.space}


def _as_drawn(parameter: Parameter, value: Any) -> Value:
    if parameter.kind == "choice":
        found: Value = value
        return found
    return int(value) if parameter.kind == "int" else float(value)


def _is_pruned(sweep: Sweep, stand: Standing, stands: Sequence[Standing]) -> bool:
    """Return whether a trial is to be ended after the seeds that it has, beside those whose ends it knows."""
    if not sweep.prune:
        return False
    with _optuna() as optuna:
        pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=HALVING)
        study = optuna.create_study(direction="maximize" if sweep.maximize else "minimize", pruner=pruner)
        for other in _known_to(sweep, stand.number, stands):
            if not other.reason:
                _reported(sweep, study.ask(), other)
        return _reported(sweep, study.ask(), stand)


def _reported(sweep: Sweep, trial: Any, stand: Standing) -> bool:
    """Tell a trial of Optuna the means over its first 1, 2, 4... seeds; return whether it would end after the last."""
    values = [stand.by_seed[seed] for seed in sweep.seeds if seed in stand.by_seed]
    ends, rung = False, 1
    while rung <= len(values):
        trial.report(float(np.mean(values[:rung])), rung)
        ends = bool(trial.should_prune())
        rung *= HALVING
    return ends


def importance(sweep: Sweep, stands: Sequence[Standing]) -> dict[str, float]:
    """Return what share of the spread of the trials' values each parameter explains alone; combinations have the rest.

    By functional analysis of variance over random forests (Hutter, Hoos, Leyton-Brown 2014), on the trials with all
    their seeds. Raises InvalidInput (importance) for fewer than 20 of them, for values that do not differ, and where
    Optuna is missing.
    """
    done = [stand for stand in stands if stand.state == "done" and stand.in_space]
    if len(done) < FEWEST_FOR_IMPORTANCE:
        raise InvalidInput(
            importance=f"{len(done)} trials with all their seeds are too few to say what matters; "
            f"{FEWEST_FOR_IMPORTANCE} are enough"
        )
    if len({stand.value for stand in done}) == 1:
        raise InvalidInput(importance="every trial came to the same value; nothing mattered")
    with _optuna() as optuna:
        study = _told(optuna, sweep, done)
        judge = optuna.importance.FanovaImportanceEvaluator(n_trees=TREES, seed=0)
        found = judge.evaluate(study)
    shares = {parameter.name: float(found.get(parameter.name, 0.0)) for parameter in sweep.space}
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def _told(optuna: Any, sweep: Sweep, stands: Sequence[Standing], sampler: Any = None) -> Any:
    """Return a study of Optuna, in memory, with what came of trials."""
    study = optuna.create_study(direction="maximize" if sweep.maximize else "minimize", sampler=sampler)
    states = optuna.trial.TrialState
    for stand in stands:
        if not stand.in_space:
            continue
        told: dict[str, Any] = {"state": states.FAIL}
        if stand.state == "done":
            told = {"value": stand.value}
        elif stand.state == "pruned":
            told = {"state": states.PRUNED, "intermediate_values": {stand.n: stand.value}}
        study.add_trial(
            optuna.trial.create_trial(
                params=dict(stand.values), distributions=_distributions(optuna, sweep), **told
            )
        )
    return study


def _distributions(optuna: Any, sweep: Sweep) -> dict[str, Any]:
    kinds = optuna.distributions
    found = {}
    for parameter in sweep.space:
        if parameter.kind == "choice":
            found[parameter.name] = kinds.CategoricalDistribution(parameter.values)
        elif parameter.kind == "int":
            found[parameter.name] = kinds.IntDistribution(
                int(parameter.low or 0), int(parameter.high or 0), log=parameter.log
            )
        else:
            found[parameter.name] = kinds.FloatDistribution(parameter.low, parameter.high, log=parameter.log)
    return found


@contextlib.contextmanager
def _optuna() -> Iterator[Any]:
    """Give Optuna, which says nothing meanwhile; raises InvalidInput (sampler) with what installs it."""
    try:
        import optuna
    except ImportError:
        raise InvalidInput(
            sampler=f"tpe, pruning and importance need Optuna, which is not installed: {INSTALL}; random and grid work"
        ) from None
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield optuna
    finally:
        optuna.logging.set_verbosity(before)


def require_optuna(sweep: Sweep) -> None:
    """Raise InvalidInput where a sweep needs Optuna and it is not installed."""
    if sweep.sampler == "tpe" or sweep.prune:
        with _optuna():
            pass

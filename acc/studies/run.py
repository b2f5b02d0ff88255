"""A study on the processes of this machine, without a site: each arm and seed once, kept in a folder as it is done.

The folder holds the plan (``study.json``) and a file for each (arm, seed) and for each root, written as a whole or not
at all; so a study that was killed goes on where it was, and one that is run again does only what is new.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import fcntl
import importlib
import json
import multiprocessing
import os
import re
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path
from types import CodeType
from typing import TYPE_CHECKING, Any

import torch
from threadpoolctl import threadpool_limits

from acc.errors import InvalidInput
from acc.evaluation import FactoringEvaluator
from acc.forked import PR_SET_PDEATHSIG
from acc.hashes import text_sha256
from acc.metrics import Metric
from acc.models import BUILT_IN
from acc.params import Param
from acc.results import Factoring, MetricValue
from acc.specs import EvalSpec, TrainSpec, parse
from acc.studies import figures, report
from acc.studies.plan import Outcome, Study, patch, paths
from acc.studies.results import Measured, Result
from acc.studies.verdict import Verdict, judge, settled
from acc.text import in_words
from acc.training.checkpoints.files import write_atomically
from acc.training.checkpoints.versions import versions
from acc.training.plugin_set import PluginSet
from acc.training.run import ONLY_DATASET, Planned, TrainRun, planned

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

    from acc.data import AccDataset

PLAN, RESULTS, ROOTS, LOCK, FAILED = "study.json", "results", "roots", "lock", ".failed"
COSTS = ("seconds", "images", "steps")
"""What may be an outcome besides what an evaluation measures: what an arm took."""
SAYS = {
    "tasks": ("tasks", "plugins"),
    "method": ("tasks", "model", "plugins"),
    "model": ("model", "plugins"),
    "latent_dim": ("model.latent_dim",),
    "factors": ("model.factor_groups", "model.latent_dim"),
}
"""Of which settings an argument of ``train`` speaks that an arm is given; those of TrainSpec speak of themselves."""
NOT_SETTINGS = {"seed", "checkpoint_every_steps", "checkpoint_every_seconds"}
OF_THE_STUDY = {
    "seed": "seeds says which there are",
    "model_seed": "a seed of the study seeds the first weights as well",
    "start_from": "root is what all arms of a seed go on from",
}
"""Arguments of ``train`` that no arm may be given, and what does that in a study."""
Place = tuple[str, int]
Progress = Callable[["StudyRun"], None]


@dataclass(frozen=True)
class Local:
    """What the arms of a study do on this machine: arguments of ``train`` by arm, data, and a root if they share one.

    measure_on: datasets that are only looked at. root: arguments of ``train`` for what is trained first, once for each
    seed, from which all arms go on. metrics: classes of metrics of a whole checkpoint, besides those of plugins.
    """

    data: Mapping[str, AccDataset]
    arms: Mapping[str, Mapping[str, Any]]
    measure_on: Mapping[str, AccDataset] = field(default_factory=dict)
    root: Mapping[str, Any] | None = None
    metrics: tuple[type[Metric], ...] = ()

    def classes(self, arm: str) -> PluginSet:
        """Return the classes that an arm and its outcomes may name."""
        found = PluginSet(*self.metrics)
        found.include(self.planned(arm, 0).classes)
        return found

    def version(self, outcome: Outcome) -> list[str]:
        """Return the version of the metric that an outcome is of, none where it is of no plugin.

        Raises InvalidInput (outcomes) where there is no such metric, or it has no such number or parameter.
        """
        name, number = outcome.of_metric
        if not name:
            return []
        try:
            classes = self.classes(next(iter(self.arms)))
            cls = classes.metric(name)
            cls(**eval_spec([outcome]).params_of(name))
        except InvalidInput as error:
            raise InvalidInput(outcomes=f"'{outcome.measured_as}': {error}") from error
        if number not in cls.metrics:
            known = ", ".join(f"{name}.{each}" for each in cls.metrics)
            raise InvalidInput(outcomes=f"'{outcome.measured_as}' is no number of {name}; there are: {known}")
        told = classes.sources([name]).get(name)
        return [told["sha256"] if told else _typed(cls)]

    def planned(self, arm: str, seed: int, start_from: Path | None = None) -> Planned:
        """Return the run of an arm and a seed; raises InvalidInput naming the arm's field that is wrong."""
        try:
            return _seeded(
                planned(self.data, **{**self.arms[arm], "seed": seed}, start_from=start_from), seed
            )
        except InvalidInput as error:
            raise InvalidInput({f"arms.{arm}.{name}": said for name, said in error.fields.items()}) from error

    def planned_root(self, seed: int) -> Planned:
        """Return the run of the root of a seed; raises InvalidInput."""
        assert self.root is not None
        try:
            return _seeded(planned(self.data, **{**self.root, "seed": seed}), seed)
        except InvalidInput as error:
            raise InvalidInput({f"root.{name}": said for name, said in error.fields.items()}) from error

    def settings(self, arm: str) -> dict[str, Any]:
        """Return all that changes an arm's result but for the seed, as JSON."""
        found = _settings(self.planned(arm, 0))
        if self.root is not None:
            found["root"] = _settings(self.planned_root(0))
        if self.measure_on:
            found["measured_on"] = {name: data.content_hash for name, data in self.measure_on.items()}
        return found

    def says(self, arm: str, first: str) -> list[str]:
        """Return the places of the settings of which an arm speaks: what it gives otherwise than the first."""
        here, there = self.arms[arm], self.arms[first]
        names = [name for name in {**here, **there} if here.get(name) is not there.get(name)]
        return [place for name in names for place in _places(name)]


def _places(name: str) -> tuple[str, ...]:
    if name in TrainSpec.model_fields:
        return (f"train.{name}",)
    return SAYS.get(
        name, (f"model.params.{name}", "tasks")
    )  # a parameter of a method, or of its architecture


def _seeded(run: Planned, seed: int) -> Planned:
    """Return a run whose first weights are of the seed, also of a model that brings its own; its tasks are known."""
    for task in run.job.tasks:
        run.classes.task(task.task_class)
    if run.start_from is not None:
        return run
    model = run.job.model.model_copy(update={"seed": seed})
    return dataclasses.replace(run, job=run.job.model_copy(update={"model": model}))


def _settings(run: Planned) -> dict[str, Any]:
    job = run.job.model_dump(mode="json")
    classes: dict[str, type] = {task.task_class: run.classes.task(task.task_class) for task in run.job.tasks}
    classes |= {name: cls for name, cls in run.classes.models.items() if name == run.job.model.architecture}
    known = {name: told["sha256"] for name, told in run.classes.sources(classes).items()}
    typed = {name: _typed(cls) for name, cls in classes.items() if name not in {*known, *BUILT_IN}}
    return {
        "model": {name: value for name, value in job["model"].items() if name != "seed"},
        "tasks": {task.pop("key"): task for task in job["tasks"]},
        "train": {name: value for name, value in job["train"].items() if name not in NOT_SETTINGS},
        "datasets": {name: spec["content_hash"] for name, spec in job["datasets"].items()},
        "plugins": known | typed,
    }


def _typed(cls: type) -> str:
    """Return a hash of a class that no file defines, as in a notebook: of its own methods and values."""
    told = []
    for name, member in sorted(vars(cls).items()):
        inner = getattr(member, "fget", getattr(member, "__func__", member))
        if isinstance(code := getattr(inner, "__code__", None), CodeType):
            told.append([name, _compiled(code)])
        elif (
            isinstance(member, Param | Mapping | bool | int | float | str | tuple)
            and name != "__firstlineno__"
        ):
            told.append([name, repr(member)])
    return _hash(told)


def _compiled(code: CodeType) -> list[Any]:
    consts = [
        _compiled(each)
        if isinstance(each, CodeType)
        else sorted(map(repr, each))
        if isinstance(each, frozenset)
        else repr(each)
        for each in code.co_consts
    ]
    return [code.co_code.hex(), consts, code.co_names, code.co_varnames, code.co_freevars]


class StudyRun:
    """A study in its folder: what is done of it, and what may be said of it.

    ``study`` is the plan with its history, ``results`` what is there so far, in the order of the plan.
    """

    def __init__(self, study: Study, local: Local, folder: Path) -> None:
        self.folder, self._local = folder, local
        self._lost: dict[Place, str] = {}
        self._known: dict[Place, Result] = {}
        self._take(study)

    def _take(self, study: Study) -> None:
        self.study = study
        self._settings = {arm.name: _hash(study.settings_of(arm.name)) for arm in study.arms}
        asked = sorted(
            [each.name, each.measured_as, each.dataset, each.options, *self._local.version(each)]
            for each in study.outcomes
        )
        self._keys = {arm: _hash([settings, asked]) for arm, settings in self._settings.items()}

    @property
    def results(self) -> list[Result]:
        """What there is of each arm and seed, those that wait among it."""
        return [self._result(place) for place in self.study.order()]

    def verdicts(self) -> list[Verdict]:
        """Return what may be said of each claim."""
        return judge(self.study, self.results)

    def table(self) -> list[dict[str, Any]]:
        """Return a row for each arm and outcome: mean, interval, spread, seeds, failed; see ``acc.studies.report``."""
        return report.table(self.study, self.results)

    def rows(self) -> list[dict[str, Any]]:
        """Return a row for each arm, seed and outcome, as CSV and Parquet have them."""
        return report.rows(self.study, self.results)

    def to_csv(self, path: str | Path) -> None:
        """Write every number as CSV."""
        _write(Path(path), report.csv_text(self.study, self.results))

    def to_parquet(self, path: str | Path) -> None:
        """Write every number as a Parquet table; needs pyarrow (the extra ``data``)."""
        write_atomically(Path(path), report.parquet(self.study, self.results))

    def to_latex(self) -> str:
        """Return a LaTeX table of arms by outcomes."""
        return report.latex(self.study, self.results)

    def to_html(self, path: str | Path, *, anonymous: bool = False) -> None:
        """Write one file that shows all of it without a network.

        anonymous: without paths, addresses, and the names of this user and machine, which errors and settings may tell.
        """
        _write(Path(path), report.html(self.study, self.results, anonymous=anonymous))

    def figure(self, path: str | Path, part: str = "all") -> None:
        """Write a figure for a paper, .svg or .pdf as its name ends; needs matplotlib (the extra ``figures``).

        part: ``outcomes``, ``differences``, or all. Raises InvalidInput (path, part).
        """
        form = figures.form_of(str(path))
        write_atomically(Path(path), figures.draw(self.study, self.results, form, part))

    def __str__(self) -> str:
        done = [result.status for result in self.results]
        counts = ", ".join(f"{done.count(word)} {word}" for word in dict.fromkeys(done))
        return "\n".join([f"{self.study.name}: {counts}", *(verdict.sentence for verdict in self.verdicts())])

    def settled(self) -> bool:
        """Whether no claim is open any more, in a study that stops then."""
        return self.study.stop_when_decided and settled(self.study, self.verdicts())

    def go(
        self, workers: int | None = None, progress: Progress | None = None, *, retry_failed: bool = False
    ) -> StudyRun:
        """Do what is missing and return this; ``study`` says how. Raises InvalidInput where somebody else is at it."""
        with _locked(self.folder):
            _ = self.results  # what is damaged is told before anything is done
            if retry_failed:
                self._set_failed_aside()
            _Work(self, workers, progress).do()
        return self

    def add_seeds(self, more: int, workers: int | None = None, progress: Progress | None = None) -> StudyRun:
        """Do so many seeds more and return the study with them; the plan tells that it was changed."""
        if more < 1:
            raise InvalidInput(more=f"{more} is refused; add 1 seed or more")
        first = max(self.study.seeds) + 1
        study = self.study.revised(seen=self.seen, seeds=(*self.study.seeds, *range(first, first + more)))
        _keep(study, self.folder)
        return StudyRun(study, self._local, self.folder).go(workers, progress)

    @property
    def seen(self) -> int:
        """How many results there are to be seen, those among them that failed and are to be done again."""
        folder = self.folder / RESULTS
        return len({path.stem for ending in (".json", FAILED) for path in folder.glob(f"*{ending}")})

    def path(self, place: Place) -> Path:
        """Return the file of the result of an arm and a seed; other settings of the arm, and other outcomes, have
        another.
        """
        arm, seed = place
        word = re.sub(r"[^a-z0-9]+", "-", arm.lower()).strip("-")[:40]
        name = f"{word}-{text_sha256(arm)[:6]}-{self._keys[arm][:12]}-{seed}.json"
        return self.folder / RESULTS / name

    def root_path(self, seed: int) -> Path:
        """Return the file of the root of a seed."""
        settings = self.study.settings_of(self.study.arms[0].name).get("root")
        return self.folder / ROOTS / f"{_hash(settings)[:12]}-{seed}.safetensors"

    def _set_failed_aside(self) -> None:
        """Make what failed wait again; why it failed is kept beside."""
        for place in self.study.order():
            if self._result(place).status == "failed" and (path := self.path(place)).exists():
                path.replace(path.with_suffix(FAILED))
                del self._known[place]

    def _failed_before(self, place: Place) -> str:
        path = self.path(place).with_suffix(FAILED)
        return _read(path, place).reason if path.exists() else ""

    def _result(self, place: Place) -> Result:
        if place not in self._known and (path := self.path(place)).exists():
            self._known[place] = _read(path, place)
        if place in self._known:
            return self._known[place]
        arm, seed = place
        lost = self._lost.get(place)
        return Result(arm=arm, seed=seed, status="failed" if lost else "waiting", reason=lost or "")

    def one(self, place: Place) -> None:
        """Do an arm and a seed, or a root (no arm), in this process, and keep what came of it."""
        arm, seed = place
        if not arm:
            self._root(seed)
            return
        began = time.perf_counter()
        try:
            run = self._local.planned(arm, seed, self.root_path(seed) if self._local.root else None).run()
            values = measured(
                run,
                self.study.outcomes,
                {**self._local.data, **self._local.measure_on},
                self._local.classes(arm),
            )
            seconds = time.perf_counter() - began
            took = _costs(run, seconds)
            result = Result(
                arm=arm,
                seed=seed,
                status="succeeded",
                values={**values, **_of_costs(self.study.outcomes, took)},
                seconds=seconds,
                images=int(took["images"]),
                settings=self._settings[arm],
                facts={"device": next(run.model.parameters()).device.type, **versions()},
                failed_before=self._failed_before(place),
            )
        except Exception as error:  # whatever a plugin raises: that seed failed, and is counted
            result = Result(
                arm=arm,
                seed=seed,
                status="failed",
                reason=in_words(error),
                seconds=time.perf_counter() - began,
                settings=self._settings[arm],
                failed_before=self._failed_before(place),
            )
        _write(self.path(place), result.model_dump_json(indent=1))

    def _root(self, seed: int) -> None:
        told = self.root_path(seed).with_suffix(FAILED)
        told.unlink(missing_ok=True)
        try:
            self._local.planned_root(seed).run().save(self.root_path(seed))
        except Exception as error:  # its arms tell of it
            _write(told, in_words(error))

    def lost(self, place: Place, reason: str) -> None:
        """Take note that a process came to nothing; when the study is run again it is tried again."""
        self._lost[place] = reason


class _Work:
    """Hands out what is missing of a study to processes, a seed's root before its arms."""

    def __init__(self, run: StudyRun, workers: int | None, progress: Progress | None) -> None:
        self.run, self.progress = run, progress
        self.workers = (os.cpu_count() or 1) if workers is None else workers
        if self.workers < 0:
            raise InvalidInput(workers=f"{workers} is refused; 0 is this process, 1 or more are processes")
        if self.workers and torch.cuda.is_initialized():
            raise InvalidInput(
                workers=f"{self.workers} processes cannot be forked from one that uses a GPU; give workers=0, or "
                "begin the study in a process that has not used the GPU yet"
            )
        self.waiting = [place for place in run.study.order() if not run.path(place).exists()]
        self.running: dict[int, tuple[BaseProcess, Place]] = {}
        self.failed_roots: dict[int, str] = {}

    def do(self) -> None:
        if self.workers and self.waiting:
            importlib.import_module(
                "torch._dynamo"
            )  # the first optimizer imports it: here once, for all forks
        for folder in (RESULTS, ROOTS):
            (self.run.folder / folder).mkdir(exist_ok=True)
        try:
            while (self.waiting or self.running) and not self.run.settled():
                place = self._next() if len(self.running) < max(1, self.workers) else None
                if place is not None:
                    self._start(place)
                elif self.running:
                    self._reap()
        finally:
            for process, _ in self.running.values():
                process.kill()
                process.join()

    def _next(self) -> Place | None:
        """Return what can be begun now, a root (without an arm) where an arm needs one that is not there."""
        busy = {place for _, place in self.running.values()}
        for arm, seed in list(self.waiting):
            if self.run._local.root is None or self.run.root_path(seed).exists():
                self.waiting.remove((arm, seed))
                return arm, seed
            if seed in self.failed_roots:
                self.waiting.remove((arm, seed))
                self.run.lost((arm, seed), self.failed_roots[seed])
                continue
            if ("", seed) not in busy:
                return "", seed
        return None

    def _start(self, place: Place) -> None:
        if not self.workers:
            with _one_thread():
                self.run.one(place)
            self._ended(place, "")
            return
        process = multiprocessing.get_context("fork").Process(
            target=_in_process, args=(self.run, place, os.getpid())
        )
        process.start()
        self.running[process.sentinel] = (process, place)

    def _reap(self) -> None:
        for sentinel in wait(list(self.running)):
            assert isinstance(sentinel, int)
            process, place = self.running.pop(sentinel)
            process.join()
            code = process.exitcode or 0
            word = f"by signal {-code}" if code < 0 else f"with status {code}"
            self._ended(place, f"its process ended {word}" if code else "")

    def _ended(self, place: Place, why: str) -> None:
        arm, seed = place
        if not arm:
            path = self.run.root_path(seed)
            if not path.exists():
                told = path.with_suffix(FAILED)
                why = told.read_text() if told.exists() else why
                self.failed_roots[seed] = f"the root of this seed failed: {why or 'nothing was written'}"
            return
        if not self.run.path(place).exists():
            self.run.lost(place, why or "its process wrote no result")
        if self.progress is not None:
            self.progress(self.run)


def _in_process(run: StudyRun, place: Place, parent: int) -> None:
    """Do one thing in a fork, which ends with its parent, however that ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it, and ends this
    with _one_thread():
        run.one(place)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute with one thread: processes share the cores, and a fork has no thread of its parent's."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the folder of a study; the kernel lets go of it when this process and its forks have ended."""
    with (folder / LOCK).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InvalidInput(
                folder=f"{str(folder)!r} is being worked on by another process; wait for it, or give another folder"
            ) from None
        yield


def eval_spec(alike: Sequence[Outcome]) -> EvalSpec:
    """Return what an evaluation is asked for outcomes of the same dataset and options; raises InvalidInput."""
    options = dict(alike[0].options)
    if metrics := [name for outcome in alike if (name := outcome.of_metric[0])]:
        options["suite"] = list(dict.fromkeys([*options.get("suite", ["metrics"]), *metrics]))
    spec: EvalSpec = parse(EvalSpec, options, prefix=f"outcomes.{alike[0].name}.options.")
    return spec


def measured(
    run: TrainRun,
    outcomes: Sequence[Outcome],
    datasets: Mapping[str, AccDataset],
    classes: PluginSet | None = None,
) -> dict[str, Measured]:
    """Return outcome -> number of a finished run; one that cannot be had says why.

    Metrics of tasks (``digit/accuracy``, or ``accuracy`` where one task alone has it) are of the held-out images of
    their datasets, all others of the outcome's dataset. classes: the plugins, and with them metrics of a whole
    checkpoint (``FactorVAEScore.score``); by default those of the run.
    """
    found: dict[str, Measured] = {}
    wanted = [outcome for outcome in outcomes if outcome.measured_as not in COSTS]
    kinds: dict[str, list[Outcome]] = {}
    for outcome in wanted:
        kinds.setdefault(json.dumps([outcome.dataset, outcome.options], sort_keys=True), []).append(outcome)
    for alike in kinds.values():
        spec = eval_spec(alike)
        evaluator = FactoringEvaluator(run.checkpoint, datasets, classes, device=spec.device, rows=spec.rows)
        by_task = _of_tasks(evaluator.metrics())
        by_plugin = _of_plugins(evaluator, alike, spec)
        whole: dict[str, Measured] | None = None
        for outcome in alike:
            name = outcome.measured_as
            if name in by_plugin:
                found[outcome.name] = by_plugin[name]
                continue
            if name in by_task and not outcome.dataset:
                found[outcome.name] = by_task[name]
                continue
            if whole is None:
                whole = _of_whole(evaluator, alike[0].dataset, spec)
            found[outcome.name] = whole.get(name) or whole.get("") or _unknown(name, [*by_task, *whole])
    return found


def _kept(metric: MetricValue) -> Measured:
    return Measured(
        value=metric.value, reason=metric.reason, sample=metric.sample, low=metric.low, high=metric.high
    )


def _of_plugins(
    evaluator: FactoringEvaluator, alike: Sequence[Outcome], spec: EvalSpec
) -> dict[str, Measured]:
    """Return the numbers of the metrics that are plugins, by ``Class.number``."""
    found: dict[str, Measured] = {}
    for name in dict.fromkeys(outcome.of_metric[0] for outcome in alike):
        if name:
            values = evaluator.custom(
                name, alike[0].dataset, concepts=spec.concepts, seed=spec.seed, **spec.params_of(name)
            )
            found |= {value.name: _kept(value) for value in values}
    return found


def _of_tasks(metrics: Sequence[MetricValue]) -> dict[str, Measured]:
    """Return metrics of tasks by ``task/name``, and by ``name`` where one task alone has it."""
    found: dict[str, Measured] = {}
    names = [metric.name for metric in metrics]
    for metric in metrics:
        value = _kept(metric)
        found[f"{metric.task_key}/{metric.name}"] = value
        if names.count(metric.name) == 1:
            found[metric.name] = value
    return found


def _of_whole(evaluator: FactoringEvaluator, dataset: str, spec: EvalSpec) -> dict[str, Measured]:
    """Return the numbers of the whole representation by name; under '' why there are none."""
    try:
        factoring: Factoring = evaluator.ufr(
            dataset, concepts=spec.concepts, own=dict(spec.own), match=spec.match, seed=spec.seed
        )
    except InvalidInput as error:
        return {"": Measured(reason=str(error))}
    values = dict(factoring.suite.headline())
    ufr = factoring.suite.ufr
    for name, concepts in (("ufr_unified", ufr.unified), ("ufr_factored", ufr.factored)):
        values |= {f"{name}/{concept}": value for concept, value in concepts.items()}
    for name, scores in (
        ("cleanness", factoring.cleanness),
        ("cleanness_principal", factoring.cleanness_principal),
    ):
        values |= {f"{name}/{concept}": score.score.cleanness for concept, score in scores.items()}
    return {
        name: Measured(
            value=value.value if value.defined else None,
            reason=value.reason,
            sample=factoring.sample,
            low=value.low,
            high=value.high,
        )
        for name, value in values.items()
    } | {f"cleanness/{concept}": Measured(reason=reason) for concept, reason in factoring.unmeasured.items()}


def _unknown(name: str, known: Sequence[str]) -> Measured:
    shown = ", ".join(sorted(each for each in known if each)) or "nothing"
    return Measured(reason=f"{name!r} was not measured; measured: {shown}")


def _costs(run: TrainRun, seconds: float) -> dict[str, float]:
    job = run.checkpoint.header.spec
    used = {task.dataset for task in job.tasks if task.enabled}
    return {
        "seconds": seconds,
        "steps": float(job.train.steps),
        "images": float(job.train.steps * job.train.batch_size * job.train.accumulate * len(used)),
    }


def _of_costs(outcomes: Sequence[Outcome], took: Mapping[str, float]) -> dict[str, Measured]:
    return {
        outcome.name: Measured(value=took[outcome.measured_as])
        for outcome in outcomes
        if outcome.measured_as in COSTS
    }


def study(
    data: AccDataset | Mapping[str, AccDataset],
    arms: Mapping[str, Mapping[str, Any]],
    *,
    outcomes: Sequence[str | Mapping[str, Any] | Outcome],
    claims: str | Sequence[str] = (),
    seeds: int | Sequence[int] = 5,
    name: str = "study",
    question: str = "",
    root: Mapping[str, Any] | None = None,
    measure_on: Mapping[str, AccDataset] | None = None,
    stop_when_decided: bool = False,
    rests_on: str = "signs",
    alpha: float = 0.05,
    chosen_on: Sequence[int] = (),
    folder: str | Path | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
    retry_failed: bool = False,
    metrics: Sequence[type[Metric]] = (),
    run: bool = True,
    **options: Any,
) -> StudyRun:
    """Train each arm with each seed, measure the outcomes, and return what may be said of the claims.

    arms: name -> what it gives to ``acc.api.train`` besides ``options``, which all of them have. outcomes: names of
    metrics (``ufr``, ``accuracy``, ``digit/accuracy``, ``seconds``; of a plugin ``Class.number``), or the fields of
    ``Outcome``. metrics: classes of metrics that are no plugins, as in a notebook. claims: such as
    ``curriculum > digits only on ufr by at least .05``. seeds: how many, or which; a seed seeds all of a run, so that
    arms of a seed begin with the same weights and hold out the same rows. root: what is trained first, once for each
    seed, over ``options``; all arms go on from there. measure_on: datasets that outcomes look at, to train nobody on.
    stop_when_decided: judge after each seed, and end once no claim is open; see ``Study``. chosen_on: seeds by which
    its arms were chosen, which are refused here.
    folder: where it is kept; the same folder goes on with what is there, and does nothing twice. What an arm does, or
    what is measured, being other than it was, is done anew. workers: processes at once, by default one a core; 0: this
    process. progress: told after each result. retry_failed: do again what raised an error before; verdicts tell of it.
    run: False only plans it.
    Each process computes with one thread. Raises InvalidInput naming the field that is wrong, before anything is run.
    """
    usual = {"threads": 1, **options}
    if not arms:
        raise InvalidInput(arms="there is none; give one or more")
    _require_arguments_of_arms(
        {"": options, "root.": root or {}, **{f"arms.{arm}.": arms[arm] for arm in arms}}
    )
    local = Local(
        data if isinstance(data, Mapping) else {ONLY_DATASET: data},
        {arm: {**usual, **given} for arm, given in arms.items()},
        measure_on or {},
        None if root is None else {**usual, **root},
        tuple(metrics),
    )
    first, *others = arms
    settings = local.settings(first)
    told: list[dict[str, Any]] = [{"name": first}]
    for arm in others:
        changes = patch(settings, local.settings(arm))
        told.append({"name": arm, "changes": changes, "says": local.says(arm, first)})
    fields: dict[str, Any] = {
        "name": name,
        "question": question,
        "settings": settings,
        "arms": told,
        "seeds": seeds if isinstance(seeds, int) else tuple(seeds),
        "outcomes": [_outcome(outcome) for outcome in outcomes],
        "claims": claims,
        "alpha": alpha,
        "stop_when_decided": stop_when_decided,
        "rests_on": rests_on,
        "chosen_on": tuple(chosen_on),
    }
    plan: Study = parse(Study, fields)
    if root is not None:
        _require_one_model(plan)
    for outcome in plan.outcomes:
        eval_spec([outcome])
        _require(outcome.dataset, local)
    place = Path(folder) if folder is not None else Path(tempfile.mkdtemp(prefix="acc-study-"))
    (place / RESULTS).mkdir(parents=True, exist_ok=True)
    made = StudyRun(plan, local, place)
    if (place / PLAN).exists():
        before = _plan(place / PLAN)
        plan = before.revised(seen=made.seen, **{key: value for key, value in fields.items() if key != "claims"},
                              claims=[str(claim) for claim in plan.claims])  # fmt: skip
        made = StudyRun(plan, local, place)
    _keep(plan, place)
    return made.go(workers, progress, retry_failed=retry_failed) if run else made


def _require_arguments_of_arms(given: Mapping[str, Mapping[str, Any]]) -> None:
    for before, arguments in given.items():
        for name in OF_THE_STUDY.keys() & arguments.keys():
            raise InvalidInput(
                {f"{before}{name}": f"{arguments[name]!r:.80} is refused; {OF_THE_STUDY[name]}"}
            )


def _outcome(outcome: str | Mapping[str, Any] | Outcome) -> dict[str, Any]:
    if isinstance(outcome, Outcome):
        return outcome.model_dump()
    return {"name": outcome} if isinstance(outcome, str) else dict(outcome)


def _require_one_model(plan: Study) -> None:
    for arm in plan.arms:
        settings = plan.settings_of(arm.name)
        if changed := paths(patch(settings["root"]["model"], settings["model"])):
            raise InvalidInput(
                root=f"'{arm.name}' cannot go on from it: its model differs in {', '.join(changed)}; give both the same"
            )


def _require(dataset: str, local: Local) -> None:
    known = [*local.data, *local.measure_on]
    if dataset and dataset not in known:
        raise InvalidInput(
            outcomes=f"{dataset!r} is not a dataset of this study; there are: {', '.join(known)}"
        )


def _keep(plan: Study, folder: Path) -> None:
    """Write the plan where it is another than the one that is kept; raises InvalidInput where that is worked on."""
    path, text = folder / PLAN, plan.to_json()
    if not path.exists() or path.read_text() != text:
        with _locked(folder):
            _write(path, text)


def _plan(path: Path) -> Study:
    """Return the plan that is kept; raises InvalidInput naming its file where that is damaged."""
    try:
        return Study.from_json(path.read_text())
    except (InvalidInput, UnicodeDecodeError) as error:
        raise InvalidInput(
            folder=f"{str(path)!r} is damaged ({in_words(error)}); put back a copy of it, or give another folder: "
            "without the plan nobody knows what was changed after looking"
        ) from error


def _read(path: Path, place: Place) -> Result:
    """Return a result that is kept; raises InvalidInput that names its file, and what to do, where that is damaged."""
    arm, seed = place
    try:
        result = Result.model_validate_json(path.read_text())
        why = "" if (result.arm, result.seed) == place else f"it is of '{result.arm}', seed {result.seed}"
    except ValueError as error:  # no JSON, no text, or no result
        why = in_words(error).splitlines()[0]
    if why:
        raise InvalidInput(
            folder=f"{str(path)!r}, the result of '{arm}', seed {seed}, is damaged ({why}); put back a copy of it, or "
            "delete it and run the study again, which does that seed once more; all others are kept"
        )
    return result


def _hash(settings: Any) -> str:
    return text_sha256(json.dumps(settings, sort_keys=True))


def _write(path: Path, text: str) -> None:
    with contextlib.suppress(FileExistsError):
        path.parent.mkdir(parents=True)
    write_atomically(path, text.encode())

"""The client: one object for the site, one attribute for each kind of thing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar, cast
from urllib.parse import urlencode

from acc.client.following import Following, Points, Update, history
from acc.client.multipart import Multipart
from acc.client.rows import (
    Branch,
    Checkpoint,
    CheckpointDetail,
    Dataset,
    Evaluation,
    Experiment,
    ImportLook,
    Job,
    JobDetail,
    JobEvent,
    JobLog,
    News,
    NewsCounts,
    Run,
    RunDetail,
    RunGroup,
    RunRow,
    Study,
    StudyDetail,
    Task,
    Worker,
)
from acc.client.transport import Transport
from acc.errors import InvalidInput

R = TypeVar("R")


class Client:
    """A site as a program sees it. The token comes from the profile page or from ``manage.py tokens make``.

    ``Client("http://127.0.0.1:8000", token).experiments.list()``. Refusals raise ``ApiError``, a site that does
    not answer ``Unreachable``.
    """

    def __init__(self, url: str, token: str, *, timeout: float = 30.0) -> None:
        self._transport = Transport(url, token, timeout=timeout)
        self.experiments = Experiments(self._transport, "experiments")
        self.branches = Branches(self._transport, "branches")
        self.tasks = Tasks(self._transport, "tasks")
        self.jobs = Jobs(self._transport, "jobs")
        self.runs = Runs(self._transport, "runs")
        self.workers = Rows[Worker](self._transport, "workers")
        self.datasets = Datasets(self._transport, "datasets")
        self.studies = Studies(self._transport, "studies")
        self.recipes = Recipes(self._transport, "recipes/runs")
        self.evaluations = Evaluations(self._transport, "evaluations")
        self.checkpoints = Checkpoints(self._transport, "checkpoints")

    def news(self, *, everyones: bool = False, limit: int | None = None) -> News:
        """Return what happened and what waits, and how much is unread: of one's own, or of all that one may see."""
        asked = {"of": "all" if everyones else None, "limit": limit}
        words = urlencode({name: value for name, value in asked.items() if value is not None})
        return cast(News, self._transport.json("GET", f"news/?{words}" if words else "news/"))

    def read_news(self, upto: News | None = None) -> NewsCounts:
        """Note that the news were read, those of ``upto`` or all, and return how much is unread then."""
        body = {"event": upto["event"], "read_at": upto["read_at"]} if upto else {}
        return cast(NewsCounts, self._transport.json("POST", "news/read/", body))

    def follow(self, job: int, *, start: int = 0) -> Iterator[Update]:
        """Yield states and loss points (from step ``start`` on) of a job, as they come, until it has ended.

        Every step is given once, whatever the network does, unless a resume makes some of them again.
        """
        return Following(self._transport, job, start).updates()


class Rows(Generic[R]):
    """Rows of one kind: listed, and found by id or slug."""

    def __init__(self, transport: Transport, path: str) -> None:
        self._transport, self._path = transport, path

    def list(self, **filters: Any) -> Iterator[R]:
        """Yield the rows that the user may see; ``filters`` as the API documents them."""
        return self._transport.pages(f"{self._path}/", **filters)

    def get(self, key: int | str) -> R:
        """Return one row; raises ApiError (404)."""
        return cast(R, self._transport.json("GET", f"{self._path}/{key}/"))

    def act(self, thing: int | str, verb: str, /, *, key: str | None = None, **fields: Any) -> dict[str, Any]:
        """Return what came of an action on an object, by id or slug: the row that it made, or that it changed.

        ``verb`` and ``fields`` as the API documents them (``POST <objects>/{id}/<verb>/``). ``key``: an idempotency
        key, for actions that start work; sent again with the same key, it is done once.
        """
        path = f"{self._path}/{thing}/{verb}/"
        if key is not None:
            return cast(dict[str, Any], self._transport.submit(path, fields, key))
        return cast(dict[str, Any], self._transport.json("POST", path, fields))

    def __getattr__(self, verb: str) -> Callable[..., dict[str, Any]]:
        """Return the action of that name: ``client.branches.duplicate(7, name="again")``."""
        if verb.startswith("_"):
            raise AttributeError(verb)

        def act(thing: int | str, /, **fields: Any) -> dict[str, Any]:
            return self.act(thing, verb, **fields)

        return act


class Experiments(Rows[Experiment]):
    """Experiments, by slug."""

    def create(
        self,
        name: str,
        model: Mapping[str, Any] | None = None,
        *,
        visibility: str = "site",
        dataset: str = "",
        method: str = "",
        method_params: Mapping[str, Any] | None = None,
    ) -> Experiment:
        """Return a new experiment with its branch ``main``; ``model``: ``acc.specs.ModelSpec`` as plain data.

        dataset: the branch begins with tasks on it. method: gives these tasks, what ``model`` leaves out, and the
        settings of trainings.
        """
        body: dict[str, Any] = {"name": name, "model": dict(model or {}), "visibility": visibility}
        body |= {"dataset": dataset} if dataset else {}
        body |= {"method": method, "method_params": dict(method_params or {})} if method else {}
        return cast(Experiment, self._transport.json("POST", "experiments/", body))


class Branches(Rows[Branch]):
    """Branches, by id."""

    def create(
        self,
        experiment: str,
        name: str,
        *,
        from_checkpoint: int | None = None,
        tasks: str | Sequence[str] = "all",
    ) -> Branch:
        """Return a new branch from a checkpoint, or from the model as its seed makes it.

        ``tasks``: which of those it was trained with it takes along: ``all``, ``none``, or keys.
        """
        body = {
            "experiment": experiment,
            "name": name,
            "from_checkpoint": from_checkpoint,
            "tasks": tasks if isinstance(tasks, str) else list(tasks),
        }
        return cast(Branch, self._transport.json("POST", "branches/", body))


class Tasks(Rows[Task]):
    """Tasks, by id."""

    def create(self, branch: int, task_class: str, dataset: str, **fields: Any) -> Task:
        """Return a new task; ``fields``: name, weight, enabled, latent_slice, factor, params."""
        body = {"branch": branch, "task_class": task_class, "dataset": dataset, **fields}
        return cast(Task, self._transport.json("POST", "tasks/", body))

    def change(self, task: int, *, weight: float | None = None, enabled: bool | None = None) -> Task:
        """Return the task with another weight, or switched on or off; a running job hears of it."""
        asked = {"weight": weight, "enabled": enabled}
        body = {name: value for name, value in asked.items() if value is not None}
        return cast(Task, self._transport.json("PATCH", f"tasks/{task}/", body))

    def remove(self, task: int) -> None:
        """Take a task off its branch."""
        self._transport.json("DELETE", f"tasks/{task}/")


class Jobs(Rows[Job]):
    """Jobs, by id. What is submitted is done once, even if the network makes it be sent twice.

    An action that is called by its name, such as ``retry``, is so if it is given ``key=``.
    """

    def get(self, key: int | str) -> JobDetail:
        """Return one job, with what it waits for, and of a failed one the last lines that it printed."""
        return cast(JobDetail, super().get(key))

    def train(self, branch: int, *, key: str | None = None, **train: Any) -> Job:
        """Return a queued train job; ``train``: what ``acc.specs.TrainSpec`` takes, such as steps and lr."""
        return self._submit({"kind": "train", "branch": branch, "train": train}, key)

    def log(
        self,
        job: int,
        *,
        attempt: int | None = None,
        rank: int | None = None,
        offset: int = 0,
        search: str = "",
    ) -> JobLog:
        """Return a part of what a job printed, from byte ``offset`` on, or with ``search`` the lines that hold it.

        Without an attempt and a rank, of the newest attempt and its first rank. ``next_offset`` goes on.
        """
        asked = {"attempt": attempt, "rank": rank, "offset": offset or None, "search": search or None}
        query = {name: value for name, value in asked.items() if value is not None}
        return cast(JobLog, self._transport.json("GET", f"jobs/{job}/log/", **query))

    def losses(
        self,
        job: int,
        series: Sequence[str] | None = None,
        *,
        start: int | None = None,
        stop: int | None = None,
    ) -> Points:
        """Return what a job's losses were at each step from ``start`` to before ``stop``; all steps by default.

        series: the names wanted, such as ``raw/digit``, all by default; one that the job never had is left out.
        """
        asked = {"series": ",".join(series) if series is not None else None, "from": start, "to": stop}
        return history(self._transport, job, **asked)[1]

    def resume(self, job: int) -> Job:
        """Return a paused job that goes on, or a failed or stopped one, queued to go on at its newest checkpoint."""
        return cast(Job, self._transport.json("POST", f"jobs/{job}/resume/", {}))

    def evaluate(self, checkpoint: int, *, key: str | None = None, **evaluation: Any) -> Job:
        """Return a queued evaluation of a checkpoint; ``evaluation``: what ``acc.specs.EvalSpec`` takes."""
        return self._submit({"kind": "evaluate", "checkpoint": checkpoint, "eval": evaluation}, key)

    def generate(self, generator: str, *, key: str | None = None, **fields: Any) -> Job:
        """Return a queued job that makes a dataset; ``fields``: name, n, seed, params."""
        return self._submit({"kind": "generate", "generator": generator, **fields}, key)

    def pause(self, job: int) -> None:
        """Ask a job to pause."""
        self.act(job, "pause")

    def stop(self, job: int) -> None:
        """Ask a job to stop; it keeps the step that it reached."""
        self.act(job, "stop")

    def control(self, job: int, kind: str, **payload: Any) -> JobEvent:
        """Return the event by which a job is asked something, such as ``control(7, "set_lr", lr=1e-4)``."""
        body = {"kind": kind, "payload": payload}
        return cast(JobEvent, self._transport.json("POST", f"jobs/{job}/control/", body))

    def _submit(self, body: dict[str, Any], key: str | None) -> Job:
        return cast(Job, self._transport.submit("jobs/", body, key))


class Evaluations(Rows[Evaluation]):
    """Evaluations, by id."""

    def picture(self, evaluation: int, artifact: int) -> bytes:
        """Return the bytes of a picture."""
        where = f"evaluations/{evaluation}/artifacts/{artifact}/"
        return self._transport.send("GET", where, headers={"Accept": "*/*"})


class Checkpoints(Rows[Checkpoint]):
    """Checkpoints, by id."""

    def get(self, key: int | str) -> CheckpointDetail:
        """Return one checkpoint with everything that made it."""
        return cast(CheckpointDetail, super().get(key))

    def model(self, checkpoint: int) -> dict[str, Any]:
        """Return what its model is made of, as ``acc.description.ModelDescription`` has it."""
        return cast(dict[str, Any], self._transport.json("GET", f"checkpoints/{checkpoint}/model/"))

    def download(self, checkpoint: int, path: str | Path) -> Path:
        """Write an exported checkpoint, which ``acc.load`` opens, to ``path`` and return it."""
        target = Path(path)
        self._transport.download(f"checkpoints/{checkpoint}/export/", target)
        return target


class Datasets(Rows[Dataset]):
    """Datasets, by slug."""

    def upload(
        self,
        path: str | Path,
        *,
        name: str = "",
        labels: str | Path | None = None,
        mapping: Mapping[str, Any] | None = None,
        like: str = "",
        scale: str = "",
        pixels: str = "",
        part: str = "",
        look: bool = False,
        key: str | None = None,
    ) -> Job:
        """Return the queued job that takes a file, or the files of a folder, in; labels: its targets in another file.

        mapping: what is to become of it, whole, as a look proposes it; like: a dataset whose mapping is taken; without
        either as is proposed, but for scale (the values that are black and white, ``0..1``), pixels and part (of a
        split). look: only look; ``looked`` says what was found.
        """
        source = Path(path)
        files = [("file", file) for file in _files_below(source)] if source.is_dir() else [("file", source)]
        fields = {
            "name": name,
            "mapping": "" if mapping is None else json.dumps(mapping),
            "like": like,
            "scale": scale,
            "pixels": pixels,
            "part": part,
            "look": "true" if look else "",
        }
        if source.is_dir():
            inside = [f"{source.resolve().name}/{file.relative_to(source).as_posix()}" for _, file in files]
            fields["paths"] = json.dumps(inside)
        files += [] if labels is None else [("labels", Path(labels))]
        form = Multipart({field: text for field, text in fields.items() if text}, files)
        return cast(Job, self._transport.upload("datasets/import/", form, key))

    def looked(self, job: int) -> ImportLook:
        """Return what a job has found in files, the mapping that it proposes, and how images and targets come out."""
        return cast(ImportLook, self._transport.json("GET", f"datasets/import/{job}/"))

    def take(self, job: int, *, key: str | None = None, **told: Any) -> Job:
        """Return the queued job that imports what a job has looked at.

        told: ``mapping`` whole, else as it was proposed, but for ``scale``, ``pixels`` and ``parts``; ``name``;
        ``look=True`` only looks again by it.
        """
        return cast(Job, self._transport.submit("datasets/import/", {"job": job, **told}, key))

    def from_server(self, path: str, *, key: str | None = None, **told: Any) -> Job:
        """Return the queued job that takes in what lies at a path of the server; told: as of ``take``, and ``like``."""
        return cast(Job, self._transport.submit("datasets/import/", {"path": path, **told}, key))

    def download(self, slug: str, path: str | Path, *, kind: str = "npz") -> Path:
        """Write a dataset to ``path`` as npz, pt, zip (of PNGs) or csv (of targets), and return it."""
        target = Path(path)
        self._transport.download(f"datasets/{slug}/export/?format={kind}", target)
        return target


class Runs:
    """The table of runs: trainings with their parameters, losses, metrics and cost, over all experiments."""

    def __init__(self, transport: Transport, path: str) -> None:
        self._transport, self._path = transport, path

    def list(self, filter: str = "", *, sort: str = "", columns: Sequence[str] = ()) -> Iterator[RunRow]:
        """Yield the runs of which a filter holds, such as ``ufr > .5 and lr = .001``; newest first, or by ``sort``."""
        asked = {"filter": filter, "sort": sort, "columns": _quoted(columns)}
        return self._transport.pages(
            f"{self._path}/", **{name: value for name, value in asked.items() if value}
        )

    def columns(self) -> dict[str, str]:
        """Return the columns that there are, and of each whether it is a number, text, state or time."""
        found = self._transport.json("GET", f"{self._path}/columns/")["columns"]
        return {column["name"]: column["kind"] for column in found}

    def groups(
        self, by: str, filter: str = "", *, sort: str = "", columns: Sequence[str] = ()
    ) -> Sequence[RunGroup]:
        """Return runs in groups by a column: of each other column that is a number the mean, its interval, and n."""
        asked = {"by": by, "filter": filter, "sort": sort, "columns": _quoted(columns)}
        told = {name: value for name, value in asked.items() if value}
        return cast(
            Sequence[RunGroup], self._transport.json("GET", f"{self._path}/groups/", **told)["groups"]
        )

    def download(
        self, path: str | Path, filter: str = "", *, sort: str = "", columns: Sequence[str] = ()
    ) -> Path:
        """Write all runs of which a filter holds to a file, .csv or .parquet, and return its path."""
        target = Path(path)
        asked = {"form": target.suffix[1:], "filter": filter, "sort": sort, "columns": _quoted(columns)}
        words = urlencode({name: value for name, value in asked.items() if value})
        self._transport.download(f"{self._path}/export/?{words}", target)
        return target


def _quoted(names: Sequence[str]) -> str:
    doubled = (name.replace('"', '""') for name in names)
    return ",".join(f'"{name}"' if set(name) & set(',"') else name for name in doubled)


class Studies(Rows[Study]):
    """Studies, by slug."""

    def get(self, key: int | str) -> StudyDetail:
        """Return one study with its plan and every number."""
        return cast(StudyDetail, super().get(key))

    def export(self, key: str, path: str | Path, *, part: str = "all", curve: str = "") -> Path:
        """Write a study to a file and return its path: .html, .tex, .csv, .parquet, or a figure as .svg or .pdf.

        part: of a figure: all, outcomes, differences, curves. curve: the loss or metric of its curves.
        """
        target = Path(path)
        form = {"tex": "latex"}.get(target.suffix[1:], target.suffix[1:])
        words = urlencode({"form": form, "part": part, **({"curve": curve} if curve else {})})
        self._transport.download(f"{self._path}/{key}/export/?{words}", target)
        return target


class Recipes(Rows[Run]):
    """Runs of recipes, by id."""

    def get(self, key: int | str) -> RunDetail:
        """Return one run with its phases, steps and log."""
        return cast(RunDetail, super().get(key))

    def run(self, recipe: str, *, seed: int = 0, key: str | None = None, **params: Any) -> Run:
        """Return a queued run of a recipe; ``params``: the recipe's own, such as steps."""
        body = {"recipe": recipe, "seed": seed, "params": params}
        return cast(Run, self._transport.submit("recipes/run/", body, key))

    def stop(self, run: int) -> Run:
        """Stop a run and the jobs that it has under way."""
        return cast(Run, self._transport.json("POST", f"recipes/runs/{run}/stop/"))

    def resume(self, run: int) -> Run:
        """Go on with a run that was stopped or failed; what was done is not done again."""
        return cast(Run, self._transport.json("POST", f"recipes/runs/{run}/resume/"))


def _files_below(folder: Path) -> list[Path]:
    """Return the files of a folder that are not hidden, by their paths; raises InvalidInput (path) for none."""
    found = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    shown = [
        path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
    if not shown:
        raise InvalidInput({"path": f"'{folder}' holds no file"})
    return shown

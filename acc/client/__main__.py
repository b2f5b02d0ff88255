"""``python -m acc.client``: a site from any shell that reaches it. ACC_URL and ACC_TOKEN say which, and who asks."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from acc.client.client import Client
from acc.client.following import Points, State
from acc.client.rows import ImportLook, Job
from acc.client.transport import ApiError
from acc.errors import AccError, InvalidInput

DONE, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
COLUMNS = {
    "experiments": ("slug", "owner", "visibility"),
    "branches": ("id", "experiment", "slug", "head"),
    "tasks": ("id", "branch", "key", "weight", "enabled"),
    "jobs": ("id", "kind", "state", "step", "total_steps", "title"),
    "workers": ("id", "name", "device", "state"),
    "checkpoints": ("id", "experiment", "branch", "step", "kind", "tag"),
    "datasets": ("slug", "n", "channels", "height", "width"),
    "runs": ("id", "recipe", "state", "seed"),
}


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = argparse.ArgumentParser(prog="python -m acc.client", description=__doc__)
    top.add_argument("--url", default=os.environ.get("ACC_URL", "http://127.0.0.1:8000"), help="%(default)s")
    top.add_argument("--json", action="store_true", help="print JSON, one object a line")
    verbs = top.add_subparsers(dest="verb", required=True)
    for name in COLUMNS:
        verb = verbs.add_parser(name, help=f"list {name}")
        verb.add_argument(
            "filters", nargs="*", metavar="NAME=VALUE", help="as the API takes them: state=active"
        )
    about = {
        "train": "id of a branch, or experiment/branch",
        "evaluate": "id of a checkpoint",
        "generate": "class of a generator",
        "recipe": "class of a recipe",
    }
    for name, what in about.items():
        verb = verbs.add_parser(name, help=f"submit: {what}")
        verb.add_argument("what", help=what)
        verb.add_argument("fields", nargs="*", metavar="NAME=VALUE", help="such as steps=200")
        verb.add_argument("--follow", action="store_true", help="watch the job until it has ended")
        verb.add_argument("--key", help="sent again with the same key, it is done once")
    for name in ("follow", "pause", "resume", "stop"):
        verbs.add_parser(name, help=f"{name} a job").add_argument("job", type=int)
    verb = verbs.add_parser("act", help="do something to an object: act branches 7 duplicate name=again")
    verb.add_argument("objects", choices=sorted(COLUMNS), help="of which kind it is")
    verb.add_argument("what", help="its id or slug")
    verb.add_argument("action", help="as the API names it")
    verb.add_argument("fields", nargs="*", metavar="NAME=VALUE", help="what is asked")
    verb = verbs.add_parser("log", help="print what a job printed")
    verb.add_argument("job", type=int)
    verb.add_argument("--search", default="", help="only the lines that hold this")
    verb.add_argument("--attempt", type=int, help="default: the newest that printed")
    verb.add_argument("--rank", type=int, help="default: the first that printed")
    verb = verbs.add_parser("download", help="write an exported checkpoint to a file")
    verb.add_argument("checkpoint", type=int)
    verb.add_argument("path")
    verb = verbs.add_parser("upload", help="make a dataset of a file or a folder")
    verb.add_argument("path")
    verb.add_argument("--labels", help="a file of targets")
    verb.add_argument("--scale", default="", help="the values that are black and white, LOW..HIGH")
    verb.add_argument("--part", default="", help="the part of a split to take")
    verb.add_argument("--like", default="", help="a dataset, whose mapping is taken")
    verb.add_argument("--look", action="store_true", help="only look; `looked` says what was found")
    verb.add_argument("--mapping", type=mapping, help="a file of a mapping, such as `--json looked` prints")
    verb.add_argument("--name", default="")
    verb.add_argument("--follow", action="store_true", help="watch the job until it has ended")
    verb = verbs.add_parser("looked", help="say what a job has found in a file")
    verb.add_argument("job", type=int)
    verb = verbs.add_parser("take", help="import what a job has looked at")
    verb.add_argument("job", type=int)
    verb.add_argument("--mapping", type=mapping, help="a file of a mapping (default: as it was proposed)")
    verb.add_argument("--name", default="")
    verb.add_argument("--follow", action="store_true", help="watch the job until it has ended")
    return top


def pairs(words: Iterable[str]) -> dict[str, Any]:
    """Return NAME=VALUE as a dict, values read as JSON where they are JSON; raises InvalidInput."""
    found: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise InvalidInput({"NAME=VALUE": f"{word!r} is not of that form, such as steps=200"})
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


def mapping(path: str) -> dict[str, Any]:
    """Return the mapping that a file holds, alone or beside the rest of what was found."""
    try:
        told = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"{path!r} is no file of JSON: {error}") from error
    found = told.get("mapping", told) if isinstance(told, dict) else None
    if not isinstance(found, dict):
        raise argparse.ArgumentTypeError(f"{path!r} holds no mapping; `--json looked JOB` prints one")
    return found


class Shell:
    """One command, asked of one site."""

    def __init__(self, client: Client, *, as_json: bool) -> None:
        self.client, self.as_json = client, as_json

    def run(self, asked: argparse.Namespace) -> int:
        """Do what was asked and return the exit status."""
        verb: str = asked.verb
        if verb in COLUMNS:
            self.show(self.rows(verb).list(**pairs(asked.filters)), COLUMNS[verb])
            return DONE
        if verb == "follow":
            return self.follow(asked.job)
        if verb == "log":
            self.log(asked)
        elif verb == "act":
            made = self.rows(asked.objects).act(asked.what, asked.action, **pairs(asked.fields))
            self.show([made], [name for name in ("id", "slug", "name", "state", "title") if name in made])
        elif verb in {"pause", "resume", "stop"}:
            self.client.jobs.act(asked.job, verb)
            self.show([self.client.jobs.get(asked.job)], COLUMNS["jobs"])
        elif verb == "looked":
            self.looked(self.client.datasets.looked(asked.job))
        elif verb == "download":
            path = self.client.checkpoints.download(asked.checkpoint, asked.path)
            self.show([{"path": str(path), "bytes": path.stat().st_size}], ("path", "bytes"))
        else:
            job = self.submit(asked)
            if asked.follow:
                return self.follow(job["id"])
            self.show([job], COLUMNS["jobs"])
        return DONE

    def looked(self, look: ImportLook) -> None:
        """Print what was found in a file, and the options that say what it becomes."""
        source = look["source"] or {}
        lines = [f"job {look['job']}: {look['state']} {look['message']}".strip()]
        if source:
            lines.append(
                f"{source['file']}: {source['layout'] or source['format']}, {source['rows']:,} images"
            )
            lines += [f"passed over: '{each['name']}', {each['why']}" for each in source["passed_over"]]
        lines += [
            f"asks for {each['field']}: {each['words']}" for each in look["questions"] if each["needed"]
        ]
        lines += [f"{field}: {said}" for field, all_said in look["errors"].items() for said in all_said]
        self.say(look, "\n".join([*lines, " ".join(look["command"])]).strip())

    def log(self, asked: argparse.Namespace) -> None:
        """Print the log of a job, part by part."""
        offset, more = 0, True
        while more:
            part = self.client.jobs.log(
                asked.job, attempt=asked.attempt, rank=asked.rank, offset=offset, search=asked.search
            )
            text = "\n".join(line["text"] for line in part["lines"]) if asked.search else part["text"]
            if self.as_json or text:
                self.say(part, text.removesuffix("\n"))
            more = not asked.search and part["next_offset"] > offset and part["next_offset"] < part["bytes"]
            offset = part["next_offset"]

    def rows(self, name: str) -> Any:
        """Return what lists the rows of a kind."""
        return self.client.recipes if name == "runs" else getattr(self.client, name)

    def submit(self, asked: argparse.Namespace) -> Job:
        """Return the job that was made."""
        if asked.verb == "upload":
            told = {
                name: getattr(asked, name)
                for name in ("name", "labels", "scale", "part", "like", "look", "mapping")
            }
            return self.client.datasets.upload(asked.path, **told)
        if asked.verb == "take":
            told = {name: getattr(asked, name) for name in ("name", "mapping") if getattr(asked, name)}
            return self.client.datasets.take(asked.job, **told)
        fields = pairs(asked.fields)
        if asked.verb == "recipe":
            job = self.client.recipes.run(asked.what, key=asked.key, **fields)["job"]
            assert job is not None
            return job
        ask: Callable[..., Job] = getattr(self.client.jobs, asked.verb)
        what: int | str = asked.what
        if asked.verb == "train":
            what = self.branch(asked.what)
        elif asked.verb == "evaluate":
            what = _number(asked.what, "checkpoint")
        return ask(what, key=asked.key, **fields)

    def branch(self, name: str) -> int:
        """Return the id of a branch that is named by it, or as experiment/branch."""
        experiment, slash, slug = name.partition("/")
        if not slash:
            return _number(name, "branch")
        rows = list(self.client.branches.list(experiment=experiment))
        for row in rows:
            if row["slug"] == slug:
                return row["id"]
        known = ", ".join(f"{row['experiment']}/{row['slug']}" for row in rows) or "none"
        raise InvalidInput({"branch": f"there is no branch {name!r}; known: {known}"})

    def follow(self, job: int) -> int:
        """Print a job's states and losses until it has ended; return whether it went well."""
        state = ""
        for update in self.client.follow(job):
            if isinstance(update, Points):
                last = {name: float(column[-1]) for name, column in update.columns.items() if len(column)}
                losses = "  ".join(f"{name} {value:.4g}" for name, value in last.items())
                self.say({"step": update.stop, "losses": last}, f"step {update.stop}  {losses}")
            elif isinstance(update, State) and (update.job["state"] != state or update.job["ended"]):
                state = update.job["state"]
                words = f"job {job} {state.lower()}  step {update.job['step']}/{update.job['total_steps']}"
                self.say(update.job, f"{words}  {update.job['message']}".rstrip())
        return DONE if state == "SUCCEEDED" else FAILED

    def show(self, rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> None:
        """Print rows: whole as JSON, or their columns with tabs between."""
        if not self.as_json:
            self.say(None, "\t".join(columns))
        for row in rows:
            cells = ("" if row.get(name) is None else str(row[name]) for name in columns)
            self.say(row, "\t".join(cells))

    def say(self, data: Any, words: str) -> None:
        """Print one line."""
        sys.stdout.write((json.dumps(data) if self.as_json else words) + "\n")
        sys.stdout.flush()


def _number(text: str, what: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise InvalidInput({what: f"{text!r} is not the id of a {what}"})
    return int(text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line; return its exit status: 0 done, 1 failed, 2 bad input, 130 left by Ctrl-C."""
    asked = parser().parse_args(arguments)
    token = os.environ.get("ACC_TOKEN", "")
    try:
        if not token:
            raise InvalidInput({"ACC_TOKEN": "is not set; make a token on your profile page"})
        return Shell(Client(asked.url, token), as_json=asked.json).run(asked)
    except (InvalidInput, ValueError, FileNotFoundError) as error:
        status, fault = BAD_INPUT, str(error)
    except ApiError as error:
        status, fault = BAD_INPUT if error.status == 422 else FAILED, str(error)
    except AccError as error:
        status, fault = FAILED, str(error)
    except KeyboardInterrupt:
        return INTERRUPTED
    sys.stderr.write(f"error: {fault}\n")
    return status


if __name__ == "__main__":
    sys.exit(main())

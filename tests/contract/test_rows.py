"""Rows of the client and of the selectors have the fields and types that the API's schema says, and no others."""

from __future__ import annotations

from datetime import datetime
from types import NoneType, UnionType
from typing import Any, Literal, NotRequired, Union, get_args, get_origin, get_type_hints
from typing import NotRequired as NotRequiredToo

import pytest
from drf_spectacular.generators import SchemaGenerator
from typing_extensions import is_typeddict

from acc import messages
from acc.client import rows
from acc.data import browse
from accsite.apps.datasets import selectors as datasets
from accsite.apps.jobs.selectors import logs
from accsite.apps.recipes import selectors as recipes
from accsite.apps.studies import selectors as studies
from accsite.apps.training.selectors import jobs as trainings
from accsite.apps.training.selectors import replays
from accsite.apps.trees.selectors import checkpoints
from accsite.apps.trees.selectors.tree import CompactTree

CLIENT = {
    "Branch": rows.Branch,
    "Experiment": rows.Experiment,
    "Task": rows.Task,
    "Worker": rows.Worker,
    "JobState": rows.Job,
    "JobDetail": rows.JobDetail,
    "JobEvent": rows.JobEvent,
    "JobLogPart": rows.JobLog,
    "LossHistory": rows.LossHistory,
    "RunSummary": rows.Run,
    "RunDetail": rows.RunDetail,
    "RunRow": rows.RunRow,
    "RunGroup": rows.RunGroup,
    "StudySummary": rows.Study,
    "StudyDetail": rows.StudyDetail,
    "Checkpoint": rows.Checkpoint,
    "CheckpointDetail": rows.CheckpointDetail,
    "Dataset": rows.Dataset,
    "ImportLook": rows.ImportLook,
    "Evaluation": rows.Evaluation,
}
SELECTORS = {
    "JobState": messages.Job,
    "JobSummary": trainings.JobSummary,
    "JobLogPart": logs.LogAnswer,
    "RunSummary": recipes.RunSummary,
    "RunDetail": recipes.RunState,
    "StudySummary": studies.StudySummary,
    "StudyDetail": studies.StudyState,
    "CheckpointDetail": checkpoints.CheckpointDetail,
    "Replayed": replays.Replayed,
    "Tree": CompactTree,
    "Samples": datasets.Samples,
    "Histogram": datasets.Histogram,
    "Pairs": browse.Pairs,
    "Statistics": browse.PixelFacts,
    "Comparison": browse.Comparison,
    "Nearest": datasets.Nearest,
}
PLAIN = {
    str: "string",
    datetime: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    NoneType: "null",
}
OPTIONAL = (NotRequired, NotRequiredToo)


@pytest.fixture(scope="module")
def components() -> dict[str, Any]:
    schema: Any = SchemaGenerator().get_schema(request=None, public=True)
    return dict(schema["components"]["schemas"])


def complaints(kind: Any, said: Any, components: dict[str, Any], where: str) -> list[str]:
    """Return where a type of Python is not as the schema says; Any may be anything, a text also a moment."""
    if kind is Any:
        return []
    choices = alternatives(said, components)
    if get_origin(kind) in {Union, UnionType}:
        kinds = get_args(kind)
        found = [
            f"{where}: {each} is none of what the schema says"
            for each in kinds
            if all(complaints(each, choice, components, where) for choice in choices)
        ]
        return found + [
            f"{where}: may be {choice.get('type')} as well"
            for choice in choices
            if all(complaints(each, choice, components, where) for each in kinds)
        ]
    if len(choices) != 1:
        return [f"{where}: {kind} is one of {len(choices)} that the schema says"]
    (choice,) = choices
    if is_typeddict(kind):
        return of_fields(kind, choice, components, where)
    return of_plain(kind, choice, components, where)


def of_fields(kind: Any, said: Any, components: dict[str, Any], where: str) -> list[str]:
    if said.get("type") == "object" and said.get("additionalProperties") is True:
        return []  # the schema leaves open what is in it
    fields, known = get_type_hints(kind, include_extras=True), said.get("properties", {})
    found = [f"{where}.{name}: only Python has it" for name in fields.keys() - known.keys()]
    found += [f"{where}.{name}: only the schema has it" for name in known.keys() - fields.keys()]
    for name in fields.keys() & known.keys():
        hint = fields[name]
        plain = get_args(hint)[0] if get_origin(hint) in OPTIONAL else hint
        found += complaints(plain, known[name], components, f"{where}.{name}")
    return found


def of_plain(kind: Any, said: Any, components: dict[str, Any], where: str) -> list[str]:
    origin, arguments = get_origin(kind), get_args(kind)
    wrong = [f"{where}: {kind} in Python, {said} in the schema"]
    if origin is Literal:
        return [] if said.get("type") == "string" else wrong
    if origin is list:
        if said.get("type") != "array":
            return [] if said == {} else wrong
        return complaints(arguments[0], said["items"], components, f"{where}[]")
    if origin is dict:
        if said.get("type") != "object":
            return [] if said == {} else wrong
        of_each = said.get("additionalProperties")
        return (
            complaints(arguments[1], of_each, components, f"{where}{{}}")
            if of_each not in (None, True)
            else []
        )
    return [] if said.get("type") == PLAIN[kind] else wrong


def alternatives(said: Any, components: dict[str, Any]) -> list[Any]:
    """Return what a schema allows, references looked up: {} for anything."""
    if "$ref" in said:
        return alternatives(components[said["$ref"].rpartition("/")[2]], components)
    for word in ("anyOf", "oneOf", "allOf"):
        if word in said:
            return [choice for each in said[word] for choice in alternatives(each, components)]
    if isinstance(said.get("type"), list):
        return [{**said, "type": each} for each in said["type"]]
    if said.get("type") or "enum" in said:
        return [said if said.get("type") else {"type": "string"}]
    return [{}]


@pytest.mark.parametrize("name", CLIENT)
def test_a_row_of_the_client_is_what_the_api_answers_with(name, components):
    assert complaints(CLIENT[name], components[name], components, name) == []


@pytest.mark.parametrize("name", SELECTORS)
def test_a_row_of_a_selector_is_what_the_api_answers_with(name, components):
    assert complaints(SELECTORS[name], components[name], components, name) == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda fields: fields.pop("slug"), "Branch.slug: only Python has it"),
        (lambda fields: fields.update(more={"type": "string"}), "Branch.more: only the schema has it"),
        (lambda fields: fields.update(id={"type": "string"}), "Branch.id: "),
        (lambda fields: fields.update(head={"type": "integer"}), "Branch.head: "),
        (lambda fields: fields.update(name={"type": ["string", "null"]}), "Branch.name: "),
    ],
)
def test_a_row_that_is_not_so_is_found_out(change, sentence, components):
    branch = {**components["Branch"], "properties": dict(components["Branch"]["properties"])}
    change(branch["properties"])
    (complaint,) = complaints(rows.Branch, branch, components, "Branch")
    assert complaint.startswith(sentence)

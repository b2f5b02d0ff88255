"""The forms that make datasets: by a generator, or from a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from django import forms

from accsite.apps.datasets.services import generation
from accsite.apps.jobs.models import Job
from accsite.apps.registry.models import Plugin
from accsite.forms import ParamsForm, ServiceForm, choice, number, text
from accsite.names import MAX_NAME_LENGTH


class GenerateForm(ParamsForm):
    """The generator's own parameters, then how many images, the seed and a name."""

    COMMON = ("n", "seed", "name")

    n = number("Images", "empty: as many as the generator has", min=1, step=1)
    seed = number("Seed", "the same gives the same images", min=0, step=1)
    name = text("Name", "empty: after the generator", maxlength=80)
    idempotency_key = forms.CharField(required=False, widget=forms.HiddenInput)

    @property
    def own(self) -> list[forms.BoundField]:
        return [self[name] for name in self.param_fields.values()]

    @property
    def common(self) -> list[forms.BoundField]:
        return [self[name] for name in self.COMMON]


def beginning(chosen: Plugin | None, given: Mapping[str, str]) -> dict[str, Any]:
    """Return the values a form begins with: what was typed, else what ``?from=<dataset>`` was made from.

    Raises InvalidInput for a dataset that cannot be made anew.
    """
    values: dict[str, Any] = {"seed": "0", "idempotency_key": uuid4().hex}
    if given.get("from"):
        made = generation.regeneration(given["from"])
        values |= {"seed": made["seed"], "n": made["n"], "name": made["name"]}
        if chosen is not None and chosen.name == made["generator"]:
            values |= {f"params-{name}": _as_text(value) for name, value in made["params"].items()}
    return {**values, **{name: given[name] for name in given}}


def _as_text(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value


class ImportForm(ServiceForm):
    """A file, perhaps its targets in another, and a name."""

    file = forms.FileField(
        label="File",
        required=False,
        allow_empty_file=True,  # the service says what is wrong with it
        help_text="IDX (gzipped or not), .npz, .npy, .pt, a zip of images, or a dataset of ACC",
    )
    labels = forms.FileField(
        label="Targets, if they are in a file of their own",
        required=False,
        allow_empty_file=True,
        help_text="IDX, .npy or CSV for IDX and .npy; CSV for images",
    )
    name = text("Name", "empty: after the file", maxlength=MAX_NAME_LENGTH)
    pixels = choice(
        "Store pixels as",
        [("uint8", "uint8: 256 levels, a quarter of the size"), ("float32", "float32: as they are, 0 to 1")],
    )
    idempotency_key = forms.CharField(required=False, widget=forms.HiddenInput)


class KeepForm(ServiceForm):
    """What a look at a file has asked, with what is proposed, and the name that it is to have."""

    scale = text("Scale", "the pixel values that are black and white, LOW..HIGH")
    part = choice("Part", [])  # those that are in the file
    classes = choice("Folders", [("folders", "are the classes"), ("none", "are no classes")])
    name = text("Name", "empty: after the file", maxlength=MAX_NAME_LENGTH)
    idempotency_key = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(self, job: Job, data: Any = None) -> None:
        questions = {each["field"]: each for each in job.result.get("look", {}).get("questions", [])}
        begun = {name: each["answer"] or each["proposed"] for name, each in questions.items()}
        given = {"name": job.spec.get("name", ""), "idempotency_key": uuid4().hex}
        super().__init__(data, initial=begun | given)
        for name in generation.ANSWERS:
            asked = questions.get(name)
            if asked is None or (not asked["choices"][1:] and not asked["needed"]):
                del self.fields[name]
            elif name == "part":
                self.fields[name].widget.choices = [(each, each) for each in asked["choices"]]
            elif asked["needed"]:
                self.fields[name].help_text = asked["words"]

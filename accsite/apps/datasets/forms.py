"""The forms that make datasets: by a generator, or from files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from django import forms
from django.conf import settings

from accsite.apps.datasets.services import generation
from accsite.apps.registry.models import Plugin
from accsite.forms import ParamsForm, ServiceForm, number, text
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


class ManyFiles(forms.ClearableFileInput):
    """A field for one file or several."""

    allow_multiple_selected = True


class ImportForm(ServiceForm):
    """Files, or the path of one on the server; perhaps the targets in another file, and a name."""

    file = forms.FileField(
        label="File",
        required=False,
        allow_empty_file=True,  # the service says what is wrong with it
        widget=ManyFiles(attrs={"multiple": True}),
        help_text="one, or all of a folder: .npz, .npy, .pt, .h5, .mat, IDX, .parquet, .tar, .zip, images and tables",
    )
    labels = forms.FileField(
        label="Targets, if they are in a file of their own",
        required=False,
        allow_empty_file=True,
        help_text="IDX, .npy or CSV for IDX and .npy; CSV for images",
    )
    path = text("Or a path on the server", list="server-paths", spellcheck="false")
    name = text("Name", "empty: after the file", maxlength=MAX_NAME_LENGTH)
    like = forms.CharField(required=False, widget=forms.HiddenInput)
    idempotency_key = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not settings.ACC_IMPORT_ROOTS:
            del self.fields["path"]
        else:
            folders = ", ".join(map(str, settings.ACC_IMPORT_ROOTS))
            self.fields["path"].help_text = f"a file or folder below {folders}; it is read where it lies"

"""Forms that only parse: the services decide what is right, so that every door says the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django import forms

from acc.errors import InvalidInput


def number(label: str, help_text: str = "", **attrs: Any) -> forms.CharField:
    """Return a field for a number that a service will check."""
    return forms.CharField(
        label=label,
        help_text=help_text,
        required=False,
        widget=forms.NumberInput(attrs={"step": "any", **attrs}),
    )


def choice(label: str, choices: Iterable[tuple[str, str]], help_text: str = "") -> forms.CharField:
    """Return a select whose value a service will check."""
    return forms.CharField(
        label=label, help_text=help_text, required=False, widget=forms.Select(choices=list(choices))
    )


LONG_TEXT = 2_000
"""What may have so many letters has several lines."""


def text(label: str, help_text: str = "", **attrs: Any) -> forms.CharField:
    """Return a text that a service will check: a line, or several where so much is allowed."""
    several = attrs.get("maxlength", 0) >= LONG_TEXT
    return forms.CharField(
        label=label,
        help_text=help_text,
        required=False,
        widget=forms.Textarea(attrs={"rows": 3, **attrs}) if several else forms.TextInput(attrs=attrs),
    )


class ServiceForm(forms.Form):
    """A form whose payload goes to a service, and whose errors come back from it beside their fields."""

    use_required_attribute = False

    def payload(self) -> dict[str, Any]:
        """Return the fields that were filled in."""
        self.full_clean()
        return {name: value for name, value in self.cleaned_data.items() if value not in ("", None)}

    def refuse(self, error: InvalidInput) -> None:
        """Show the service's sentences beside their fields; what belongs to no field stands on top."""
        self.full_clean()
        for where, messages in error.fields.items():
            name = where if where in self.fields else where.rpartition(".")[2]
            known = name in self.fields
            for message in messages:
                self.add_error(
                    name if known else None, message if known or where == "__all__" else f"{where}: {message}"
                )


class ParamsForm(ServiceForm):
    """A form that is written by the parameters of a plugin, which are named ``params-<name>`` in it."""

    def __init__(self, params: Iterable[Mapping[str, Any]], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.param_fields: dict[str, str] = {}
        for param in params:
            field = param_field(param)
            self.param_fields[param["name"]] = f"params-{param['name']}"
            self.fields[f"params-{param['name']}"] = field

    def params(self) -> dict[str, Any]:
        """Return the parameters that were filled in; an unticked box is False."""
        self.full_clean()
        values = {name: self.cleaned_data.get(field) for name, field in self.param_fields.items()}
        return {name: value for name, value in values.items() if value not in ("", None)}

    def refuse(self, error: InvalidInput) -> None:
        """Show ``params.<name>`` beside its field."""
        fields = {
            f"params-{where.rpartition('.')[2]}"
            if where.rpartition(".")[2] in self.param_fields
            else where: messages
            for where, messages in error.fields.items()
        }
        super().refuse(InvalidInput(fields))


def param_field(param: Mapping[str, Any]) -> forms.Field:
    """Return the field of one parameter (``acc.params.Param.as_dict()``): type, default, limits, help."""
    words = param["name"].replace("_", " ")
    label = words[:1].upper() + words[1:] + (f" ({param['unit']})" if param.get("unit") else "")
    help_text, default = param.get("help") or "", param.get("default")
    if param.get("choices"):
        field: forms.Field = choice(label, [(str(item), str(item)) for item in param["choices"]], help_text)
    elif param.get("type") == "bool":
        field = choice(label, [("true", "yes"), ("false", "no")], help_text)
        default = "true" if default else "false"
    elif param.get("type") in ("int", "float"):
        limits = {name: param[name] for name in ("min", "max") if param.get(name) is not None}
        field = number(label, help_text, **({"step": 1} if param["type"] == "int" else {}), **limits)
    else:
        field = text(label, help_text)
    field.initial = default
    return field


def carried(values: Mapping[str, Any], shown: Iterable[str]) -> list[tuple[str, str]]:
    """Return what was typed into fields that are not shown now: it comes back with them."""
    hidden = set(shown)
    return [
        (name, str(value))
        for name, value in values.items()
        if name not in hidden and (name.startswith("params-") or name in {"factor", "latent_slice"}) and value
    ]

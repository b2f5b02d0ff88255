"""The form that a recipe is run with: its parameters, and a seed."""

from __future__ import annotations

from uuid import uuid4

from django import forms

from accsite.apps.registry.models import Plugin
from accsite.forms import ParamsForm, number


class RecipeForm(ParamsForm):
    """A seed beside the recipe's own parameters."""

    seed = number("Seed", "of first weights, batches and chance", min=0, step=1)
    idempotency_key = forms.CharField(required=False, widget=forms.HiddenInput)

    @classmethod
    def for_recipe(cls, recipe: Plugin | None) -> RecipeForm:
        params = recipe.params if recipe else []
        return cls(params, initial={"seed": "0", "idempotency_key": uuid4().hex})

"""What an expansion of a trained model is, and what its specification becomes. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, ValidationError

from acc.errors import InvalidInput
from acc.names import clean_name
from acc.refusals import field_errors
from acc.specs import ModelSpec, Spec, parse

Where = Literal["encoder_stage", "decoder_stage", "latent", "factor_group"]
Start = Literal["identity", "random"]

STAGES: Mapping[str, Mapping[str, str]] = {
    "Autoencoder": {"encoder_stage": "encoder_stages", "decoder_stage": "decoder_stages"},
    "ConvVAE": {"encoder_stage": "encoder_stages", "decoder_stage": "decoder_stages"},
    "FactorSlotAutoencoder": {"encoder_stage": "blocks", "decoder_stage": "decoder_stages"},
}
"""Architecture -> where -> the parameter that counts the stages there."""
ADDED_SLOTS = "added_slots"


class ExpansionSpec(Spec):
    """Where a model grows, by how much, and how the new part begins.

    ``where``: one more stage of the encoder or the decoder, or ``amount`` more latent dimensions at the end,
    nameless (``latent``) or as the factor group ``name``. ``start``: ``identity`` changes no output;
    ``random`` draws the new weights from ``seed``.
    """

    where: Where
    start: Start = Field(default="identity", title="Begins as")
    amount: int = Field(default=1, ge=1, le=4096, description="stages, or latent dimensions")
    name: str = Field(default="", title="Name of the factor group", description="only for a new factor group")
    seed: int = Field(default=0, ge=0, lt=2**63, description="of random weights")

    @property
    def words(self) -> str:
        """Return what it does, in a few words for a title or a mark in the tree."""
        what = {
            "encoder_stage": f"{self.amount} encoder stage{'s' * (self.amount > 1)}",
            "decoder_stage": f"{self.amount} decoder stage{'s' * (self.amount > 1)}",
            "latent": f"{self.amount} latent dimension{'s' * (self.amount > 1)}",
            "factor_group": f"factor group {self.name} of {self.amount}",
        }[self.where]
        return f"{what}, {self.start}"


def clean_expansion(data: Any) -> ExpansionSpec:
    """Return the specification of an expansion; raises InvalidInput naming each wrong field."""
    if not isinstance(data, Mapping):
        raise InvalidInput({"__all__": f"{data!r} is not an object"})
    spec: ExpansionSpec = parse(ExpansionSpec, dict(data))
    if spec.where == "factor_group":
        spec = spec.model_copy(update={"name": clean_name(spec.name)})
    if spec.where != "factor_group" and spec.name:
        raise InvalidInput({"name": f"{spec.name!r} names nothing: only a new factor group has a name"})
    return spec


def grown(model: ModelSpec, expansion: ExpansionSpec, stages: Mapping[str, str] | None = None) -> ModelSpec:
    """Return the specification of the larger model; what is there already keeps its place.

    ``stages``: where -> parameter, of an architecture that is not built in. Raises InvalidInput when there is
    no such place, or when the name of a factor group is taken. Limits of parameters are judged when the model
    is built, or by ``clean_params`` with the declarations of its class.
    """
    known = STAGES.get(model.architecture) if stages is None else stages
    if known is None:
        right = ", ".join(STAGES)
        raise InvalidInput(
            {"where": f"it is not known how {model.architecture} grows; models that can be expanded: {right}"}
        )
    fields: dict[str, Any] = model.model_dump()
    if expansion.where in ("encoder_stage", "decoder_stage"):
        parameter = known.get(expansion.where)
        if parameter is None:
            raise InvalidInput(
                where=f"{model.architecture} has no {expansion.where} to add; it grows at: {', '.join(known)}"
            )
        fields["params"][parameter] = (
            int(fields["params"].get(parameter, _default(parameter))) + expansion.amount
        )
    else:
        start, end = model.latent_dim, model.latent_dim + expansion.amount
        fields["latent_dim"] = end
        named = expansion.where == "factor_group"
        if named:
            taken = [group.name for group in model.factor_groups]
            if expansion.name in taken:
                raise InvalidInput(
                    name=f"{expansion.name!r} is already a factor group of this model; "
                    f"it has: {', '.join(taken)}"
                )
            fields["factor_groups"] = [
                *fields["factor_groups"],
                {"name": expansion.name, "start": start, "end": end},
            ]
        if model.architecture in SLOTTED and (named or _ends_named(model)):
            fields["params"][ADDED_SLOTS] = int(fields["params"].get(ADDED_SLOTS, 0)) + 1
    try:
        return ModelSpec.model_validate(fields)
    except ValidationError as error:
        raise InvalidInput({"amount": next(iter(field_errors(error).values()))}) from None


SLOTTED = frozenset({"FactorSlotAutoencoder"})
"""Architectures whose decoder reads tokens of each slot: a slot that is added later has a gate."""


def _ends_named(model: ModelSpec) -> bool:
    """Return whether the last latent dimension belongs to a factor group: then more of them are a new slot."""
    groups = model.ordered_groups
    return bool(groups) and groups[-1].end == model.latent_dim


def _default(parameter: str) -> int:
    return 1 if parameter == "blocks" else 0

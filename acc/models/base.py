"""The base of every architecture: sampling, pooling, lazy decoding and shielding are done once, here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from acc.errors import InvalidInput
from acc.expansion import ExpansionSpec, clean_expansion
from acc.models.expand import Growth, grow
from acc.models.output import NO_EXTRAS, Decoded, LazyDecode, ModelOutput, Posterior, posterior_of
from acc.params import clean_params, params_of
from acc.rng import seed_for, seeded
from acc.specs import FactorGroup, ModelSpec

LOGVAR_LIMITS = (-12.0, 8.0)  # keeps exp(logvar) finite in float32 whatever a task asks for


class Model(nn.Module):
    """An autoencoder with a named latent space; subclasses write ``posterior`` and ``decode_logits``.

    Parameters of an architecture are declared with ``Param`` and read as attributes. ``latent_dim`` counts
    dimensions, or channels where the latent is spatial; axis 1 of ``mean``, ``logvar`` and ``z`` either way.

    has_posterior: the posterior is a Gaussian, with a log-variance; what a KL divergence needs.
    discrete: the latent is made of codes from a book of finite size, as of a VQ-VAE; there is no log-variance then.
    """

    label: ClassVar[str] = ""
    has_posterior: ClassVar[bool] = False
    discrete: ClassVar[bool] = False
    derived: ClassVar[frozenset[str]] = frozenset({"_shield"})
    """Attributes that follow from the tasks, and are no state."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.spec = spec
        for name, value in clean_params(params_of(type(self)), spec.params).items():
            setattr(self, name, value)
        self.register_buffer("_shield", None, persistent=False)

    @property
    def latent_dim(self) -> int:
        """Number of latent dimensions (channels, of a spatial latent)."""
        return self.spec.latent_dim

    @property
    def factor_groups(self) -> tuple[FactorGroup, ...]:
        """Named ranges of the latent, by position."""
        return self.spec.ordered_groups

    @property
    def slot_names(self) -> tuple[str, ...]:
        """Names of axis 1 of ``ModelOutput.attention``; empty for a decoder without attention."""
        return ()

    def posterior(self, x_BCHW: Tensor) -> Posterior | tuple[Tensor, Tensor | None]:
        """Return posterior mean and log-variance of images in 0..1; the latter None for a deterministic code.

        Shapes: ``(N, D)`` each, or ``(N, D, h, w)`` for a spatial latent. A ``Posterior`` says more.
        """
        raise NotImplementedError(f"{type(self).__name__} must define posterior(x)")

    def decode_logits(self, z: Tensor) -> Decoded:
        """Return what the decoder makes of ``z`` (the shape of the posterior mean), before the sigmoid."""
        raise NotImplementedError(f"{type(self).__name__} must define decode_logits(z)")

    def optimizers(self) -> Sequence[Any]:
        """Return ``OptimizerGroup``s of parameters with an optimizer of their own; all others follow the job's."""
        return ()

    def encode(self, x_BCHW: Tensor) -> ModelOutput:
        """Return the encoded batch; the decoder has not run. Images are float ``(N, C, H, W)`` in 0..1.

        While training ``z`` is one sample of the posterior; in eval mode it is the posterior mean.
        """
        mean, logvar, extras, batch_wide, drawn = posterior_of(self.posterior(x_BCHW))
        z = mean if drawn is None or not self.training else drawn
        if logvar is not None:
            logvar = logvar.clamp(*LOGVAR_LIMITS)
            if self.training and drawn is None:
                z = torch.addcmul(mean, self.noise(mean), torch.exp(0.5 * logvar))
        return ModelOutput(
            mean=mean,
            logvar=logvar,
            z=z,
            decode=LazyDecode(self.decode_logits, self.shield(z)),
            extras={**(extras or {}), **(batch_wide or {})} if extras or batch_wide else NO_EXTRAS,
            batch_wide=frozenset(batch_wide or ()),
        )

    def noise(self, mean: Tensor) -> Tensor:
        """Return standard normal numbers of the shape of the posterior mean.

        A trainer that divides a batch puts its own in place, so that each row gets the numbers it would have got.
        """
        return torch.randn_like(mean)

    def decode(self, z: Tensor) -> Tensor:
        """Return images ``(N, C, H, W)`` in 0..1 from latents shaped like the posterior mean."""
        return torch.sigmoid(self.decode_logits(z).logits)

    def forward(self, x_BCHW: Tensor) -> ModelOutput:
        return self.encode(x_BCHW)

    def expand(
        self, where: str, *, start: str = "identity", amount: int = 1, name: str = "", seed: int = 0
    ) -> Model:
        """Return a larger copy with the same weights where they were; the fields are those of ExpansionSpec.

        With ``start="identity"`` its outputs in eval mode are the same to 1e-5. Raises InvalidInput.
        """
        fields = {"where": where, "start": start, "amount": amount, "name": name, "seed": seed}
        larger, _ = self.grown(clean_expansion(fields))
        return larger

    def grown(self, expansion: ExpansionSpec) -> tuple[Model, Growth]:
        """Return a larger copy and how it grew; this model stays as it is.

        The weights that were there are the same; those that are new depend on the model's and the expansion's seed.
        Raises InvalidInput where the architecture has no such place, or a parameter's limit is passed.
        """
        growth = self.growth(expansion)
        with seeded(seed_for(self.spec.seed, "expand", expansion.model_dump_json())):
            larger = type(self)(growth.spec)
        state, before = larger.state_dict(), self.state_dict()
        for name in before:
            if name not in state:
                raise InvalidInput(
                    {"where": f"the larger model has no '{name}'; {type(self).__name__}.growth is wrong"}
                )
        identity = expansion.start == "identity"
        larger.load_state_dict(
            {
                name: grow(
                    before.get(name),
                    fresh,
                    growth.places.get(name),
                    fill=growth.fill(name) if identity else None,
                )
                for name, fresh in state.items()
            }
        )
        device = next((p.device for p in self.parameters()), torch.device("cpu"))
        return larger.to(device).train(self.training), growth

    def growth(self, expansion: ExpansionSpec) -> Growth:
        """Return how this architecture grows; raises InvalidInput where it cannot.

        A plugin architecture that can grow defines it (``acc.models.expand`` says how).
        """
        name = type(self).__name__
        raise InvalidInput({"where": f"{name} cannot be expanded: it does not define growth(expansion)"})

    def shield_dimensions(self, groups: list[FactorGroup]) -> None:
        """Keep the decoder's gradients out of these ranges of the latent, on every path there is.

        Everything that a decoder reads goes through ``shield``, so no path can be forgotten.
        """
        mask_D = torch.zeros(self.latent_dim, dtype=torch.bool)
        for group in groups:
            mask_D[group.start : group.end] = True
        self._shield = mask_D if groups else None

    def shield(self, z: Tensor) -> Tensor:
        """Return ``z`` with the same values, and no gradient through the shielded dimensions."""
        mask_D = self._shield
        if mask_D is None:
            return z
        return torch.where(mask_D.view(1, -1, *([1] * (z.dim() - 2))), z.detach(), z)


def check_image(model: Model, shape: tuple[int, int, int]) -> None:
    """Raise InvalidInput(dataset) unless images of ``shape`` (channels, height, width) fit the model."""
    image = model.spec.image
    right = (image.channels, image.height, image.width)
    if tuple(shape) != right:
        raise InvalidInput(
            dataset=f"images are {_text(shape)}, this model reads {_text(right)} (channels x height x width)"
        )


def _text(shape: Any) -> str:
    return " x ".join(str(side) for side in shape)

"""The factor-slot autoencoder: each factor has a place of its own, and the decoder must read it there."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from acc.expansion import STAGES, ExpansionSpec, grown
from acc.models.base import Model
from acc.models.blocks import PadTo, PatchHead, ResidualConv, ceil_div
from acc.models.expand import Growth, Place
from acc.models.output import Decoded
from acc.params import Param
from acc.specs import FactorGroup, ImageShape, ModelSpec

FREE_GROUP = "free"  # the group that is nobody's factor: reconstruction may always shape it


class FactorSlotAutoencoder(Model):
    """A variational autoencoder whose latent is divided into factor slots.

    A small CNN looks at the image; every slot (factor group, and every range between groups that has no name)
    has its own head on the features; the decoder is a grid of position queries that attend to the tokens of
    the slots. With ``bottleneck=spatial`` the latent keeps its places: each query reads the tokens at its
    own.
    """

    label = "Factor-slot autoencoder"
    has_posterior = True

    channels = Param(32, min=4, max=512, help="channels of the CNN, and width of queries and tokens")
    blocks = Param(1, min=0, max=8, help="residual 3x3 convolutions of the CNN")
    grid = Param(8, min=2, max=32, help="position queries along each side of the image")
    bottleneck = Param(
        "pooled", choices=("pooled", "spatial"), help="latent without places, or a map of them"
    )
    tokens_per_slot = Param(2, min=1, max=16, help="tokens that the decoder may read of each factor slot")
    attention_heads = Param(2, min=1, max=16, help="cross-attention heads; must divide channels")
    variational = Param(True, help="Gaussian posterior (needed by KL); off: a deterministic code")
    shield_factors = Param(
        False, help="keep reconstruction gradients out of every factor slot except the one named 'free'"
    )
    decoder_stages = Param(0, min=0, max=32, help="residual convolutions before the image is drawn")
    added_slots = Param(
        0, min=0, max=64, help="slots at the end that came by expansion: each token has a gate"
    )

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec)
        _check_params(self.channels, self.attention_heads)
        # An instance may be deterministic where its class is not; tasks ask the instance.
        self.has_posterior = self.variational  # type: ignore[misc]
        self.slots = slots_of(spec)
        _check_added(self.added_slots, len(self.slots))
        self.encoder = GridEncoder(spec.image, self.channels, self.blocks, self.grid)
        outputs = 2 if self.variational else 1
        if self.bottleneck == "spatial":
            self.heads = nn.ModuleList(
                nn.Conv2d(self.channels, outputs * slot.width, 1) for slot in self.slots
            )
        else:
            self.squeeze = nn.Conv2d(self.channels, max(self.channels // 2, 4), 1)
            flat = self.squeeze.out_channels * self.grid * self.grid
            self.heads = nn.ModuleList(nn.Linear(flat, outputs * slot.width) for slot in self.slots)
        self.decoder = SlotDecoder(
            spec.image,
            slots=self.slots,
            channels=self.channels,
            grid=self.grid,
            tokens_per_slot=self.tokens_per_slot,
            attention_heads=self.attention_heads,
            stages=self.decoder_stages,
            added_slots=self.added_slots,
        )
        if self.shield_factors:
            self.shield_dimensions([group for group in spec.factor_groups if group.name != FREE_GROUP])

    @property
    def slot_names(self) -> tuple[str, ...]:
        """Names of the slots, in the order of axis 1 of the attention maps."""
        return tuple(slot.name for slot in self.slots)

    def posterior(self, x_BCHW: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return posterior mean and log-variance: ``(N, D)``, or ``(N, D, grid, grid)`` if spatial."""
        features = self.encoder(x_BCHW)
        if self.bottleneck == "pooled":
            features = torch.flatten(F.gelu(self.squeeze(features)), 1)
        each = [head(features) for head in self.heads]
        if not self.variational:
            return torch.cat(each, dim=1), None
        halves = [pair.chunk(2, dim=1) for pair in each]
        return torch.cat([mean for mean, _ in halves], dim=1), torch.cat(
            [logvar for _, logvar in halves], dim=1
        )

    def decode_logits(self, z: Tensor) -> Decoded:
        """Return image logits and the attention of every place over the slots ``(N, F, grid, grid)``."""
        return self.decoder(z)  # type: ignore[no-any-return]

    def growth(self, expansion: ExpansionSpec) -> Growth:
        """Return how it grows: by residual blocks, by a new slot, or by dimensions of a nameless last slot."""
        spec = grown(self.spec, expansion, STAGES["FactorSlotAutoencoder"])
        if expansion.where == "encoder_stage":
            # The padding and the patches lie before the blocks.
            new = [f"encoder.layers.{2 + self.blocks + n}.conv" for n in range(expansion.amount)]
            return Growth(spec, silent=_weights(new))
        if expansion.where == "decoder_stage":
            new = [f"decoder.stages.{self.decoder_stages + n}.conv" for n in range(expansion.amount)]
            return Growth(spec, silent=_weights(new))
        if len(slots_of(spec)) == len(self.slots):
            return self._widened(spec)
        gates, bias = "decoder.gate_T", "decoder.slot_bias_TC"
        places = {bias: Place.first(0, len(self.slots) * self.tokens_per_slot)}
        if self.added_slots:
            places[gates] = Place.first(0, self.added_slots * self.tokens_per_slot)
        return Growth(spec, places, shut=frozenset({gates}))

    def _widened(self, spec: ModelSpec) -> Growth:
        last, more = len(self.slots) - 1, spec.latent_dim - self.latent_dim
        width = self.slots[-1].width
        rows = torch.arange(width)
        if self.variational:  # means come first, log-variances behind them
            rows = torch.cat([rows, rows + width + more])
        read = f"decoder.to_tokens.{last}.weight"
        places = {f"heads.{last}.{kind}": Place(0, rows) for kind in ("weight", "bias")}
        return Growth(spec, {**places, read: Place.first(1, width)}, silent=frozenset({read}))


class GridEncoder(nn.Module):
    """A CNN that cuts the image into grid x grid overlapping patches and mixes them over neighbours."""

    def __init__(self, image: ImageShape, channels: int, blocks: int, grid: int) -> None:
        super().__init__()
        patch_h, patch_w = ceil_div(image.height, grid), ceil_div(image.width, grid)
        self.layers = nn.Sequential(
            PadTo(image, patch_h * grid, patch_w * grid),
            nn.Conv2d(
                image.channels, channels, (patch_h + 2, patch_w + 2), stride=(patch_h, patch_w), padding=1
            ),
            *(ResidualConv(channels) for _ in range(blocks)),
            nn.GELU(),
        )

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return features ``(N, channels, grid, grid)``."""
        features: Tensor = self.layers(x_BCHW)
        return features


class SlotDecoder(nn.Module):
    """Position queries attend to the tokens of the slots; what they read is drawn as image patches.

    Shapes: B batch, D latent, F slots, K tokens a slot, T = F*K tokens, P = grid*grid places, M heads,
    C channels, E = C/M.
    """

    def __init__(
        self,
        image: ImageShape,
        *,
        slots: tuple[FactorGroup, ...],
        channels: int,
        grid: int,
        tokens_per_slot: int,
        attention_heads: int,
        stages: int = 0,
        added_slots: int = 0,
    ) -> None:
        super().__init__()
        self.slots, self.grid = slots, grid
        self.tokens_per_slot, self.attention_heads = tokens_per_slot, attention_heads
        self.to_tokens = nn.ModuleList(nn.Linear(slot.width, tokens_per_slot * channels) for slot in slots)
        self.slot_bias_TC = nn.Parameter(0.02 * torch.randn(len(slots) * tokens_per_slot, channels))
        self.query_CP = nn.Parameter(torch.randn(channels, grid * grid))
        self.norm = nn.LayerNorm(channels)
        self.to_key_value = nn.Linear(channels, 2 * channels)
        self.merge = nn.Conv2d(channels, channels, 1)
        self.feed = nn.Sequential(
            nn.Conv2d(channels, channels, 1), nn.GELU(), nn.Conv2d(channels, channels, 1)
        )
        self.stages = nn.Sequential(*(ResidualConv(channels) for _ in range(stages)))
        # A slot that was added to a trained decoder must not take attention from those that it can read.
        self.gate_T = nn.Parameter(torch.ones(added_slots * tokens_per_slot)) if added_slots else None
        patch_h, patch_w = ceil_div(image.height, grid), ceil_div(image.width, grid)
        self.head = PatchHead(channels, image, patch_h, patch_w)

    def forward(self, z: Tensor) -> Decoded:
        """Return image logits and attention ``(N, F, grid, grid)``; z may have places or not."""
        spatial = z.dim() == 4
        # One row of tokens for the whole image, or one for each place of a spatial latent.
        rows = z.flatten(2).transpose(1, 2).flatten(0, 1) if spatial else z
        key_RTC, value_RTC = self._tokens(rows)
        m, places = self.attention_heads, self.grid * self.grid
        query_MEP = self.query_CP.unflatten(0, (m, -1))
        query_MEP = query_MEP * query_MEP.shape[1] ** -0.5
        if spatial:
            key_BMTEP, value_BMTEP = (
                t.unflatten(0, (-1, places)).permute(0, 2, 3, 1).unflatten(2, (m, -1)).transpose(1, 2)
                for t in (key_RTC, value_RTC)
            )
            weight_BMTP = (key_BMTEP * query_MEP.unsqueeze(1)).sum(dim=3).softmax(dim=2)
            weight_BMTP = self._gated(weight_BMTP)
            read_BCP = (value_BMTEP * weight_BMTP.unsqueeze(3)).sum(dim=2).flatten(1, 2)
        else:
            key_BMTE = key_RTC.unflatten(2, (m, -1)).transpose(1, 2)
            value_BMET = value_RTC.unflatten(2, (m, -1)).permute(0, 2, 3, 1)
            # Places lie innermost: a softmax over the few tokens runs along whole vectors of places.
            weight_BMTP = self._gated(torch.matmul(key_BMTE, query_MEP).softmax(dim=2))
            read_BCP = torch.matmul(value_BMET, weight_BMTP).flatten(1, 2)
        read_BCHW = read_BCP.unflatten(2, (self.grid, self.grid))
        x_BCHW = self.query_CP.unflatten(1, (self.grid, self.grid)) + self.merge(read_BCHW)
        x_BCHW = self.stages(x_BCHW + self.feed(x_BCHW))
        # Tokens of a slot lie side by side: summed, they say how much each place read the slot.
        by_slot_BFP = weight_BMTP.detach().mean(dim=1).unflatten(1, (len(self.slots), -1)).sum(dim=2)
        return Decoded(self.head(x_BCHW), by_slot_BFP.unflatten(2, (self.grid, self.grid)))

    def _gated(self, weight_BMTP: Tensor) -> Tensor:
        """Return attention over all tokens, what those of added slots get scaled by their gates; sums to 1."""
        if self.gate_T is None:
            return weight_BMTP
        tokens = weight_BMTP.shape[2]
        gate_T = F.pad(self.gate_T.abs(), (tokens - len(self.gate_T), 0), value=1.0)
        gated = weight_BMTP * gate_T.view(-1, 1)
        return gated / gated.sum(dim=2, keepdim=True).clamp_min(1e-12)

    def _tokens(self, z_RD: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys and values ``(R, T, C)`` of the slots' tokens for rows of latents."""
        tokens = [
            layer(z_RD[:, slot.start : slot.end])
            for slot, layer in zip(self.slots, self.to_tokens, strict=True)
        ]
        token_RTC = torch.cat(tokens, dim=1).unflatten(1, self.slot_bias_TC.shape) + self.slot_bias_TC
        key, value = self.to_key_value(self.norm(token_RTC)).chunk(2, dim=-1)
        return key, value


def slots_of(spec: ModelSpec) -> tuple[FactorGroup, ...]:
    """Return the factor groups by position, and each range between them as a slot ``dims-start-end``."""
    slots: list[FactorGroup] = []
    position = 0
    for group in spec.ordered_groups:
        if group.start > position:
            slots.append(_unnamed(position, group.start))
        slots.append(group)
        position = group.end
    if position < spec.latent_dim:
        slots.append(_unnamed(position, spec.latent_dim))
    return tuple(slots)


def _unnamed(start: int, end: int) -> FactorGroup:
    return FactorGroup(name=f"dims-{start}-{end}", start=start, end=end)


def _weights(modules: list[str]) -> frozenset[str]:
    return frozenset(f"{name}.{kind}" for name in modules for kind in ("weight", "bias"))


def _check_added(added: int, slots: int) -> None:
    if added >= slots and added:
        from acc.errors import InvalidInput

        raise InvalidInput(
            {"params.added_slots": f"{added} of {slots} slots cannot all have been added; leave at least one"}
        )


def _check_params(channels: int, attention_heads: int) -> None:
    if channels % attention_heads:
        from acc.errors import InvalidInput

        raise InvalidInput(
            {
                "params.attention_heads": f"{attention_heads} heads do not divide {channels} channels; "
                f"choose a divisor of {channels}"
            }
        )

"""Slot attention: a few slots of the latent compete for the places of the image, one for each object."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from acc.api import DatasetSpec, Decoded, InvalidInput, Method, Model, ModelSpec, Paper, Param, Setup

EPSILON = 1e-8
GRID = 8  # the decoder begins at an eighth of the image


class _Position(nn.Module):
    """Adds a linear map of each place's distances from the four edges, ``(N, C, h, w)``."""

    edges: Tensor

    def __init__(self, channels: int, h: int, w: int) -> None:
        super().__init__()
        y, x = torch.meshgrid(torch.linspace(0, 1, h), torch.linspace(0, 1, w), indexing="ij")
        self.register_buffer("edges", torch.stack([x, y, 1 - x, 1 - y])[None], persistent=False)
        self.mix = nn.Conv2d(4, channels, 1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        placed: Tensor = x_BCHW + self.mix(self.edges)
        return placed


class SlotAttentionAutoencoder(Model):
    """An autoencoder whose latent is ``slots`` vectors of equal length, which compete for the places of the image.

    Each slot draws an image and a mask of its own; the masks add up to 1 at each place. latent_dim is the number of
    slots times their length. Slots begin at random while it trains, and always the same way when it is measured.
    """

    label = "Slot attention"
    measured: Tensor
    slots = Param(
        7, min=1, max=64, help="vectors of the latent; one for each object, and one for what is behind them"
    )
    iterations = Param(3, min=1, max=16, help="rounds of competition")
    channels = Param(64, min=1, max=512, help="of the convolutions")

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec)
        if spec.latent_dim % self.slots:
            raise InvalidInput(
                latent_dim=f"{spec.latent_dim} dimensions cannot be divided among {self.slots} slots; use a multiple, "
                f"such as {self.slots * max(1, round(spec.latent_dim / self.slots))}"
            )
        image, wide, length = spec.image, self.channels, spec.latent_dim // self.slots
        self.length = length
        layers: list[nn.Module] = [nn.Conv2d(image.channels, wide, 5, padding=2), nn.ReLU()]
        for stride in (2, 2, 1):
            layers += [nn.Conv2d(wide, wide, 5, stride=stride, padding=2), nn.ReLU()]
        h, w = -(-image.height // 4), -(-image.width // 4)
        self.encoder = nn.Sequential(*layers, _Position(wide, h, w))
        self.before = nn.Sequential(
            nn.LayerNorm(wide), nn.Linear(wide, wide), nn.ReLU(), nn.Linear(wide, length)
        )
        self.norm_in, self.norm_slot, self.norm_mlp = (nn.LayerNorm(length) for _ in range(3))
        self.query, self.key, self.value = (nn.Linear(length, length, bias=False) for _ in range(3))
        self.update = nn.GRUCell(length, length)
        self.mlp = nn.Sequential(nn.Linear(length, 2 * length), nn.ReLU(), nn.Linear(2 * length, length))
        self.start_mean = nn.Parameter(torch.randn(length) / length**0.5)
        self.start_spread = nn.Parameter(torch.zeros(length))
        self.register_buffer("measured", torch.randn(1, spec.latent_dim))
        self.down = (-(-image.height // GRID), -(-image.width // GRID))
        self.place = _Position(length, *self.down)
        up: list[nn.Module] = [nn.Conv2d(length, wide, 3, padding=1), nn.ReLU()]
        for _ in range(3):
            up += [nn.ConvTranspose2d(wide, wide, 4, stride=2, padding=1), nn.ReLU()]
        self.decoder = nn.Sequential(*up, nn.Conv2d(wide, image.channels + 1, 3, padding=1))

    @property
    def slot_names(self) -> tuple[str, ...]:
        """Names of the masks."""
        return tuple(f"slot {number + 1}" for number in range(self.slots))

    def posterior(self, x_BCHW: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the slots one behind the other, ``(N, D)``, and None: they have no spread."""
        places = self.before(self.encoder(x_BCHW).flatten(2).transpose(1, 2))
        places = self.norm_in(places)
        key, value = self.key(places), self.value(places)
        template = x_BCHW.new_zeros(len(x_BCHW), self.latent_dim)
        noise = self.noise(template) if self.training else self.measured.expand_as(template)
        slots = self.start_mean + self.start_spread.exp() * noise.unflatten(1, (self.slots, self.length))
        for _ in range(self.iterations):
            scores = key @ self.query(self.norm_slot(slots)).transpose(1, 2) / self.length**0.5
            share = scores.softmax(dim=2) + EPSILON  # over slots: they compete
            mean = (share / share.sum(dim=1, keepdim=True)).transpose(1, 2) @ value
            slots = self.update(mean.flatten(0, 1), slots.flatten(0, 1)).unflatten(0, (-1, self.slots))
            slots = slots + self.mlp(self.norm_mlp(slots))
        return slots.flatten(1), None

    def decode_logits(self, z: Tensor) -> Decoded:
        """Return the slots' images mixed by their masks as logits, and the masks as attention ``(N, slots, H, W)``."""
        slots = z.reshape(-1, self.length, 1, 1).expand(-1, -1, *self.down)
        drawn = self.decoder(self.place(slots))[:, :, : self.spec.image.height, : self.spec.image.width]
        drawn = drawn.unflatten(0, (-1, self.slots))
        masks = drawn[:, :, -1].softmax(dim=1)
        image = (masks[:, :, None] * torch.sigmoid(drawn[:, :, :-1])).sum(1)
        return Decoded(torch.logit(image, eps=1e-6), masks)


class SlotAttention(Method):
    """An autoencoder whose slots compete for the places of an image, so that each takes an object.

    Loss: squared error, a mean over pixels. Slots and rounds are the architecture's.
    """

    label = "Slot attention"
    paper = Paper(
        "Locatello et al.",
        2020,
        "Object-Centric Learning with Slot Attention",
        "NeurIPS 2020, arXiv:2006.15055",
    )

    length = Param(64, min=1, max=4096, help="dimensions of a slot")
    slots = Param(7, min=1, max=64, help="one for each object, and one for what is behind them")

    def setup(self, data: DatasetSpec) -> Setup:
        """Return the slot attention autoencoder with a reconstruction."""
        return Setup(
            architecture="SlotAttentionAutoencoder",
            latent_dim=self.slots * self.length,
            params={"slots": self.slots},
            tasks=({"task_class": "ReconstructionTask", "params": {"loss": "mse"}},),
            train={"optimizer": "adam", "lr": 4e-4, "weight_decay": 0.0, "batch_size": 64},
        )

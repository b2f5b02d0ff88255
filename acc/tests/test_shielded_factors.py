"""With shield_factors, reconstruction cannot change what a factor slot holds, by any path."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from acc.models import build
from acc.tests import helpers


def reconstruction_gradients(model: Any) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Return a reconstruction loss's gradients: of each slot's head, and of the posterior mean."""
    model.train()
    images = torch.rand(6, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    output = model.encode(images)
    output.mean.retain_grad()
    loss = (output.reconstruction - images).square().mean() + (output.logits - 1).square().mean()
    loss.backward()
    by_slot = {
        name: torch.cat(
            [torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten() for p in head.parameters()]
        )
        for name, head in zip(model.slot_names, model.heads, strict=True)
    }
    assert output.mean.grad is not None
    return by_slot, output.mean.grad


@pytest.mark.parametrize("bottleneck", ["pooled", "spatial"])
@pytest.mark.parametrize("variational", [True, False])
def test_no_reconstruction_gradient_reaches_a_shielded_slot(bottleneck: str, variational: bool) -> None:
    params = {"bottleneck": bottleneck, "variational": variational, "shield_factors": True}
    by_slot, mean_grad = reconstruction_gradients(build(helpers.model_spec(params=params)))
    assert torch.count_nonzero(by_slot["digit"]) == 0
    assert torch.count_nonzero(by_slot["size"]) == 0
    assert torch.count_nonzero(mean_grad[:, :5]) == 0
    assert torch.count_nonzero(by_slot["free"]) > 0
    assert torch.count_nonzero(mean_grad[:, 5:]) > 0


@pytest.mark.parametrize("bottleneck", ["pooled", "spatial"])
def test_without_the_shield_every_slot_learns_from_reconstruction(bottleneck: str) -> None:
    by_slot, _ = reconstruction_gradients(build(helpers.model_spec(params={"bottleneck": bottleneck})))
    assert all(torch.count_nonzero(gradient) > 0 for gradient in by_slot.values())


def test_the_shield_leaves_the_picture_and_the_decoder_gradients_as_they_are() -> None:
    images = torch.rand(2, 1, 16, 16)
    plain: Any = build(helpers.model_spec()).eval()
    shielded: Any = build(helpers.model_spec(params={"shield_factors": True})).eval()
    assert torch.equal(plain.encode(images).reconstruction, shielded.encode(images).reconstruction)
    for model in (plain, shielded):
        model.encode(images).reconstruction.sum().backward()
    for (name, one), other in zip(
        plain.decoder.named_parameters(), shielded.decoder.parameters(), strict=True
    ):
        torch.testing.assert_close(one.grad, other.grad, msg=name)


def test_a_tasks_own_gradient_still_reaches_its_shielded_slot() -> None:
    model: Any = build(helpers.model_spec(params={"shield_factors": True}))
    model.encode(torch.rand(2, 1, 16, 16)).latent[:, :3].square().sum().backward()
    assert torch.count_nonzero(model.heads[0].weight.grad) > 0


def test_parts_of_a_joint_step_are_shielded_too() -> None:
    model = build(helpers.model_spec(params={"shield_factors": True}))
    output = model.encode(torch.rand(6, 1, 16, 16))
    output.mean.retain_grad()
    for part in output.split([2, 2, 2], share=2):
        part.reconstruction.sum().backward(retain_graph=True)
    assert output.mean.grad is not None
    assert torch.count_nonzero(output.mean.grad[:, :5]) == 0

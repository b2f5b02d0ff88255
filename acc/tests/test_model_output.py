"""The decoder runs at most once, and only for what is asked."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from acc.models import Decoded, Model, build
from acc.tests import helpers

ARCHITECTURES = ("Autoencoder", "ConvVAE", "FactorSlotAutoencoder")


def counted(model: Model) -> list[int]:
    """Return a list that receives the number of rows of every decoder call."""
    calls: list[int] = []
    original = model.decode_logits

    def decode_logits(z: torch.Tensor) -> Decoded:
        calls.append(len(z))
        return original(z)

    model.decode_logits = decode_logits  # type: ignore[method-assign]
    return calls


@pytest.fixture(params=ARCHITECTURES)
def model(request: pytest.FixtureRequest) -> Model:
    return build(helpers.model_spec(request.param))


def test_the_decoder_does_not_run_unless_asked(model: Model) -> None:
    calls = counted(model)
    output = model.encode(torch.rand(5, 1, 16, 16))
    _ = output.latent, output.z, output.mean, output.spatial, output.posterior_mean
    assert calls == []


def test_the_decoder_runs_once_however_often_it_is_asked(model: Model) -> None:
    calls = counted(model)
    output = model.encode(torch.rand(5, 1, 16, 16))
    _ = output.reconstruction, output.logits, output.attention, output.reconstruction
    assert calls == [5]


def test_parts_of_a_split_share_one_decoder_pass_over_their_rows_alone(model: Model) -> None:
    model.eval()
    calls = counted(model)
    images = torch.rand(9, 1, 16, 16)
    output = model.encode(images)
    first, second, third = output.split([4, 3, 2], share=2)
    assert (len(first), len(second), len(third)) == (4, 3, 2)
    whole = torch.cat([first.reconstruction, second.reconstruction])
    assert calls == [7]
    torch.testing.assert_close(whole, model.encode(images[:7]).reconstruction, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(third.latent, output.latent[7:])
    assert third.reconstruction.shape == (2, 1, 16, 16)
    assert calls[-1] == 2


def test_a_split_that_nobody_decodes_runs_no_decoder(model: Model) -> None:
    calls = counted(model)
    parts = model.encode(torch.rand(4, 1, 16, 16)).split([2, 2], share=0)
    assert [part.latent.shape for part in parts] == [(2, 8), (2, 8)]
    assert calls == []


def test_reconstructions_are_images_between_zero_and_one(model: Model) -> None:
    output = model.encode(torch.rand(3, 1, 16, 16))
    assert output.reconstruction.shape == (3, 1, 16, 16)
    assert (
        0 <= float(output.reconstruction.detach().min()) <= float(output.reconstruction.detach().max()) <= 1
    )
    torch.testing.assert_close(output.reconstruction, model.decode(output.z))


def test_a_task_reads_its_own_range_of_the_latent(dataset: Any, classes: Any) -> None:
    model = build(helpers.model_spec())
    spec = helpers.task("classification", factor="size")
    task = classes.task(spec.task_class)()
    task.attach(spec, dataset, model)
    output = model.encode(torch.rand(3, 1, 16, 16))
    torch.testing.assert_close(output.latent_for(task), output.latent[:, 3:5])

"""What a model gives beside mean and log-variance reaches each task's rows, and what needs a Gaussian says so."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from acc.errors import InvalidInput
from acc.models import Decoded, Model, Posterior
from acc.tests import helpers
from acc.training.plugin_set import PluginSet
from acc.training.task import Task
from acc.training.trainer import Trainer

DATA = {"data": helpers.blobs(40, seed=1), "other": helpers.blobs(30, seed=2)}
SHAPES: dict[str, Any] = {}


class Coded(Model):
    """Latent numbers rounded to a grid of five values, with a straight-through gradient."""

    discrete = True

    def __init__(self, spec: Any) -> None:
        super().__init__(spec)
        self.encoder, self.decoder = nn.Linear(256, spec.latent_dim), nn.Linear(spec.latent_dim, 256)
        self.variance = nn.Linear(spec.latent_dim, 1)

    def posterior(self, x_BCHW: Any) -> Any:
        e = self.encoder(x_BCHW.flatten(1)).tanh()
        codes = (e.detach() * 2).round().long() + 2
        q = (codes - 2).to(e.dtype) / 2
        return Posterior(
            e + (q - e).detach(),
            extras={"commitment": (e - q).square().mean(1), "codes": codes},
            batch_wide={"use": torch.bincount(codes.flatten(), minlength=5)},
        )

    def decode_logits(self, z: Any) -> Any:
        return Decoded(self.decoder(z).view(-1, 1, 16, 16), extras={"logvar": self.variance(z)})


class ReadsExtras(Task):
    def compute_loss(self, output: Any, batch: Any, head: Any) -> Any:
        SHAPES[self.key] = {name: tuple(value.shape) for name, value in output.extras.items()}
        assert len(output.extras["commitment"]) == len(batch)
        assert int(output.extras["use"].sum()) == 8 * SHAPES["rows"]
        return output.extras["commitment"].mean()


class ReadsVariance(Task):
    needs_reconstruction = True

    def compute_loss(self, output: Any, batch: Any, head: Any) -> Any:
        logvar = output.decoder_extras["logvar"]
        assert logvar.shape == (len(batch), 1)
        error = (output.reconstruction - batch.images).square().flatten(1).mean(1, keepdim=True)
        return (error * (-logvar).exp() + logvar).mean()


def classes(*more: type) -> PluginSet:
    found = helpers.shipped_tasks()
    found.add(Coded, ReadsExtras, ReadsVariance, *more)
    return found


def run(*tasks: Any, architecture: str = "Coded", more: tuple[type, ...] = (), **fields: Any) -> Trainer:
    model = helpers.model_spec(architecture).model_copy(update={"params": {}})
    begin = {name: fields.pop(name) for name in ("start_from", "proof") if name in fields}
    job = helpers.job(DATA, tasks, model=model, **fields)
    trainer = Trainer(job, DATA, classes=classes(*more), device="cpu", **begin)
    trainer.run()
    return trainer


@pytest.mark.parametrize("other", [False, True])
def test_each_task_sees_the_extras_of_its_rows_and_those_of_the_whole_batch(*, other: bool) -> None:
    tasks = [
        helpers.task("reconstruction"),
        helpers.task("ReadsExtras", key="one"),
        helpers.task("ReadsVariance"),
    ]
    if other:
        tasks += [helpers.task("ReadsExtras", key="two", dataset="other")]
    SHAPES.clear()
    SHAPES["rows"] = 32 if other else 16
    run(*tasks, steps=2, proof=False)
    expected = {"commitment": (16,), "codes": (16, 8), "use": (5,)}
    assert SHAPES["one"] == expected
    assert not other or SHAPES["two"] == expected


def test_a_model_of_codes_goes_on_to_the_bit_and_is_measured() -> None:
    SHAPES["rows"] = 16
    tasks = [helpers.task("reconstruction"), helpers.task("ReadsExtras")]
    whole = run(*tasks, steps=6).snapshot()
    again = run(*tasks, steps=3, start_from=run(*tasks, steps=3).snapshot().checkpoint()).snapshot()
    assert [name for name, one in whole.tensors.items() if not torch.equal(one, again.tensors[name])] == []


def test_a_kl_divergence_of_codes_is_refused_in_a_sentence() -> None:
    with pytest.raises(InvalidInput, match="Coded has discrete codes; choose a variational model"):
        run(helpers.task("kl"))


def test_extras_are_of_single_precision_where_passes_are_not() -> None:
    SHAPES["rows"] = 16
    trainer = run(helpers.task("ReadsExtras"), helpers.task("reconstruction"), precision="bf16", proof=False)
    assert trainer.step == 8


def spoilt(**given: Any) -> type[Model]:
    class Spoilt(Coded):
        def posterior(self, x_BCHW: Any) -> Any:
            return super().posterior(x_BCHW)._replace(**given)

    return Spoilt


class SetsAttribute(Coded):
    def encode(self, x_BCHW: Any) -> Any:
        output: Any = super().encode(x_BCHW)
        output.cat = output.mean
        return output


class BothKinds(Coded):
    has_posterior = True

    def posterior(self, x_BCHW: Any) -> Any:
        given = super().posterior(x_BCHW)
        return given._replace(logvar=given.mean)


@pytest.mark.parametrize(
    ("cls", "told"),
    [
        (
            spoilt(extras={"a": torch.zeros(())}),
            "in extras 'a' a tensor of shape .*put what is of the whole batch",
        ),
        (spoilt(extras={"a": torch.zeros(3, 4)}), r"it must have a row for each image, \(2, ...\)"),
        (spoilt(extras={"a": 1.0}), "in extras 'a' a float; it must be a tensor"),
        (spoilt(extras=[1.0]), "as extras a list of 1; it must be a dict of name -> tensor"),
        (spoilt(batch_wide={"codes": torch.zeros(())}), "'codes' in extras and in batch_wide"),
        (spoilt(z=torch.zeros(2, 3)), "as z a tensor of shape .*must be of the shape of the mean"),
        (SetsAttribute, "puts 'cat' on its output.*extras={'cat': ...}"),
        (BothKinds, "says both has_posterior and discrete"),
    ],
)
def test_extras_that_will_not_do_are_refused_before_the_first_step(cls: type, told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        run(helpers.task("reconstruction"), architecture=cls.__name__, more=(cls,))


def test_a_latent_that_the_model_draws_itself_is_read_while_training_only() -> None:
    class Laplace(Coded):
        discrete = False

        def posterior(self, x_BCHW: Any) -> Any:
            mean = self.encoder(x_BCHW.flatten(1))
            return Posterior(mean, z=mean + torch.distributions.Laplace(0.0, 1.0).sample(mean.shape))

    model = Laplace(helpers.model_spec("Laplace").model_copy(update={"params": {}}))
    images = torch.rand(4, 1, 16, 16)
    assert not torch.equal(model.encode(images).z, model.encode(images).mean)
    assert torch.equal(model.eval().encode(images).z, model.encode(images).mean)

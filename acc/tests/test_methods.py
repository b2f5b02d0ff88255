"""Each method that is shipped does what it is for, on made data, and a job of it is taken up again to the bit."""

from __future__ import annotations

import itertools
import math
import sys
from typing import Any

import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from acc.api import (
    AccDataset,
    DatasetSpec,
    InvalidInput,
    Method,
    ModelOutput,
    Paper,
    Param,
    PluginSet,
    Setup,
    TargetSpec,
    TrainRun,
    train,
)
from acc.errors import PluginError
from acc.params import params_of
from acc.plugins.load import load_source
from acc.plugins.shipped import shipped_plugins

SMALL: dict[str, dict[str, Any]] = {
    "AdaGVAE": {},
    "AnnealedVAE": {"rise_steps": 10, "most": 5},
    "BetaTCVAE": {},
    "BetaVAE": {},
    "DIPVAE": {},
    "FactorVAE": {"hidden": 16},
    "InfoVAE": {},
    "QLAE": {"values": 5},
    "SlotAttention": {"slots": 3, "length": 4},
    "TopKSAE": {"features": 24, "k": 3},
    "VQVAE": {"codes": 12, "latent_dim": 6},
}
"""Parameters of each that keep a test short."""


def squares(copies: int = 2, side: int = 16) -> AccDataset:
    """Return bright squares at each of five heights and five places across, ``copies`` of each with a little noise."""
    grid = np.array(list(itertools.product(range(5), range(5))) * copies)
    images = np.zeros((len(grid), 1, side, side), np.uint8)
    for image, (y, x) in zip(images, grid, strict=True):
        image[0, 2 * y : 2 * y + 6, 2 * x : 2 * x + 6] = 230
    images += np.random.default_rng(0).integers(0, 20, images.shape, dtype=np.uint8)
    columns = [TargetSpec(name=name, kind="class", classes=5) for name in ("height", "across")]
    return AccDataset(images, {"height": grid[:, 0], "across": grid[:, 1]}, columns)


DATA = squares()


def run(method: str, data: AccDataset = DATA, *, steps: int = 12, **options: Any) -> TrainRun:
    """Return a short training on the CPU, of a small network."""
    cls = shipped_plugins().method(method)
    architecture = shipped_plugins().models[
        options.get("model") or cls().setup(DATA.spec("data")).architecture
    ]
    known = {param.name for param in params_of(architecture)}
    sizes = {name: size for name, size in {"channels": 4, "hidden": 32}.items() if name in known}
    given = {"batch_size": 16, **sizes, **SMALL[cls.__name__], **options}
    return train(data, method=method, steps=steps, device="cpu", **given)


def dense(method: str, data: AccDataset = DATA, **options: Any) -> TrainRun:
    """Return a training of a network of dense layers, which learns the most in the least time."""
    model = {"architecture": "MLPVAE", "params": {"hidden": 64, "depth": 1}}
    return train(data, method=method, model=model, device="cpu", **{"batch_size": 40, **options})


def codes(found: TrainRun) -> ModelOutput:
    """Return what a trained model makes of all images."""
    with torch.no_grad():
        return found.model.encode(torch.from_numpy(DATA.images).float() / 255)


def value(found: TrainRun, name: str) -> float:
    """Return a metric of a run on its held-out images."""
    return next(
        metric.value
        for metric in found.evaluate().metrics
        if metric.name == name and metric.value is not None
    )


# --- all of them ------------------------------


def test_the_table_of_this_file_holds_every_shipped_method():
    assert sorted(SMALL) == sorted(shipped_plugins().method_names)


@pytest.mark.parametrize("method", SMALL)
def test_six_steps_and_six_more_are_twelve_to_the_bit(method):
    whole = run(method).checkpoint
    half = run(method, steps=6).checkpoint
    rest = run(method, steps=6, start_from=half).checkpoint
    assert [
        name for name, tensor in whole.tensors.items() if not torch.equal(tensor, rest.tensors[name])
    ] == []
    assert whole.tensors.keys() == rest.tensors.keys()


@pytest.mark.parametrize("method", SMALL)
def test_every_method_lowers_what_it_minimises_and_is_measured(method):
    found = run(method, steps=40, lr=1e-3)
    losses = found.history["part/pairs/reconstruction" if method == "AdaGVAE" else "raw/reconstruction"]
    assert np.mean(losses[-5:]) < np.mean(losses[:5])
    metrics = found.evaluate().metrics
    assert [(metric.name, metric.reason) for metric in metrics if metric.value is None] == []


def test_parameters_of_method_architecture_and_training_find_their_places():
    found = run("beta_vae", steps=2, beta=7, channels=3, lr=1e-5, latent_dim=5)
    job = found.checkpoint.header.spec
    assert [task.weight for task in job.tasks] == [256.0, 7.0]
    assert (job.model.params["channels"], job.model.latent_dim, job.train.lr) == (3, 5, 1e-5)
    assert (job.train.optimizer, job.train.weight_decay) == ("adam", 0.0)


def test_tasks_come_beside_those_of_the_method_and_a_model_in_place_of_its_own():
    found = run("beta_vae", steps=2, tasks=["ClassificationTask"], model="MLPVAE", hidden=8)
    assert [task.task_class for task in found.checkpoint.header.spec.tasks] == [
        "ReconstructionTask",
        "KLDivergenceTask",
        "ClassificationTask",
    ]
    assert (found.model.spec.architecture, found.model.spec.params["hidden"]) == ("MLPVAE", 8)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"method": "beta_vea"}, "method: 'beta_vea' is not a known method; known: AdaGVAE, AnnealedVAE"),
        (
            {"method": "beta_vae", "bta": 4},
            "bta: neither a parameter of BetaVAE (beta), nor of BurgessVAE (channels, hidden), ",
        ),
        (
            {"method": "beta_vae", "model": {"architecture": "MLPVAE"}, "hidden": 8},
            "hidden: neither a parameter of BetaVAE (beta), nor of the model, whose params are given with it (none)",
        ),
        (
            {"method": "beta_vae", "model": "MLPVAE", "channels": 8},
            "channels: neither a parameter of BetaVAE (beta), nor of MLPVAE (depth, hidden)",
        ),
        ({"method": "beta_vae", "beta": -1}, "params.beta: -1 is below the least allowed, 0"),
        ({}, "tasks: no task is given, and no method that has some"),
    ],
)
def test_bad_input_is_told_in_a_sentence(options, sentence):
    with pytest.raises(InvalidInput) as refused:
        train(DATA, steps=1, **options)
    assert sentence in str(refused.value)


def test_a_method_of_ones_own_is_a_class_like_any_other():
    class Plain(Method):
        """Reconstruction alone."""

        paper = Paper("Nobody", 2026, "Nothing", "nowhere")
        weight = Param(2.0, min=0)

        def setup(self, data: DatasetSpec) -> Setup:
            return Setup(
                architecture="MLPVAE", tasks=({"task_class": "ReconstructionTask", "weight": self.weight},)
            )

    found = train(DATA, method=Plain, steps=2, weight=3, hidden=4, device="cpu")
    assert found.checkpoint.header.spec.tasks[0].weight == 3
    named = train(DATA, method="plain", classes=PluginSet(Plain), steps=2, hidden=4, device="cpu")
    assert named.checkpoint.header.spec.tasks[0].weight == 2


# --- each by itself ------------------------------


def test_a_larger_beta_leaves_fewer_nats_in_the_code():
    nats = [value(dense("beta_vae", steps=200, beta=beta, lr=2e-3), "kl") for beta in (0.1, 20)]
    assert nats[0] > 2 * nats[1]


def test_the_capacity_rises_and_the_code_follows_it():
    found = dense("annealed_vae", steps=500, most=3, rise_steps=300, lr=2e-3, gamma=100)
    task: Any = shipped_plugins().task("CapacityTask")(most=3, rise_steps=300)
    assert [task.capacity(step) for step in (0, 75, 150, 300, 900)] == [0, 0.75, 1.5, 3, 3]
    assert value(found, "kl") == pytest.approx(3, abs=0.6)


def output_of(mean: torch.Tensor, logvar: torch.Tensor, z: torch.Tensor) -> ModelOutput:
    return ModelOutput(mean=mean, logvar=logvar, z=z, decode=None)  # type: ignore[arg-type]


def helper_of(task: str, name: str) -> Any:
    """Return a function of the file that defines a task."""
    return getattr(sys.modules[shipped_plugins().task(task).__module__], name)


class Step:
    """A step of a known number of training rows."""

    def __init__(self, rows: int = 100, step: int = 0) -> None:
        self.training_rows, self.step = rows, step
        self.generator = torch.Generator().manual_seed(0)


def attached(name: str, dimensions: int, **params: Any) -> Any:
    task = shipped_plugins().task(name)(**params)
    task.latent_range = (0, dimensions)
    return task


def test_the_three_parts_are_those_that_loops_over_pairs_and_dimensions_give():
    torch.manual_seed(0)
    n, rows = 5, 40
    mean, logvar = torch.randn(n, 3), torch.randn(n, 3)
    z = mean + torch.randn(n, 3) * (0.5 * logvar).exp()
    parts = attached("TotalCorrelationTask", 3).compute_loss(
        output_of(mean, logvar, z), None, None, Step(rows)
    )
    posterior = Normal(mean, (0.5 * logvar).exp())
    joint, product, own = [], [], []
    for i in range(n):
        densities = [
            [math.exp(Normal(mean[j, d], (0.5 * logvar[j, d]).exp()).log_prob(z[i, d])) for d in range(3)]
            for j in range(n)
        ]
        joint.append(math.log(sum(math.prod(each) for each in densities) / (n * rows)))
        product.append(sum(math.log(sum(each[d] for each in densities) / (n * rows)) for d in range(3)))
        own.append(float(posterior.log_prob(z)[i].sum()))
    prior = [float(Normal(0.0, 1.0).log_prob(z[i]).sum()) for i in range(n)]
    right = {
        "mutual_information": np.mean(own) - np.mean(joint),
        "total_correlation": np.mean(joint) - np.mean(product),
        "dimensions": np.mean(product) - np.mean(prior),
    }
    assert {name: float(each) for name, each in parts.items()} == pytest.approx(right, rel=1e-4)
    assert sum(right.values()) == pytest.approx(np.mean(own) - np.mean(prior), rel=1e-4)


def test_the_discrepancy_is_that_of_a_loop_over_pairs_and_falls():
    mmd = helper_of("MMDTask", "mmd")
    torch.manual_seed(0)
    x, y = torch.randn(6, 3), torch.randn(6, 3) + 1

    def mean_kernel(a, b):
        return np.mean([[math.exp(-float((p - q).square().sum()) / 3) for q in b] for p in a])

    right = mean_kernel(x, x) + mean_kernel(y, y) - 2 * mean_kernel(x, y)
    assert float(mmd(x, y)) == pytest.approx(right, rel=1e-5)
    assert float(mmd(x, x)) == pytest.approx(0, abs=1e-6)
    last = {}
    for strength in (0, 1000):  # alpha = 1: without a KL divergence
        found = dense("info_vae", steps=200, lr=3e-3, alpha=1, strength=strength)
        last[strength] = np.mean(found.history["raw/mmd"][-20:])
    assert last[1000] < 0.3 * last[0]


@pytest.mark.parametrize("version", ["I", "II"])
def test_the_covariance_comes_near_the_identity(version):
    torch.manual_seed(0)
    mean, logvar = torch.randn(7, 3), torch.randn(7, 3)
    task = attached("DIPTask", 3, version=version, diagonal=2)
    covariance = np.cov(mean.numpy().T, bias=True) + (
        np.diag(logvar.exp().mean(0).numpy()) if version == "II" else 0
    )
    off = covariance - np.diag(np.diag(covariance))
    right = (off**2).sum() + 2 * ((np.diag(covariance) - 1) ** 2).sum()
    assert float(task.compute_loss(output_of(mean, logvar, mean), None, None)) == pytest.approx(
        right, rel=1e-4
    )
    found = dense("dip_vae", steps=300, version=version, latent_dim=4, lr=3e-3, off_diagonal=100)
    output = codes(found)
    spread = torch.cov(output.posterior_mean.T, correction=0)
    if version == "II":
        assert output.logvar is not None
        spread += torch.diag(output.logvar.exp().mean(0))
    assert (spread - torch.eye(4)).abs().max() < 0.35


def test_the_total_correlation_of_a_factor_vae_falls_and_neither_loss_reaches_the_other():
    task = attached("DiscriminatorTask", 4, hidden=8)
    head = task.build_head(4, DATA)
    z = torch.randn(32, 4, requires_grad=True)
    parts = task.compute_loss(output_of(z, torch.zeros(32, 4), z), None, head, Step())
    (of_z,) = torch.autograd.grad(parts["discriminator"], z, allow_unused=True, retain_graph=True)
    of_head = torch.autograd.grad(parts["total_correlation"], list(head.parameters()), allow_unused=True)
    assert of_z is None
    assert all(each is None for each in of_head)
    last = {}
    for gamma in (0.0, 100.0):
        options = {"gamma": gamma, "hidden": 32, "latent_dim": 4, "lr": 2e-3, "batch_size": 100}
        found = dense("factor_vae", squares(6), steps=250, **options)
        last[gamma] = np.mean(found.history["part/discriminator/total_correlation"][-50:])
    assert last[100.0] < 0.5 * last[0.0]


def test_pairs_are_used_and_say_which_dimensions_are_shared():
    shared = helper_of("PairsTask", "shared")
    torch.manual_seed(0)
    means, logvars = torch.randn(2, 6, 4), torch.randn(2, 6, 4)
    one, two = (Normal(m, (0.5 * v).exp()) for m, v in zip(means, logvars, strict=True))
    apart = kl_divergence(one, two)
    middle = (apart.max(1).values + apart.min(1).values) / 2
    assert torch.equal(shared(means[0], logvars[0], means[1], logvars[1]), apart <= middle[:, None])
    images = np.zeros((20, 1, 16, 16), np.uint8)
    without = AccDataset(images)
    with pytest.raises(Exception, match="no factors to pair rows by"):
        run("ada_gvae", without, steps=2)
    assert 5 < value(dense("ada_gvae", squares(4), steps=200, lr=2e-3), "shared") < 10


def test_codes_are_discrete_vectors_of_the_book_and_many_are_in_use():
    found = run("vq_vae", steps=150, lr=2e-3)
    z = codes(found)
    vectors = z.mean.permute(0, 2, 3, 1).flatten(0, 2)
    model: Any = found.model
    distances = (vectors[:, None] - model.book[None]).abs().sum(2)
    assert float(distances.min(1).values.max()) == 0
    assert torch.equal(distances.argmin(1), z.extras["codes"].flatten())
    assert value(found, "perplexity") > 2
    assert model.used.sum() == pytest.approx(40 * 16 * 16, rel=2)


def test_codes_are_the_nearest_in_half_precision_too():
    found = run("vq_vae", steps=1)
    model: Any = found.model
    # Codes so close together that half precision cannot tell them apart.
    model.book.copy_(1 + 1e-4 * torch.arange(len(model.book))[:, None].expand_as(model.book))
    images = torch.from_numpy(DATA.images[:4]).float() / 255
    with torch.no_grad():
        model.encoder[-1].bias.fill_(1.01)
        model.encoder[-1].weight.mul_(1e-3)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        told = model.posterior(images).extras
    flat = told["encoded"].permute(0, 2, 3, 1).double()
    nearest = (flat[..., None, :] - model.book.double()).square().sum(-1).argmin(-1)
    assert torch.equal(told["codes"], nearest)


def test_the_book_is_a_moving_average_of_what_was_encoded():
    task = attached("CodebookTask", 2, decay=0.9)
    model: Any = shipped_plugins().models["VQAutoencoder"].__new__(shipped_plugins().models["VQAutoencoder"])
    torch.nn.Module.__init__(model)
    for name, tensor in {"book": torch.eye(2), "used": torch.ones(2), "sums": torch.eye(2)}.items():
        model.register_buffer(name, tensor)
    flat = torch.tensor([[2.0, 0.0], [4.0, 0.0], [0.0, 3.0]])
    task._follow(model, flat, torch.tensor([0, 0, 1]))
    used = np.array([0.9 + 0.1 * 2, 0.9 + 0.1])
    sums = np.array([[0.9 + 0.1 * 6, 0.0], [0.0, 0.9 + 0.1 * 3]])
    assert model.book.numpy() == pytest.approx(sums / used[:, None], rel=1e-4)


def test_latents_lie_on_the_grid_and_it_learns():
    found = run("qlae", steps=60, latent_dim=4, lr=3e-3)
    z = codes(found).mean
    model: Any = found.model
    grid = model.grid
    assert grid.shape == (4, 5)
    assert all(bool(torch.isin(z[:, dimension], grid[dimension]).all()) for dimension in range(4))
    first = torch.linspace(-0.5, 0.5, 5).expand(4, 5)
    assert not torch.allclose(grid, first)


def test_k_features_are_active_and_they_say_the_layer():
    found = dense("TopKSAE", steps=300, layer="", features=24, k=3, lr=3e-3)
    assert value(found, "active") == pytest.approx(3, abs=0.5)
    assert value(found, "explained") > 0.5
    losses = found.history["raw/topksparse"]
    assert np.mean(losses[-20:]) < np.mean(losses[:20])
    layered = run("TopKSAE", steps=3)
    head: Any = layered._trainer.tasks.get("topksparse").head
    assert head.words.shape == (24, 32)
    with pytest.raises(InvalidInput, match="'encoder.99' is not a module of this model"):
        run("TopKSAE", steps=1, layer="encoder.99")


def test_masks_of_slots_add_up_and_begin_the_same_way_when_measured():
    found = run("slot_attention", steps=10)
    output = codes(found)
    masks = output.attention
    assert masks is not None
    assert masks.shape == (len(DATA), 3, 16, 16)
    assert masks.detach().sum(1).numpy() == pytest.approx(np.ones((len(DATA), 16, 16)), abs=1e-5)
    assert found.model.slot_names == ("slot 1", "slot 2", "slot 3")
    assert torch.equal(codes(found).mean, output.mean)
    with pytest.raises(InvalidInput, match="10 dimensions cannot be divided among 3 slots"):
        run("slot_attention", steps=1, latent_dim=10)


def test_what_is_wrong_with_a_method_is_told_when_it_is_saved():
    head = "from acc.api import Method, Paper, Param, Setup\n"
    body = "    def setup(self, data): return Setup(architecture='X', tasks=())\n"
    with pytest.raises(PluginError, match="paper is missing; write paper = Paper"):
        load_source(f"{head}class A(Method):\n{body}", "methods/a.py")
    paper = "    paper = Paper('A', 2026, 'T', 'W')\n"
    with pytest.raises(
        PluginError, match=r"parameter 'steps' has a name that train\(method=...\) takes itself"
    ):
        load_source(f"{head}class A(Method):\n{paper}    steps = Param(1)\n{body}", "methods/a.py")
    with pytest.raises(PluginError, match="does not define setup"):
        load_source(f"{head}class A(Method):\n{paper}", "methods/a.py")
    made = load_source(f"{head}class A(Method):\n{paper}{body}", "methods/a.py")
    assert made[0].describe()["requires"]["paper"]["text"] == "A (2026). T. W"

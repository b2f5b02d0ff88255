"""A latent in the hand begins anywhere, moves along its axes, is drawn, mixed with another, and written as ONNX."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from acc.draws import normal, uniform
from acc.errors import InvalidInput
from acc.evaluation.hand import LatentHand
from acc.models import Decoded, build
from acc.models.base import Model
from acc.models.export import decoder_to_onnx
from acc.specs import ImageShape, ModelSpec
from acc.tests import evaluated, helpers
from acc.training.plugin_set import PluginSet


def hand(architecture: str = "FactorSlotAutoencoder", bottleneck: str = "pooled") -> LatentHand:
    """Return a trained checkpoint in the hand."""
    made = evaluated.checkpoint(architecture, bottleneck)
    return LatentHand(made, helpers.shipped_tasks(), evaluated.data())


def test_an_axis_reaches_as_far_as_the_latents_of_the_data_and_their_spread() -> None:
    found = hand()
    encoded = found.model.encode(torch.from_numpy(evaluated.data().images[:512] / np.float32(255)))
    assert encoded.logvar is not None
    noise = encoded.logvar.exp().mean(dim=0)
    # Which rows are looked at is chosen; of 512 of 1,000 the moments are near, and the noise of the posterior counts.
    expected = (encoded.mean.var(dim=0) + noise).sqrt().detach().numpy()
    np.testing.assert_allclose(found.reach.spread, expected, rtol=0.25)
    assert [(axis.name, axis.start, axis.end) for axis in found.reach.axes] == [
        ("digit", 0, 3), ("size", 3, 5), ("free", 5, 8),
    ]  # fmt: skip
    for axis in found.reach.axes:
        assert np.linalg.norm(axis.vector) == pytest.approx(1)
        assert axis.spread >= 0.9 * min(found.reach.spread[axis.start : axis.end])
    assert found.reach.prior
    assert "images" in found.reach.looked_at


def test_a_model_without_groups_or_spread_has_dimensions_and_draws_as_its_latents_lie() -> None:
    made = evaluated.trained(helpers.model_spec("Autoencoder", factor_groups=()), steps=2)
    found = LatentHand(made, helpers.shipped_tasks(), evaluated.data())
    assert found.reach.axes == ()
    assert not found.reach.prior
    drawn = np.stack([found.draw(seed) for seed in range(300)])
    np.testing.assert_allclose(drawn.mean(axis=0), found.reach.mean, atol=0.3 * max(found.reach.spread))


def test_without_the_data_it_can_still_be_moved() -> None:
    found = LatentHand(evaluated.checkpoint(), helpers.shipped_tasks(), None)
    assert set(found.reach.spread) == {1.0}
    assert [axis.name for axis in found.reach.axes] == ["digit", "size", "free"]
    assert found.reach.looked_at == ""
    assert found.decode(found.draw(0)[None]).shape == (1, 1, 16, 16)


@pytest.mark.parametrize("bottleneck", ["pooled", "spatial"])
def test_what_is_decoded_is_what_the_model_draws(bottleneck: str) -> None:
    found = hand(bottleneck=bottleneck)
    z = np.stack([found.draw(seed) for seed in (3, 4)])
    assert z.shape[1:] == found.reach.shape
    with torch.no_grad():
        expected = (found.model.decode(torch.from_numpy(z)) * 255).round().to(torch.uint8).numpy()
    np.testing.assert_array_equal(found.decode(z), expected)


def test_it_begins_at_any_image_of_any_dataset_that_fits() -> None:
    found = hand()
    other = helpers.blobs(20, seed=9)
    latent, image = found.encode(other, 7)
    np.testing.assert_array_equal(image, other.images[7])
    with torch.no_grad():
        mean = found.model.encode(torch.from_numpy(other.images[7:8] / np.float32(255))).mean[0]
    np.testing.assert_allclose(latent, mean, atol=1e-6)
    with pytest.raises(InvalidInput, match="0 to 19"):
        found.encode(other, 20)
    with pytest.raises(InvalidInput, match="this model reads 1 x 16 x 16"):
        found.encode(helpers.blobs(5, channels=3), 0)


def test_a_seed_draws_the_same_latent_for_ever() -> None:
    np.testing.assert_allclose(normal(3, 3), [0.78638461, 1.11657213, -0.73037757], atol=1e-8)
    drawn = normal(0, 100_000)
    assert abs(drawn.mean()) < 0.02
    assert abs(drawn.std() - 1) < 0.02
    assert 0 < uniform(2**32 - 1, 1000).min() < uniform(2**32 - 1, 1000).max() < 1
    np.testing.assert_array_equal(hand().draw(5), hand().draw(5))


def test_between_two_checkpoints_weights_are_mixed_and_the_ends_are_exact() -> None:
    model = helpers.model_spec()
    early, late = evaluated.trained(model, steps=2), evaluated.trained(model, steps=40)
    found, other = (LatentHand(made, helpers.shipped_tasks(), evaluated.data()) for made in (early, late))
    z = found.draw(1)[None]
    first, last = found.decode(z), other.decode(z)
    found.mix("late", late.part("model"), 1.0)
    np.testing.assert_array_equal(found.decode(z), last)
    found.mix("late", late.part("model"), 0.5)
    halfway = found.images(z)
    for name, value in found.model.state_dict().items():
        torch.testing.assert_close(value, (early.part("model")[name] + late.part("model")[name]) / 2)
    assert not np.array_equal(halfway, first)
    found.mix("", None, 0.0)
    np.testing.assert_array_equal(found.decode(z), first)
    wider = evaluated.trained(helpers.model_spec(params={"channels": 12}), steps=1)
    with pytest.raises(InvalidInput, match="different models"):
        found.mix("wider", wider.part("model"), 0.5)


def test_what_cannot_be_drawn_is_said_in_a_sentence() -> None:
    found = hand()
    with pytest.raises(InvalidInput, match=r"latent is of shape \(8,\)"):
        found.decode(np.zeros((1, 7), np.float32))
    with pytest.raises(InvalidInput, match="ask for 4096 at most"):
        found.decode(np.zeros((5000, 8), np.float32))
    with pytest.raises(InvalidInput, match="not finite"):
        found.decode(np.full((1, 8), np.nan, np.float32))

    def broken(z: Any) -> Decoded:
        raise RuntimeError("no ink")

    found.model.decode_logits = broken  # type: ignore[method-assign]
    with pytest.raises(
        InvalidInput, match="FactorSlotAutoencoder cannot draw this latent: RuntimeError: no ink"
    ):
        found.decode(found.draw(0)[None])


class Own(Model):
    """A plugin's architecture, of colour and of an odd size."""

    def __init__(self, spec: Any) -> None:
        super().__init__(spec)
        size = spec.image.channels * spec.image.height * spec.image.width
        self.inward = torch.nn.Linear(size, spec.latent_dim)
        self.outward = torch.nn.Linear(spec.latent_dim, size)

    def posterior(self, x_BCHW: Any) -> Any:
        return self.inward(x_BCHW.flatten(1)), None

    def decode_logits(self, z: Any) -> Decoded:
        image = self.spec.image
        return Decoded(self.outward(z).unflatten(1, (image.channels, image.height, image.width)))


def test_a_plugin_s_architecture_of_colour_and_of_an_odd_size_is_drawn() -> None:
    data = helpers.blobs(60, channels=3, side=18)
    classes = PluginSet(*helpers.shipped_classes(), Own)
    spec = helpers.job(
        {"data": data},
        [helpers.task("reconstruction")],
        model=ModelSpec(architecture="Own", latent_dim=8, image=ImageShape(channels=3, height=18, width=18)),
        steps=1,
    )
    _, sink = helpers.run(spec, {"data": data}, classes)
    found = LatentHand(sink.last.checkpoint(), classes, data)
    assert found.decode(found.draw(2)[None]).shape == (1, 3, 18, 18)
    assert decoder_to_onnx(found.model, found.reach.shape)


@pytest.mark.parametrize(
    ("architecture", "bottleneck"),
    [("FactorSlotAutoencoder", "spatial"), ("Autoencoder", ""), ("ConvVAE", "")],
)
def test_a_decoder_written_as_onnx_draws_what_torch_draws(architecture: str, bottleneck: str) -> None:
    onnx = pytest.importorskip("onnx")
    from onnx.reference import ReferenceEvaluator

    found = hand(architecture, bottleneck)
    file = onnx.load_from_string(decoder_to_onnx(found.model, found.reach.shape))
    onnx.checker.check_model(file)
    z = found.draw(11)[None]
    (image,) = ReferenceEvaluator(file).run(None, {"z": z})
    np.testing.assert_allclose(np.asarray(image), found.images(z), atol=1e-5)


def test_without_the_package_onnx_it_is_said_how_to_install_it() -> None:
    code = (
        "import sys; sys.modules['onnx'] = None\n"
        "import importlib.util; importlib.util.find_spec = lambda name: None\n"
        "from acc.models.export import decoder_to_onnx\n"
        "try: decoder_to_onnx(None, (3,))\n"
        "except Exception as error: print(error)\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert "pip install onnx" in done.stdout, done.stderr


def test_a_model_is_not_changed_by_being_written() -> None:
    model = build(helpers.model_spec()).eval()
    before = helpers.weights(model)
    pytest.importorskip("onnx")
    assert decoder_to_onnx(model, (8,)) == decoder_to_onnx(model, (8,))
    for name, value in helpers.weights(model).items():
        np.testing.assert_array_equal(value, before[name])

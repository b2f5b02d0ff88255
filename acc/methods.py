"""Methods: a paper's architecture, tasks and training settings, made for given data. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import Field

from acc.errors import InvalidInput
from acc.params import clean_params, params_of
from acc.specs import DatasetSpec, Spec

USUAL_LATENT_DIM = 10


@dataclass(frozen=True)
class Paper:
    """Where a method comes from: ``Paper("Higgins et al.", 2017, "beta-VAE: ...", "ICLR 2017")``.

    where: a venue, or ``arXiv:1804.03599``.
    """

    authors: str
    year: int
    title: str
    where: str

    def __str__(self) -> str:
        return f"{self.authors} ({self.year}). {self.title}. {self.where}"


class Setup(Spec):
    """What a method makes for given data: all that an experiment begins with.

    params: of the architecture. tasks: fields of ``TaskSpec`` for each task on the data; ``key`` and ``dataset`` are
    given by whoever attaches them. train: fields of ``TrainSpec``, without steps.
    """

    architecture: str
    latent_dim: int = Field(default=USUAL_LATENT_DIM, ge=1, le=65_536)
    params: dict[str, Any] = Field(default_factory=dict)
    tasks: tuple[dict[str, Any], ...]
    train: dict[str, Any] = Field(default_factory=dict)


class Method:
    """A method of a paper. Subclass it, name the paper, declare ``Param``s, write ``setup``.

    The defaults of its parameters are those of the paper.
    """

    label: ClassVar[str] = ""
    paper: ClassVar[Paper]

    def __init__(self, **params: Any) -> None:
        for name, value in clean_params(params_of(type(self)), params).items():
            setattr(self, name, value)

    def setup(self, data: DatasetSpec) -> Setup:
        """Return architecture, tasks and training settings for images like those of ``data``."""
        raise NotImplementedError(f"{type(self).__name__} must define setup(data)")

    @staticmethod
    def reconstruction(data: DatasetSpec, loss: str = "bce") -> dict[str, Any]:
        """Return a reconstruction task that counts whole images, as papers do: in nats, for binary cross-entropy.

        The task's own loss is a mean over pixels; its weight is the number of pixels and channels of an image.
        """
        image = data.image
        return {
            "task_class": "ReconstructionTask",
            "weight": float(image.channels * image.height * image.width),
            "params": {"loss": loss},
        }


def made(method: Method, data: DatasetSpec) -> Setup:
    """Return the setup of a method; raises InvalidInput (method) for what is none."""
    found: Any = method.setup(data)
    if not isinstance(found, Setup):
        raise InvalidInput(
            {
                "method": f"{type(method).__name__}.setup returned {type(found).__name__}; it must return a Setup"
            }
        )
    return found

"""Architectures of autoencoders, and the way from a specification to one of them."""

from acc.models.autoencoder import Autoencoder, ConvVAE
from acc.models.base import Model
from acc.models.build import BUILT_IN, build
from acc.models.factor_slot import FactorSlotAutoencoder
from acc.models.output import Decoded, ModelOutput, Posterior

__all__ = [
    "BUILT_IN",
    "Autoencoder",
    "ConvVAE",
    "Decoded",
    "FactorSlotAutoencoder",
    "Model",
    "ModelOutput",
    "Posterior",
    "build",
]

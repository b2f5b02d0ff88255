"""Pictures from arrays, and nothing but pictures. Torch-free."""

from acc.render.sprites import difference, heat, png, reconstruction_rows, sprite

__all__ = ["difference", "heat", "png", "reconstruction_rows", "sprite"]

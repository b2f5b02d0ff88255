"""ACC's engine: train, branch and measure autoencoders with named factors. Knows nothing of the web site.

Importing ``acc`` is cheap and torch-free; ``acc.api`` is the one import for notebooks and plugin authors.
"""

__version__ = "0.1.0"

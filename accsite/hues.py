"""How many hues tell tasks and factor groups apart: as many as ``static/css/tokens.css`` has; then they come again."""

HUES = 8

"""The HTML pages of training. A page and each of its panels come from the same templates."""

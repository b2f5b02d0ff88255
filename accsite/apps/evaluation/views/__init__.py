"""The HTML pages of evaluation. A page and each of its panels come from the same templates."""

"""The HTML pages of trees. A page and each of its panels come from the same templates."""

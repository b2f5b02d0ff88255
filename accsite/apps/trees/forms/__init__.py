"""The forms of the pages of trees."""

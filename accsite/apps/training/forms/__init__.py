"""The forms of the pages of training."""

"""What can be done to notes, one a file: see ``accsite.actions``."""

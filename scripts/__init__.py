"""What the Makefile calls: set up, lint, test and bench from a bare machine."""

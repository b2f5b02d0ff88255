"""One file per row or few of the table; each runs alone, and `make bench` prints them all."""

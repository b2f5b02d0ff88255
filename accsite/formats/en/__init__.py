"""The formats of the only language there is."""

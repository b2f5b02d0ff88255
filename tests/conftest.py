"""Fixtures shared by the fault, contract and browser tests; each folder adds its own."""

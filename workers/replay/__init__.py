"""Replays: a checkpoint's whole line run again, and what came of it compared."""

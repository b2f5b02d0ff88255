"""The file of a checkpoint, what goes into it and comes back exactly, and the proof that nothing is lost."""

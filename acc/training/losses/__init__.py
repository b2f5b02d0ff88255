"""What the losses of a run tell: their names and blocks, how they stand, alarms, and when to stop early."""

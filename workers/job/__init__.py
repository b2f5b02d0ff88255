"""What the process of one job uses, whatever its kind: claim, lease, control, record, log, and the end with its proof."""

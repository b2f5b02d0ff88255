"""What the process of one job uses, whatever its kind: its claim and lease, control, record, log, and proof at the end."""

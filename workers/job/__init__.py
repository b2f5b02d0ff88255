"""What the process of a job uses, whatever its kind: claim and lease, control, record, log, and proof at the end."""

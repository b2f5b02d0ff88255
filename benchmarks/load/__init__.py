"""What one installation holds: many browsers, many jobs, many workers; `make load`."""

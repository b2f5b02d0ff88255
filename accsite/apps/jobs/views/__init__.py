"""The pages of devices."""

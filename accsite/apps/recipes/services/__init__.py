"""All that changes runs of recipes."""

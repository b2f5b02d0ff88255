"""All that changes studies."""

"""What the jobs of each kind do, from their specification to their end."""

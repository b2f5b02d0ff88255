"""Jobs of several ranks: the one that leads, those that follow on its machine, and parts on other machines."""

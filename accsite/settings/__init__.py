"""Settings: ``embedded`` (one machine, SQLite, loopback), ``production`` (from the environment) and ``test``."""

"""Settings: ``embedded`` (one machine, SQLite, loopback), ``production`` (the environment), ``test``."""

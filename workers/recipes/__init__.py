"""How recipes run: their verbs, the record of what was done, and the rehearsal that foresees it."""

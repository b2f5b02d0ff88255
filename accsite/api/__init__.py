"""The REST API's root: what each app offers, its schema, and the pages that show it."""

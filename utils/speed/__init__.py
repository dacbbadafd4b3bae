"""How fast, and how fast it could be: the parts of notebook 10 that are not lessons, and those that are."""

"""A log of one's own: a table in a file, and a YAML file that says what its columns are."""

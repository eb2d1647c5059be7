"""A pytest plugin: each policy and limit of a file of policies as a test."""

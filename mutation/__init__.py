"""Mutation run: do the tests notice a small change to the code? Started by hand, see run.py."""

"""From a question, runs and policies to stops, and from stops to outcomes."""

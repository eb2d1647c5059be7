"""The log formats, one module each."""

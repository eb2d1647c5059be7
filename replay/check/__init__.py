"""Check stop policies against limits and against what they did before: `replay check`."""

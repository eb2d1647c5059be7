"""What a finished training has logged: runs, curves, names, compute and noise."""

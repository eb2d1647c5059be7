"""Search among policies: sweeps, Pareto front, good region, cross-validated choice."""

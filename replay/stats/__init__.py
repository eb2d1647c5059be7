"""Statistics of outcomes: intervals, equal budgets, summaries, optimism and groups of runs."""

"""What the importers' tests look at in a run."""


def curve(run, metric="val_loss"):
    """The values of one metric by step, where it was logged."""
    values, present = run.columns[metric]
    return dict(zip(run.steps[present].tolist(), values[present].tolist(), strict=True))

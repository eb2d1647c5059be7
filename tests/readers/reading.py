"""What a format says of files that it cannot use, in words."""

import pytest

from replay.readers import UnusableLog
from replay.report.sentences import sentence


def refusal(format, *paths):
    """The sentence of the finding with which a format refuses its files."""
    with pytest.raises(UnusableLog) as caught:
        format.load(list(paths), "run")
    return sentence(caught.value.finding)


def load_if_usable(format, path):
    """The runs of a file with what was found, as sentences; no runs where the format refuses it."""
    try:
        runs, findings = format.load([path], "run")
    except UnusableLog as error:
        return [], [sentence(error.finding)]
    return runs, [sentence(finding) for finding in findings]

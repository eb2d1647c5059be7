"""The lines at which the keys of a TOML document stand."""

import tomllib

import pytest

from replay.check.toml_lines import key_lines

DOCUMENT = '''\
# a comment with a [table] and a = 1
logs = [
  "one", # ]
  'two]',
]
text = """
[policies.fake]
spec = "no \\""" key"
"""
literal = \'\'\'
a = 1\'\'\'\'

[policies."a.b".groups]
films = { max_lost = "5%", min_saved = '1%' } # }
[policies . 'c']
spec="patience=1" # spec = 2
dates.first = 1979-05-27 07:32:00
[[policies.c.expect]]
run = "r#1"
eval = 3

[[policies.c.expect]]
run = "r2"
[policies.d]
expect = [
  {run = "x", eval = 1}, {run = "y", eval = 2} ]
'''


def paths(value, above=()):
    """Every table, key and item of an array below a value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*above, key)
        yield from paths(item, (*above, key))


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_keys_of_every_kind_are_found_at_their_line(end):
    text = DOCUMENT.replace("\n", end)
    lines = key_lines(text)
    assert set(lines) == set(paths(tomllib.loads(text)))
    at = {path: DOCUMENT.splitlines()[line - 1] for path, line in lines.items()}
    assert at["policies", "a.b", "groups", "films", "min_saved"].startswith("films = ")
    assert at["policies", "c", "spec"].startswith("spec=")
    assert at["policies", "c", "dates", "first"].startswith("dates.first")
    assert at["policies", "c", "expect", 1, "run"] == 'run = "r2"'
    assert at["policies", "d", "expect", 0, "eval"].startswith("  {run = ")
    assert at["logs", 1] == "  'two]',"
    assert lines["policies", "c", "expect", 0] == lines["policies", "c", "expect"] != 1


@pytest.mark.parametrize(
    "text", ["", "a", "a = ", "[", '"', "a = '''", "a = [", "a = " + "[" * 5000, '"\\q" = 1']
)
def test_what_is_no_document_ends_without_an_error(text):
    assert isinstance(key_lines(text), dict)

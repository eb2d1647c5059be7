"""Rows of files: tables with and without a header, Orange's .tab, and what cannot be read."""

import json

import pytest

from collect import data, tables
from replay.errors import InputError
from tests.collect.conftest import CLASSIFIER, changed
from tests.collect.test_data import config_of, rows, write

ORANGE = "Category\tText\tYear\nd\tstring\tcontinuous\nclass\tinclude=True\tmeta\n\n"


def load(folder, name, **keys):
    return data.load(config_of(changed(CLASSIFIER, data={"file": name, **keys}), folder), folder)


@pytest.mark.parametrize("column", ["label-coarse", "the label", "étiquette", "label.0", "a:b", "a/b (c)"])
def test_columns_may_have_any_name(column, tmp_path):
    write(tmp_path, [{"text": row["text"], column: f"{row['label']} it is"} for row in rows(100)])
    assert load(tmp_path, "reviews.jsonl", label=column).labels == ("even it is", "odd it is")
    assert load(tmp_path, "reviews.jsonl", label=f"{{{column}:1}}!").labels == ("even!", "odd!")


def test_a_brace_that_is_text_is_written_twice(tmp_path):
    write(tmp_path, rows(100))
    texts = load(tmp_path, "reviews.jsonl", text='{{"text": "{text}", "n": {{}}}} {')
    assert texts.train[0].source.startswith('{"text": "text ')
    assert texts.train[0].source.endswith('", "n": {}} {')


def test_a_column_that_is_not_there_is_an_error_that_names_it(tmp_path):
    write(tmp_path, rows(100))
    with pytest.raises(InputError, match=r"reviews.jsonl has no column 'label-corse'; it has"):
        load(tmp_path, "reviews.jsonl", label="label-corse")
    with pytest.raises(InputError, match=r"no column 'a-b'; .* \(write a literal brace twice\)"):
        load(tmp_path, "reviews.jsonl", text="{a-b} {text}")


def test_rows_that_lack_a_key_are_empty(tmp_path):
    content = rows(110)
    for row in content[3:13]:
        del row["label"]
    write(tmp_path, content)
    with pytest.raises(InputError, match=r"'label' is empty in 10 rows \(row 4, 5, 6 and 7 more\)"):
        load(tmp_path, "reviews.jsonl")
    (counts,) = load(tmp_path, "reviews.jsonl", drop_empty=True).counts
    assert (counts.rows, counts.empty, counts.unused) == (110, 10, 2)


@pytest.mark.parametrize(("name", "separator"), [("reviews.csv", ","), ("reviews.tsv", "\t")])
def test_a_table_without_a_header(name, separator, tmp_path):
    lines = [separator.join((row["label"], "7", row["text"])) + "\n" for row in rows(100)]
    (tmp_path / name).write_text("".join(lines))
    write(tmp_path, rows(100))
    texts = load(tmp_path, name, columns=["label", "id", "text"])
    assert texts == load(tmp_path, "reviews.jsonl")
    assert texts.counts[0].rows == 100
    with pytest.raises(InputError, match=rf"{name}: .* \(line 1 has 3 fields, and columns names 2\)"):
        load(tmp_path, name, columns=["label", "text"])


def test_columns_are_for_tables_without_names(tmp_path):
    write(tmp_path, rows(100))
    with pytest.raises(InputError, match=r"reviews.jsonl: columns = \['a', 'b'\] names the"):
        load(tmp_path, "reviews.jsonl", columns=["a", "b"])
    with pytest.raises(InputError, match=r"data.columns = \['a', 'a'\]; it must name each column"):
        load(tmp_path, "reviews.jsonl", columns=["a", "a"])
    with pytest.raises(InputError, match=r"data.columns = \['a'\]; it names the columns of"):
        config_of(changed(CLASSIFIER, data={"hub": "set", "columns": ["a"]}), tmp_path)


def test_the_record_has_columns_only_where_they_are_given(tmp_path):
    assert "columns" not in config_of(CLASSIFIER, tmp_path).record()["data"]
    given = config_of(changed(CLASSIFIER, data={"columns": ["text", "label"]}), tmp_path)
    assert given.record()["data"]["columns"] == ["text", "label"]


def test_a_row_with_more_fields_than_columns_is_an_error(tmp_path):
    (tmp_path / "reviews.csv").write_text("text,label\nbad, but short,bad\ngood,good\n")
    with pytest.raises(InputError, match=r"csv \(line 2 has 3 fields, and there are 2 columns;"):
        load(tmp_path, "reviews.csv")
    (tmp_path / "reviews.csv").write_text("text,label\ngood,good,\n")
    assert tables.parse(b"text,label\ngood,fine,\n", "a.csv") == [{"text": "good", "label": "fine"}]


@pytest.mark.parametrize(
    "head",
    [
        ORANGE,
        "Category\tText\tYear\nham spam\tstring\t\nclass\t\t\n",
        "cD#Category\tmS#Text\tYear\n",
        "Category\tText\tYear\n",
    ],
)
def test_the_headers_of_orange(head, tmp_path):
    text = head + 'spam\t"first ""line""\nsecond"\t1999\n\nham\tc\td\n'
    assert tables.parse(text.encode(), "mail.tab") == [
        {"Category": "spam", "Text": 'first "line"\nsecond', "Year": "1999"},
        {"Category": "ham", "Text": "c", "Year": "d"},
    ]


def test_what_looks_like_types_and_is_data_stays(tmp_path):
    text = "word\tnext\nstring\ttheory rules\nclass\twork is hard\n"
    assert [row["word"] for row in tables.parse(text.encode(), "words.tab")] == ["string", "class"]


def test_orange_texts_are_trained(tmp_path):
    lines = "".join(f"{row['label']}\t{row['text']}\t2000\n\n" for row in rows(100))
    (tmp_path / "mail.tab").write_text(ORANGE + lines)
    write(tmp_path, rows(100))
    assert load(tmp_path, "mail.tab", text="Text", label="Category") == load(tmp_path, "reviews.jsonl")


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ('{"text": 1', r"line 18, column 11: Expecting ',' delimiter"),
        ("[1]", "line 18: every line must be a JSON object"),
    ],
)
def test_a_broken_line_is_named(broken, message, tmp_path):
    content = [*(json.dumps(row) for row in rows(16)), "", broken, *(json.dumps(row) for row in rows(9))]
    (tmp_path / "reviews.jsonl").write_text("\n".join(content))
    with pytest.raises(InputError, match=rf"reviews.jsonl: not readable as jsonl \({message}\)"):
        load(tmp_path, "reviews.jsonl")

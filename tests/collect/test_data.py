"""Texts: files, templates, splits, and packages."""

import bz2
import gzip
import json
import lzma
import sys
import zipfile

import pytest

from collect import config as settings
from collect import data, packages
from replay.errors import InputError
from tests.collect.conftest import CLASSIFIER, LANGUAGE, changed


def config_of(raw, root):
    import dataclasses

    return dataclasses.replace(settings.parse({"name": "run", **raw}, "run.toml"), root=root)


def rows(count):
    return [
        {
            "text": f"text {number}",
            "label": "odd" if number % 2 else "even",
            "kind": "a" if number < 60 else "b",
        }
        for number in range(count)
    ]


def write(folder, content, name="reviews.jsonl"):
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in content))


def test_splits_are_disjoint_complete_and_repeatable(tmp_path):
    write(tmp_path, rows(100))
    config = config_of(changed(CLASSIFIER, data={"train_size": 48}), tmp_path)
    texts = data.load(config, tmp_path)
    assert [len(split) for split in (texts.train, texts.validation, texts.test)] == [48, 30, 20]
    assert (
        len({example.source for split in (texts.train, texts.validation, texts.test) for example in split})
        == 98
    )
    assert texts.labels == ("even", "odd")
    assert data.load(config, tmp_path) == texts
    assert data.load(config, tmp_path).record() == texts.record()
    other = data.load(config_of(changed(CLASSIFIER, data={"seed": 1}), tmp_path), tmp_path)
    assert other.record() != texts.record()


def test_other_train_sizes_are_judged_on_the_same_examples(tmp_path):
    write(tmp_path, rows(100))
    small, large = (
        data.load(config_of(changed(CLASSIFIER, data={"train_size": size}), tmp_path), tmp_path)
        for size in (10, 50)
    )
    assert (small.validation, small.test) == (large.validation, large.test)
    assert large.train[:10] == small.train


def test_training_takes_the_rest_of_the_rows_that_are_kept(tmp_path):
    write(tmp_path, rows(100))
    raw = changed(
        CLASSIFIER, data={"where": {"kind": "a"}, "train_size": None, "validation_size": 10, "test_size": 5}
    )
    raw["data"] = {key: value for key, value in raw["data"].items() if value is not None}
    assert len(data.load(config_of(raw, tmp_path), tmp_path).train) == 45


def test_the_same_text_counts_once(tmp_path):
    write(tmp_path, rows(100) + rows(100))
    with pytest.raises(InputError, match="100 different examples"):
        data.load(config_of(changed(CLASSIFIER, data={"train_size": 51}), tmp_path), tmp_path)


def several_answers(prompts, answers):
    """Some prompts, each with several answers."""
    return [
        {"left": number, "right": 1, "sum": f"{number + 1}{'!' * times}"}
        for times in range(answers)
        for number in range(prompts)
    ]


def of_sums(**keys):
    raw = changed(LANGUAGE)
    raw["data"] = {
        "file": "sums.jsonl",
        "prompt": "{left} plus {right} equals",
        "answer": "sum",
        "validation_size": 25,
        "test_size": 12,
        **keys,
    }
    return raw


def prompts_of(split):
    return {example.source for example in split}


def test_answers_of_one_prompt_all_count_and_stay_in_one_split(tmp_path):
    write(tmp_path, several_answers(70, 4), "sums.jsonl")
    texts = data.load(config_of(of_sums(), tmp_path), tmp_path)
    # 6 prompts and one answer of a 7th, whose 3 others are in no split; 3 prompts
    assert [len(split) for split in (texts.train, texts.validation, texts.test)] == [
        280 - 25 - 3 - 12,
        25,
        12,
    ]
    train, validation, test = map(prompts_of, (texts.train, texts.validation, texts.test))
    assert len(train | validation | test) == len(train) + len(validation) + len(test)
    assert (len(validation), len(test), len(train)) == (7, 3, 60)
    assert len({*texts.train, *texts.validation, *texts.test}) == 277


def test_answers_of_one_prompt_can_be_dealt_out(tmp_path):
    write(tmp_path, several_answers(70, 4), "sums.jsonl")
    texts = data.load(config_of(of_sums(allow_overlap=True), tmp_path), tmp_path)
    assert [len(split) for split in (texts.train, texts.validation, texts.test)] == [243, 25, 12]
    assert prompts_of(texts.train) & prompts_of(texts.validation)


def test_a_prompt_of_too_many_answers_is_for_training(tmp_path):
    many = [{"left": 0, "right": 0, "sum": str(number)} for number in range(90)]
    write(tmp_path, several_answers(50, 1) + many, "sums.jsonl")
    texts = data.load(config_of(of_sums(), tmp_path), tmp_path)
    assert (len(texts.train), len(texts.validation), len(texts.test)) == (103, 25, 12)
    assert "0 plus 0 equals" in prompts_of(texts.train)
    assert "0 plus 0 equals" not in prompts_of(texts.validation + texts.test)


def test_too_few_prompts_are_an_error_that_says_so(tmp_path):
    write(tmp_path, [{"left": 0, "right": 0, "sum": str(number)} for number in range(90)], "sums.jsonl")
    with pytest.raises(
        InputError,
        match=r"sums.jsonl has 90 different examples; train \(the rest\), validation 25 and test 12 do not"
        " fit into it. They have 1 different prompts, .* unless data.allow_overlap = true",
    ):
        data.load(config_of(of_sums(), tmp_path), tmp_path)


def test_each_row_is_accounted_for(tmp_path):
    content = several_answers(70, 4)
    content += content[:9] + [{"left": "", "right": 1, "sum": 2}] * 5
    write(tmp_path, [{"kind": "a", **row} for row in content] + [{"kind": "b"}] * 8, "sums.jsonl")
    raw = of_sums(where={"kind": "a"}, drop_empty=True, train_size=100)
    (counts,) = data.load(config_of(raw, tmp_path), tmp_path).counts
    assert counts.record() == {
        "source": "sums.jsonl",
        "rows": 302,
        "filtered": 8,
        "empty": 5,
        "duplicates": 9,
        "separated": 3,
        "unused": 140,
        "splits": {"train": 100, "validation": 25, "test": 12},
    }
    assert 302 == 8 + 5 + 9 + 3 + 140 + 100 + 25 + 12
    assert str(counts) == (
        "sums.jsonl: 302 rows read; 100 train, 25 validation, 12 test; left out: 8 filtered out by"
        " where, 5 with an empty column, 9 duplicates, 3 with a prompt of another split, 140 not needed"
    )


def test_the_rows_of_each_file_are_accounted_for(tmp_path):
    write(tmp_path, rows(40) + rows(3), "train.jsonl")
    write(tmp_path, rows(70)[40:], "validation.jsonl")
    raw = changed(CLASSIFIER)
    raw["data"] = {
        "train_file": "train.jsonl",
        "validation_file": "validation.jsonl",
        "validation_size": 20,
        "text": "text",
        "label": "label",
    }
    train, validation = data.load(config_of(raw, tmp_path), tmp_path).counts
    assert (train.rows, train.duplicates, train.splits) == (43, 3, {"train": 40})
    assert (validation.rows, validation.unused, validation.splits) == (30, 10, {"validation": 20})
    assert str(train) == "train.jsonl: 43 rows read; 40 train; left out: 3 duplicates"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            [{"role": "user", "content": "What is the capital of the country that lies north of Spain?"}],
            r"holds a list in row 2, such as \[\{'role': 'user', 'content': 'What is the capital of the co…",
        ),
        (
            {"text": "4"},
            r"holds a table of keys and values in row 2, such as \{'text': '4'\}; data.answer takes",
        ),
    ],
)
def test_a_column_that_is_not_text_is_refused(value, message, tmp_path):
    content = several_answers(70, 1)
    content[1]["sum"] = value
    write(tmp_path, content, "sums.jsonl")
    for answer in ("sum", "is {sum}", "{sum:3}"):
        with pytest.raises(InputError, match=rf"sums.jsonl: column 'sum' {message}"):
            data.load(config_of(of_sums(answer=answer), tmp_path), tmp_path)
    # a column that nothing asks for may hold anything
    assert data.load(config_of(of_sums(answer="left"), tmp_path), tmp_path).counts[0].rows == 70


def test_numbers_and_booleans_are_written_as_python_writes_them(tmp_path):
    content = [
        {"text": f"text {number}", "label": number % 2 == 0, "rank": number / 2} for number in range(98)
    ]
    write(tmp_path, content)
    texts = data.load(config_of(changed(CLASSIFIER, data={"text": "{text} {rank}"}), tmp_path), tmp_path)
    assert texts.labels == ("False", "True")
    assert ("text 7 3.5", "False") in texts.train + texts.validation + texts.test


def test_a_number_that_is_missing_is_empty(tmp_path):
    content = [*rows(100), {"text": "text of no label", "label": float("nan")}]
    write(tmp_path, content)
    with pytest.raises(InputError, match=r"column 'label' is empty in one row \(row 101\)"):
        data.load(config_of(CLASSIFIER, tmp_path), tmp_path)
    (counts,) = data.load(
        config_of(changed(CLASSIFIER, data={"drop_empty": True}), tmp_path), tmp_path
    ).counts
    assert (counts.rows, counts.empty) == (101, 1)


def test_types_of_parquet(tmp_path):
    """Whole numbers beside a missing one stay whole, and lists are refused there too."""
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    content = [
        {"text": f"text {number}", "label": None if number == 5 else number % 3, "ids": [number]}
        for number in range(99)
    ]
    parquet.write_table(pa.Table.from_pylist(content), tmp_path / "reviews.parquet")
    keys = {"file": "reviews.parquet", "drop_empty": True}
    texts = data.load(config_of(changed(CLASSIFIER, data=keys), tmp_path), tmp_path)
    assert texts.labels == ("0", "1", "2")
    assert texts.counts[0].empty == 1
    with pytest.raises(
        InputError, match=r"column 'ids' holds a list in row 1, such as \[0\]; data.text takes"
    ):
        data.load(config_of(changed(CLASSIFIER, data={**keys, "text": "{ids}"}), tmp_path), tmp_path)


def test_a_text_to_classify_is_in_one_file_only(tmp_path):
    """Even where it has another label there."""
    write(tmp_path, rows(40), "train.jsonl")
    write(tmp_path, [{"text": "text 7", "label": "even"}, *rows(50)[45:]], "validation.jsonl")
    raw = changed(CLASSIFIER)
    raw["data"] = {
        "train_file": "train.jsonl",
        "validation_file": "validation.jsonl",
        "text": "text",
        "label": "label",
    }
    with pytest.raises(
        InputError, match="one text is in both train and validation, such as 'text 7'; remove"
    ):
        data.load(config_of(raw, tmp_path), tmp_path)


def test_templates_fill_in_columns_once(tmp_path):
    write(tmp_path, [{"left": 1, "right": "{left}", "sum": 3}], "train.jsonl")
    write(tmp_path, [{"left": 5, "right": 6, "sum": 11}], "validation.jsonl")
    files = {"train_file": "train.jsonl", "validation_file": "validation.jsonl", "test_file": None}
    raw = changed(LANGUAGE, data=files)
    raw["data"] = {key: value for key, value in raw["data"].items() if value is not None}
    texts = data.load(config_of(raw, tmp_path), tmp_path)
    assert texts.train == [("1 plus {left} equals", "3")]
    assert texts.validation == [("5 plus 6 equals", "11")]
    assert texts.test == []
    assert texts.labels == ()


def test_files_that_share_examples_are_refused_unless_allowed(tmp_path):
    for name in ("train", "validation", "test"):
        (tmp_path / f"{name}.csv").write_text("left,right,sum\n1,2,3\n" + f"7,8,{name}\n")
    with pytest.raises(
        InputError, match="2 prompts are in both train and validation, such as '1 plus 2 equals'"
    ):
        data.load(config_of(LANGUAGE, tmp_path), tmp_path)
    assert (
        len(data.load(config_of(changed(LANGUAGE, data={"allow_overlap": True}), tmp_path), tmp_path).train)
        == 2
    )


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("reviews.jsonl", '{"text": 1', "not readable as jsonl"),
        ("reviews.jsonl", "[1]", "every line must be a JSON object"),
        ("reviews.jsonl", "", "the data set is empty"),
        ("reviews.csv", b"\xff\xfe\x00", "not readable as csv"),
        ("reviews.parquet", b"PAR0", "parquet|pyarrow"),
        (
            "reviews.txt",
            "x",
            "the format is unknown; it must end in .jsonl, .json, .csv, .tsv, .tab or .parquet, or",
        ),
        ("reviews.txt.gz", gzip.compress(b"x", mtime=0), "reviews.txt.gz: the format is unknown"),
        ("reviews.jsonl.gz", b"no gzip", "not readable as gz"),
        ("reviews.jsonl.gz", gzip.compress(b"{}" * 999, mtime=0)[:-9], "not readable as gz"),
        ("reviews.jsonl.gz", gzip.compress(b"{}" * 999, mtime=0)[:12] + b"\xff" * 30, "not readable as gz"),
        ("reviews.jsonl.bz2", b"no bzip2", "not readable as bz2"),
        ("reviews.jsonl.bz2", bz2.compress(b"{}" * 999)[:-9], "not readable as bz2"),
        ("reviews.jsonl.xz", b"no xz", "not readable as xz"),
        ("reviews.jsonl.xz", lzma.compress(b"{}" * 999)[:-9], "not readable as xz"),
        (
            "reviews.json",
            '{"text": "x", "label": "y"}',
            r"not readable as json \(it must be a list of JSON objects; one object per line is .jsonl",
        ),
        ("reviews.json", "[1]", "it must be a list of JSON objects"),
        ("reviews.json", "[{", "not readable as json"),
        ("reviews.tsv", 'text\tlabel\n"a lone quote\tx\nb\ty\n', "not readable as tsv"),
        ("reviews.csv", "text,label\n" + "x" * 200_000 + ",y\n", "not readable as csv"),
        ("reviews.csv", "text,label\nx,\n", "column 'label' is empty in one row"),
    ],
)
def test_unusable_files(name, content, message, tmp_path):
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=message):
        data.load(config_of(changed(CLASSIFIER, data={"file": name}), tmp_path), tmp_path)


def as_table(content, separator):
    return "".join(
        separator.join(row) + "\n" for row in [tuple(content[0]), *(row.values() for row in content)]
    ).encode()


def as_lines(content):
    return "".join(json.dumps(row) + "\n" for row in content).encode()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("reviews.jsonl.gz", gzip.compress(as_lines(rows(100)), mtime=0)),
        ("reviews.jsonl.bz2", bz2.compress(as_lines(rows(100)))),
        ("reviews.jsonl.xz", lzma.compress(as_lines(rows(100)))),
        ("reviews.csv.gz", gzip.compress(as_table(rows(100), ","), mtime=0)),
        (
            "reviews.JSONL.GZ",
            gzip.compress(as_lines(rows(50)), mtime=0) + gzip.compress(as_lines(rows(100)[50:]), mtime=0),
        ),
        ("reviews.tsv", as_table(rows(100), "\t")),
        ("reviews.tsv.xz", lzma.compress(as_table(rows(100), "\t"))),
        ("reviews.json", json.dumps(rows(100)).encode()),
        ("reviews.json.bz2", bz2.compress(json.dumps(rows(100), indent=1).encode())),
    ],
)
def test_every_format_gives_the_same_texts(name, content, tmp_path):
    write(tmp_path, rows(100))
    (tmp_path / name).write_bytes(content)
    other = data.load(config_of(changed(CLASSIFIER, data={"file": name}), tmp_path), tmp_path)
    assert other == data.load(config_of(CLASSIFIER, tmp_path), tmp_path)


def test_parquet_gives_the_same_texts(tmp_path):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    write(tmp_path, rows(100))
    parquet.write_table(pa.Table.from_pylist(rows(100)), tmp_path / "reviews.parquet")
    other = data.load(config_of(changed(CLASSIFIER, data={"file": "reviews.parquet"}), tmp_path), tmp_path)
    assert other == data.load(config_of(CLASSIFIER, tmp_path), tmp_path)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """The datasets library without a network, and a local data-set folder whose labels are a ClassLabel."""
    datasets = pytest.importorskip("datasets")
    import huggingface_hub

    # both read the environment when they are imported, which may have been long before
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["odd", "even"])}
    )
    (tmp_path / "set").mkdir()
    for split, start in (("train", 0), ("validation", 60), ("test", 100)):
        part = [
            {"text": row["text"], "label": row["label"]} for row in rows(130)[start : start + 30 + start // 6]
        ]
        if split == "test":
            part.append({"text": "not labelled", "label": -1})
        datasets.Dataset.from_list(part, features=features).to_parquet(tmp_path / "set" / f"{split}.parquet")
    return tmp_path


def of_hub(**keys):
    raw = changed(CLASSIFIER)
    raw["data"] = {
        "hub": "set",
        "train_file": "train",
        "validation_file": "validation",
        "text": "text",
        "label": "label",
        **keys,
    }
    return raw


def test_splits_of_a_local_data_set_give_the_names_of_their_classes(hub):
    config = config_of(of_hub(), hub)
    assert data.is_local(config)
    texts = data.load(config, hub)
    assert (len(texts.train), len(texts.validation), texts.labels) == (30, 40, ("even", "odd"))
    assert texts.train[:2] == [("text 0", "even"), ("text 1", "odd")]


def test_one_split_can_be_split(hub):
    raw = changed(LANGUAGE)
    raw["data"] = {
        "hub": "set",
        "file": "train",
        "where": {"label": "odd"},
        "answer": "{label} {text}",
        "validation_size": 5,
    }
    texts = data.load(config_of(raw, hub), hub)
    assert (len(texts.train), len(texts.validation)) == (10, 5)
    assert all(example.target.startswith("odd text ") for example in texts.train)
    raw["data"]["validation_size"] = 15
    with pytest.raises(
        InputError, match=r"set \(train\) has 15 different examples; train \(the rest\), validation 15"
    ):
        data.load(config_of(raw, hub), hub)


def test_what_a_data_set_cannot_give(hub, monkeypatch):
    with pytest.raises(InputError, match=r"data.hub = 'set': split 'tran' cannot be had: .*tran") as caught:
        data.load(config_of(of_hub(train_file="tran"), hub), hub)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=r"data.hub = 'set': split 'train' cannot be had: "):
        data.load(config_of(of_hub(hub_config="german"), hub), hub)
    with pytest.raises(InputError, match=r"set \(test\): column 'label' is empty in one row"):
        data.load(config_of(of_hub(test_file="test"), hub), hub)
    with pytest.raises(InputError, match=r"set \(train\) has no column 'txt'; it has .*Did you mean text"):
        data.load(config_of(of_hub(text="txt"), hub), hub)
    with pytest.raises(
        InputError, match=r"set \(train\) has 30 different examples, fewer than the 31 asked for"
    ):
        data.load(config_of(of_hub(train_size=31), hub), hub)
    with pytest.raises(InputError, match=r"data.hub = './sett' is no folder"):
        data.load(config_of(of_hub(hub="./sett"), hub), hub)
    absent = config_of(of_hub(hub="nobody/nothing"), hub)
    assert not data.is_local(absent)
    with pytest.raises(InputError, match=r"data.hub = 'nobody/nothing': split 'train' cannot be had: "):
        data.load(absent, hub)
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(
        InputError, match=r"data.hub = 'set' needs the datasets library \(pip install 'stop-replay\[hub\]'\)"
    ):
        data.load(config_of(of_hub(), hub), hub)


def generic_of(root, **keys):
    write(root, [{"left": number, "right": 1, "sum": number + 1} for number in range(9)], "train.jsonl")
    write(root, [{"left": 50, "right": 1, "sum": 51}], "validation.jsonl")
    raw = changed(LANGUAGE, generic={"file": "generic.jsonl", "text": "text", "size": 8, **keys})
    raw["data"] = {
        "train_file": "train.jsonl",
        "validation_file": "validation.jsonl",
        "prompt": "{left} plus {right} equals",
        "answer": "sum",
    }
    return config_of(raw, root)


def test_generic_texts_are_drawn_by_their_seed(tmp_path):
    write(tmp_path, rows(100) + rows(100), "generic.jsonl")
    texts = data.load(generic_of(tmp_path), tmp_path)
    assert len(set(texts.generic)) == len(texts.generic) == 8
    assert texts.generic == data.load_generic(generic_of(tmp_path), tmp_path)
    assert texts.record()["generic"]["examples"] == 8
    assert set(texts.record()) == {"train", "validation", "generic"}
    other = data.load(generic_of(tmp_path, seed=1), tmp_path)
    assert other.record()["generic"]["sha256"] != texts.record()["generic"]["sha256"]
    assert other.train == texts.train
    kept = data.load_generic(
        generic_of(tmp_path, where={"kind": "b"}, text="{kind}: {text}", size=40), tmp_path
    )
    assert sorted(kept) == sorted(f"b: text {number}" for number in range(60, 100))


def test_a_config_without_generic_texts_has_none(tmp_path):
    write(tmp_path, rows(100))
    config = config_of(CLASSIFIER, tmp_path)
    assert data.load_generic(config, tmp_path) == data.load(config, tmp_path).generic == []
    assert "generic" not in data.load(config, tmp_path).record()


def test_generic_texts_that_cannot_be_had(tmp_path):
    with pytest.raises(InputError, match=r"generic.jsonl: no such file"):
        data.load(generic_of(tmp_path), tmp_path)
    write(tmp_path, rows(5) + rows(7), "generic.jsonl")
    with pytest.raises(InputError, match=r"generic.size = 8; generic.jsonl has 7 different texts only"):
        data.load(generic_of(tmp_path), tmp_path)
    with pytest.raises(InputError, match=r"generic.jsonl has no column 'txt'"):
        data.load(generic_of(tmp_path, text="txt"), tmp_path)


def test_generic_texts_of_a_local_data_set(hub):
    config = generic_of(hub, hub="set", file="train")
    assert data.is_local(config)
    assert len(data.load_generic(config, hub)) == 8
    assert not data.is_local(generic_of(hub, hub="nobody/nothing", file="train"))
    with pytest.raises(InputError, match=r"generic.hub = 'set': split 'tran' cannot be had: "):
        data.load_generic(generic_of(hub, hub="set", file="tran"), hub)


def test_a_label_that_training_has_not_seen(tmp_path):
    write(tmp_path, rows(10), "train.jsonl")
    write(tmp_path, [{"text": "new", "label": "evn"}], "validation.jsonl")
    raw = changed(CLASSIFIER)
    raw["data"] = {
        "train_file": "train.jsonl",
        "validation_file": "validation.jsonl",
        "text": "text",
        "label": "label",
    }
    with pytest.raises(
        InputError,
        match=r"label 'evn' of the validation examples is not in the training examples; .*Did you mean even",
    ):
        data.load(config_of(raw, tmp_path), tmp_path)


@pytest.fixture
def wheel(tmp_path):
    """A wheel in the cache, where pip would have put it."""
    folder = tmp_path / "wheels" / "some-reviews==1.0"
    folder.mkdir(parents=True)
    with zipfile.ZipFile(folder / "some_reviews-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr("some_reviews/data/all.jsonl", "".join(json.dumps(row) + "\n" for row in rows(100)))
        archive.writestr("some_reviews/model/config.json", "{}")
    return folder / "some_reviews-1.0-py3-none-any.whl"


def test_texts_of_a_package_are_read_from_its_wheel(wheel, tmp_path):
    package = {"package": "some-reviews==1.0", "file": "some_reviews/data/all.jsonl"}
    assert len(data.load(config_of(changed(CLASSIFIER, data=package), tmp_path), tmp_path).train) == 48
    with pytest.raises(
        InputError,
        match=r"has no file 'some_reviews/al.jsonl'; it has .*Did you mean some_reviews/data/all.jsonl",
    ):
        data.load(
            config_of(changed(CLASSIFIER, data={**package, "file": "some_reviews/al.jsonl"}), tmp_path),
            tmp_path,
        )


def test_a_folder_of_a_package_is_unpacked_once(wheel, tmp_path):
    folder = packages.folder_of(packages.fetch("some-reviews==1.0", tmp_path), "some_reviews/model", tmp_path)
    assert [path.name for path in folder.iterdir()] == ["config.json"]
    wheel.unlink()
    assert packages.folder_of(wheel, "some_reviews/model", tmp_path) == folder


def test_the_cache_follows_the_desktop_standard(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert packages.cache_folder() == tmp_path / "stop-replay"


@pytest.mark.slow
def test_pip_fetches_by_name(tmp_path):
    wheel = packages.fetch("chatterbot-corpus==1.3.3", tmp_path)
    assert wheel == packages.fetch("chatterbot-corpus==1.3.3", tmp_path)
    assert b"conversations" in packages.read_member(wheel, "chatterbot_corpus/data/english/ai.yml")
    with pytest.raises(InputError, match=r"pip cannot download chatterbot-corpus==0.0.0: "):
        packages.fetch("chatterbot-corpus==0.0.0", tmp_path)
    assert [path.name for path in (tmp_path / "wheels").iterdir() if path.is_dir()] == [
        "chatterbot-corpus==1.3.3"
    ]


def test_a_value_inside_a_nested_table_is_named_with_a_dot(tmp_path):
    content = [
        {"question": {"text": f"{number} + 1 ="}, "solution": {"value": {"plain": str(number + 1)}}}
        for number in range(70)
    ]
    write(tmp_path, content, "sums.jsonl")
    raw = of_sums(prompt="{question.text} ", answer="solution.value.plain")
    texts = data.load(config_of(raw, tmp_path), tmp_path)
    every = {("0 + 1 = ", "1"), ("69 + 1 = ", "70")}
    assert every <= set(texts.train + texts.validation + texts.test)
    with pytest.raises(InputError, match=r"no column 'question.txt'.*question.text"):
        data.load(config_of(of_sums(prompt="question.txt", answer="question.text"), tmp_path), tmp_path)


def test_an_item_of_a_list_is_named_by_its_place(tmp_path):
    content = [
        {
            "question": f"{number} + 1 =",
            "answers": {"text": [str(number + 1), "more"]},
            "tags": [["a"], ["b"]],
        }
        for number in range(70)
    ]
    content.append({"question": "nobody knows", "answers": {"text": []}, "tags": []})
    write(tmp_path, content, "sums.jsonl")
    raw = of_sums(prompt="{question} ", answer="{answers.text[0]} {tags[1][0]}")
    with pytest.raises(InputError, match=r"column 'answers.text\[0\]' is empty in one row \(row 71\)"):
        data.load(config_of(raw, tmp_path), tmp_path)
    raw["data"]["drop_empty"] = True
    texts = data.load(config_of(raw, tmp_path), tmp_path)
    assert {("0 + 1 = ", "1 b"), ("69 + 1 = ", "70 b")} <= set(texts.train + texts.validation + texts.test)
    with pytest.raises(InputError, match=r"as in \{answers.text\[0\]\}"):
        data.load(config_of(of_sums(prompt="question", answer="answers.text"), tmp_path), tmp_path)

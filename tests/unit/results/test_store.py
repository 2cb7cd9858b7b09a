import pytest

from maskprof.errors import ConfigError, ResultError
from maskprof.results.store import ResultStore, prepare, write_whole
from tests.support.results import make_result


def test_save_and_load(tmp_path):
    store = ResultStore(tmp_path / "deep" / "er")
    store.prepare()
    result = make_result()
    store.save(result)
    assert store.load() == result
    assert sorted(path.name for path in store.output_dir.iterdir()) == [
        "attribution.csv",
        "attribution.json",
        "exp3_transformer_blocks_mask_results.json",
    ]


def test_a_run_without_traces_leaves_no_older_attribution(tmp_path):
    store = ResultStore(tmp_path)
    store.save(make_result())
    store.save(make_result(trace=False))
    assert not store.attribution_path.exists()
    assert not store.attribution_csv_path.exists()
    assert store.load().attribution == ()


def test_no_result_there(tmp_path):
    with pytest.raises(ResultError, match="holds no result"):
        ResultStore(tmp_path).load()


def test_a_file_in_the_folders_place_is_named(tmp_path):
    taken = tmp_path / "taken"
    taken.write_text("a file")
    for folder in (taken, taken / "below"):
        with pytest.raises(ConfigError, match=r"taken.*cannot be written to"):
            prepare(folder)


def test_prepare_leaves_nothing_behind(tmp_path):
    prepare(tmp_path / "new")
    assert list((tmp_path / "new").iterdir()) == []


def test_a_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file.json"
    write_whole(path, "old")

    def full_disk(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(ConfigError, match="No space left"):
        write_whole(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file.json"]


def test_bytes_that_are_no_text_are_refused(tmp_path):
    store = ResultStore(tmp_path)
    store.result_path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ResultError, match="cannot be read"):
        store.load()


@pytest.mark.parametrize(
    "journal",
    [
        b"",
        b"\x00\xff garbage\n",
        b'{"journal": "maskprof"}\n',
        b'{"journal": "maskprof"}\n{"sample": {"ro',
        b"[1]\n",
    ],
    ids=["empty", "garbage", "header only", "first sample cut off", "another's"],
)
def test_a_folder_of_a_run_that_measured_nothing(tmp_path, journal):
    (tmp_path / "journal.jsonl").write_bytes(journal)
    with pytest.raises(ResultError) as caught:
        ResultStore(tmp_path).load()
    assert str(caught.value) == (
        f"{tmp_path} holds no result: no sample is in its journal.jsonl: the run in it was ended before it had "
        "measured anything, or still goes on"
    )


def test_a_folder_of_a_run_that_saved_no_result(tmp_path):
    (tmp_path / "my run").mkdir()
    (tmp_path / "my run" / "journal.jsonl").write_text('{"journal": "maskprof"}\n{"sample": {}}\n')
    with pytest.raises(ResultError) as caught:
        ResultStore(tmp_path / "my run").load()
    assert str(caught.value) == (
        f"{tmp_path}/my run holds no result: the run in it was ended before it saved one, or still goes on. What it "
        "measured is in journal.jsonl: the same command with --resume saves it and goes on (maskprof run --resume "
        f"--output_dir '{tmp_path}/my run', and what else it was given)"
    )

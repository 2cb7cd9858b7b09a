import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskprof.errors import ConfigError, ResultError
from maskprof.results.circumstances import MachineState, Sitting, Warmup
from maskprof.results.journal import Journal, read_journal
from maskprof.results.schema import Failure
from tests.support.results import make_configuration, make_sample

FINGERPRINT = {"model": "demo", "masks": ("first-04-of-16",), "machine": {"device": "cpu", "torch": "2.13.0"}}
SAMPLES = [make_sample(make_configuration(4), sample_id) for sample_id in range(4)]
FAILURE = Failure(configuration="first-08-of-16", stage="measuring", error="out of memory\nreally")


def write(path, samples=SAMPLES):
    with Journal.create(path, FINGERPRINT) as journal:
        for sample in samples:
            journal.add_sample(sample)
        journal.add_failure(FAILURE)


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "journal.jsonl"
    write(path)
    contents = read_journal(path)
    assert list(contents.samples) == SAMPLES
    assert contents.failures == (FAILURE,)
    assert contents.fingerprint == json.loads(json.dumps(FINGERPRINT))
    assert contents.whole_bytes == path.stat().st_size


def test_every_line_is_there_before_the_file_is_closed(tmp_path):
    path = tmp_path / "journal.jsonl"
    journal = Journal.create(path, FINGERPRINT)
    journal.add_sample(SAMPLES[0])
    assert read_journal(path).samples == (SAMPLES[0],)
    journal.close()
    journal.close()


@given(cut=st.integers(min_value=0))
@settings(max_examples=60, deadline=None)
def test_a_file_cut_off_anywhere_can_be_gone_on_with(tmp_path_factory, cut):
    path = tmp_path_factory.mktemp("cut") / "journal.jsonl"
    write(path)
    data = path.read_bytes()
    path.write_bytes(data[: cut % len(data)])
    with Journal.resume(path, FINGERPRINT) as journal:
        assert list(journal.contents.samples) == SAMPLES[: len(journal.contents.samples)]
        for sample in SAMPLES:
            journal.add_sample(sample)
    assert list(read_journal(path).samples) == SAMPLES


def test_a_garbled_last_line_is_dropped(tmp_path):
    path = tmp_path / "journal.jsonl"
    write(path, SAMPLES[:2])
    with path.open("ab") as file:
        file.write(b'{"sample": {"conf\x00\x00\n')
    with Journal.resume(path, FINGERPRINT) as journal:
        journal.add_sample(SAMPLES[2])
    assert list(read_journal(path).samples) == SAMPLES[:3]


def test_damage_before_the_end_is_an_error(tmp_path):
    path = tmp_path / "journal.jsonl"
    write(path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], b"{half\n", *lines[2:]]))
    with pytest.raises(ResultError, match="line 3 is not whole"):
        read_journal(path)
    path.write_bytes(b"".join([*lines[:2], b'{"sample": {}}\n', *lines[2:]]))
    with pytest.raises(ResultError, match="line 3: 'configuration'"):
        read_journal(path)


def test_a_sample_counts_once(tmp_path):
    path = tmp_path / "journal.jsonl"
    write(path, SAMPLES[:2])
    line = path.read_bytes().splitlines(keepends=True)[1]
    with path.open("ab") as file:
        file.write(line)
    reference = replace(SAMPLES[0], reference=True)
    with Journal.resume(path, FINGERPRINT) as journal:
        size = path.stat().st_size
        journal.add_sample(SAMPLES[0])
        assert path.stat().st_size == size
        journal.add_sample(reference)
    assert read_journal(path).samples == (*SAMPLES[:2], reference)


def test_another_run_is_refused_with_each_difference(tmp_path):
    path = tmp_path / "journal.jsonl"
    write(path)
    other = {
        "model": "llama",
        "machine": {"device": "cpu", "torch": "2.14.0"},
        "masks": ["first-04-of-16"],
        "new": 1,
    }
    before = path.read_bytes()
    with pytest.raises(ResultError) as caught:
        Journal.resume(path, other)
    message = str(caught.value)
    assert "model was 'demo', now 'llama'" in message
    assert "machine.torch was '2.13.0', now '2.14.0'" in message
    assert "new was absent, now 1" in message
    assert "masks" not in message
    assert "machine.device" not in message
    assert path.read_bytes() == before


def test_a_newer_or_foreign_file_is_refused(tmp_path):
    path = tmp_path / "journal.jsonl"
    path.write_text('{"journal": "maskprof", "schema_version": 99, "fingerprint": {}}\n')
    with pytest.raises(ResultError, match="newer maskprof"):
        read_journal(path)
    path.write_text('{"traceEvents": []}\n')
    with pytest.raises(ResultError, match="no journal of maskprof"):
        Journal.resume(path, FINGERPRINT)
    with pytest.raises(ResultError, match="cannot be read"):
        read_journal(tmp_path / "absent")


def test_resuming_where_nothing_is_starts_anew(tmp_path):
    with Journal.resume(tmp_path / "journal.jsonl", FINGERPRINT) as journal:
        assert journal.contents.samples == ()
        journal.add_sample(SAMPLES[0])
    assert read_journal(tmp_path / "journal.jsonl").samples == (SAMPLES[0],)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match="absent"):
        Journal.create(tmp_path / "absent" / "journal.jsonl", FINGERPRINT)


STATE = MachineState(round=0, cpu_mhz=None, probe_us=61.5, others_share=0.25, stolen_share=None, load=1.5)
WARMUP = Warmup(rounds=2, changed_at=1, ended="settled", round_ms=(9.5, 3.25))


def sitting(number, **known):
    empty = {"environment": {"host": "here"}, "warmup": None, "states": ()}
    return Sitting(number=number, **empty | known)


def test_a_sitting_is_kept_as_far_as_it_came(tmp_path):
    path = tmp_path / "journal.jsonl"
    for number in (1, 2, 3):
        with Journal.resume(path, FINGERPRINT) as journal:
            assert len(journal.contents.sittings) == number - 1
            journal.add_sitting(sitting(number))
            if number == 1:
                # Killed while it warmed up.
                continue
            journal.add_warmup(WARMUP)
            journal.add_state(STATE)
            journal.add_sample(replace(SAMPLES[number], sitting=number))
            if number == 2:
                journal.add_state(replace(STATE, round=1))
    contents = read_journal(path)
    assert contents.sittings == (
        sitting(1),
        sitting(2, warmup=WARMUP, states=(STATE, replace(STATE, round=1))),
        sitting(3, warmup=WARMUP, states=(STATE,)),
    )
    assert [sample.sitting for sample in contents.samples] == [2, 3]


@given(cut=st.integers(min_value=0))
@settings(max_examples=60, deadline=None)
def test_a_sitting_cut_off_anywhere_can_be_gone_on_with(tmp_path_factory, cut):
    path = tmp_path_factory.mktemp("cut") / "journal.jsonl"
    with Journal.create(path, FINGERPRINT) as journal:
        journal.add_sitting(sitting(1))
        journal.add_warmup(WARMUP)
        journal.add_state(STATE)
    data = path.read_bytes()
    path.write_bytes(data[: cut % len(data)])
    with Journal.resume(path, FINGERPRINT) as journal:
        before = journal.contents.sittings
        journal.add_sitting(sitting(2))
        journal.add_warmup(WARMUP)
        journal.add_state(STATE)
    whole = sitting(1, warmup=WARMUP, states=(STATE,))
    assert before in [(), (sitting(1),), (replace(whole, states=()),), (whole,)]
    assert read_journal(path).sittings == (*before, replace(whole, number=2))


def test_a_journal_of_before_sittings_were_written_down(tmp_path):
    path = tmp_path / "journal.jsonl"
    write(path, SAMPLES[:2])
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        line.get("sample", {}).pop("sitting", None)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    contents = read_journal(path)
    assert (list(contents.samples), contents.sittings) == (SAMPLES[:2], ())


def test_a_state_of_no_sitting_is_damage(tmp_path):
    path = tmp_path / "journal.jsonl"
    with Journal.create(path, FINGERPRINT) as journal:
        journal.add_state(STATE)
        journal.add_sample(SAMPLES[0])
    with pytest.raises(ResultError, match="line 2: no sitting has begun"):
        read_journal(path)

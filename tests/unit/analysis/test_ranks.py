from dataclasses import replace

import pytest

from maskprof.analysis.ranks import compare_ranks, rank_of
from tests.support.trace_summaries import cpu_summary, gpu_summary, ranks_of_job


def test_who_comes_last_waits_least():
    found = compare_ranks(ranks_of_job(4, late=2))
    assert found is not None
    assert found.stragglers == (2,)
    assert [(row.rank, row.wait_us, row.communication_us) for row in found.rows] == [
        (0, 2000.0, 2150.0),
        (1, 2010.0, 2160.0),
        (2, 0.0, 150.0),
        (3, 2030.0, 2180.0),
    ]
    assert found.notes == (
        (
            "Rank 2 is a straggler: the others wait 2.01 ms for it (11 % of their span; medians). It computes for "
            "15.5 ms, the others for 16.5 ms."
        ),
    )


def test_ranks_alike_have_no_straggler():
    found = compare_ranks(ranks_of_job(3))
    assert found is not None
    assert found.stragglers == ()
    assert found.notes == ("No rank holds up the others: none waits more than 0 ms in communication.",)


def test_half_that_wait_are_no_sign_of_one():
    summaries = [*ranks_of_job(6, late=0)[:1], *ranks_of_job(6)[1:4], *ranks_of_job(6, late=0)[4:]]
    found = compare_ranks(summaries)
    assert found is not None
    assert found.stragglers == ()


def test_a_missing_rank_is_named():
    found = compare_ranks(ranks_of_job(4, late=1, missing=(3,)))
    assert found is not None
    assert [row.rank for row in found.rows] == [0, 1, 2]
    assert found.notes[-1] == "The job had 4 ranks: rank 3 is missing here."
    many = compare_ranks(ranks_of_job(20, missing=range(2, 20)))
    assert many is not None
    assert (
        many.notes[-1] == "The job had 20 ranks: ranks 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, ... are missing here."
    )


def test_a_rank_twice_is_named_and_compared_once():
    first, second = ranks_of_job(2, late=0)
    found = compare_ranks([first, second, replace(second, facts=replace(second.facts, path="again.json"))])
    assert found is not None
    assert [row.path for row in found.rows] == ["job/rank0.json.gz", "job/rank1.json.gz"]
    assert found.notes[-1] == "Rank 1 is in 2 files: job/rank1.json.gz is compared, again.json not."


def test_order_does_not_matter():
    summaries = ranks_of_job(4, late=2)
    assert compare_ranks(summaries) == compare_ranks(summaries[::-1])


def test_jobs_of_different_sizes_damage_and_unknown_ranks_are_noted():
    first, second = ranks_of_job(2)
    other = replace(
        second, facts=replace(second.facts, world_size=8), account=replace(second.account, truncated=True)
    )
    found = compare_ranks([first, other, gpu_summary(path="elsewhere/trace.json")])
    assert found is not None
    assert found.notes[1:] == (
        "The traces are of jobs of different sizes: 2, 8 ranks.",
        "1 trace of unknown rank: not compared.",
        "Damaged: the trace of rank 1; its figures are too low.",
    )


def test_without_communication_the_slowest_is_the_busiest():
    summaries = [gpu_summary(n, 16, rank=rank) for rank, n in enumerate((4, 4, 12))]
    found = compare_ranks(summaries)
    assert found is not None
    assert found.stragglers == (2,)
    assert found.notes == (
        "Rank 2 is slower than the others: it computes for 11.6 ms, the others for 3.98 ms.",
    )


def test_ranks_without_a_device():
    found = compare_ranks([cpu_summary(ranks=(rank,)) for rank in range(2)])
    assert found is not None
    assert found.stragglers == ()
    assert [row.busy_us for row in found.rows] == [0.0, 0.0]


@pytest.mark.parametrize(
    "summaries",
    [
        [],
        [gpu_summary(rank=0)],
        [gpu_summary(path="a.json"), gpu_summary(path="b.json")],
        [gpu_summary(rank=1)] * 3,
    ],
)
def test_no_ranks_of_one_job(summaries):
    assert compare_ranks(summaries) is None


@pytest.mark.parametrize(
    ("path", "rank"),
    [
        ("job/rank3.json.gz", 3),
        ("job/rank-12.pt.trace.json", 12),
        ("trace_rank_5.json", 5),
        ("Worker7.1700000000.pt.trace.json.gz", 7),
        ("run-TP-0-DP1.json", 0),
        ("rank4/trace.json", 4),
        ("trace.json", None),
        ("frank5.json", None),
        ("qwen1.5.json", None),
        ("rank.json", None),
    ],
)
def test_ranks_by_the_names_of_files(path, rank):
    assert rank_of(gpu_summary(path=path)) == rank


def test_metadata_goes_before_the_name():
    assert rank_of(gpu_summary(path="rank3.json", rank=5)) == 5
    assert rank_of(cpu_summary(path="rank3.json", ranks=(1, 2))) is None

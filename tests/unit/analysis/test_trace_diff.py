from dataclasses import replace

import pytest

from maskprof.analysis.trace_diff import Threshold, diff
from maskprof.results.trace_comparison import SkippedRow
from maskprof.results.trace_summary import OperatorTime
from tests.support.trace_summaries import (
    ADD,
    FLASH,
    GEMM,
    MUL,
    cpu_summary,
    gpu_summary,
    kernels_of,
    make_blocks,
)


def with_kernels(**counts):
    """A summary whose kernels are these: name=(count, us each)."""
    summary = gpu_summary(1, 1)
    kernels = kernels_of({name: ("other", count, us) for name, (count, us) in counts.items()})
    return replace(summary, whole=replace(summary.whole, kernels=kernels))


def statuses(rows):
    return {row.key: row.status for row in rows}


FULL, MASKED = gpu_summary(6, 6, path="full.json"), gpu_summary(4, 6, path="masked.json")


def test_a_masked_run_beside_the_full_one():
    found = diff(FULL, MASKED)
    assert found.skipped_only_in_b == (4, 5)
    assert found.skipped_only_in_a == ()
    for rows in found.blocks.values():
        assert statuses(rows) == {
            "0": "same",
            "1": "same",
            "2": "same",
            "3": "same",
            "4": "removed",
            "5": "removed",
        }
    assert {row.key: (row.count_a, row.count_b, row.status) for row in found.kernels} == dict.fromkeys(
        (GEMM, FLASH, ADD, MUL), (30, 20, "fewer")
    )
    assert statuses(found.phases) == {"prefill": "faster", "decode": "faster"}
    assert statuses(found.operators) == {"aten::linear": "same", "aten::addmm": "same", "aten::add": "same"}


def test_exactly_the_skipped_blocks_kernels_are_gone():
    found = diff(FULL, MASKED)
    assert found.skipped == (
        SkippedRow(category="GEMM", inside_count=-10, inside_us=-1120.0, whole_count=-10, whole_us=-1120.0),
        SkippedRow(
            category="attention", inside_count=-10, inside_us=-560.0, whole_count=-10, whole_us=-560.0
        ),
        SkippedRow(
            category="elementwise", inside_count=-20, inside_us=-252.0, whole_count=-20, whole_us=-252.0
        ),
        SkippedRow(category="copy, memset", inside_count=10, inside_us=20.0, whole_count=10, whole_us=20.0),
    )
    assert {(row.elsewhere_count, row.elsewhere_us) for row in found.skipped} == {(0, 0.0)}
    assert found.headline == (
        "In B the device is busy for 3.88 ms, 33 % less than A's 5.8 ms.",
        (
            "B skips blocks 4 and 5, which take 4 us instead of 1.38 ms in prefill and 4 us instead of 138 us in "
            "decode, per step."
        ),
        "B has 40 fewer kernels than A: exactly those of these blocks, kernel by kernel.",
        "Blocks that run in both take in B the same as A's 2.76 ms in prefill and the same as A's 276 us in decode.",
    )


def test_what_else_changed_is_told_from_the_blocks():
    masked = replace(
        MASKED,
        whole=replace(
            MASKED.whole,
            kernels=(*MASKED.whole.kernels, *kernels_of({"new": ("sort", 3, 7.0)})),
            categories=(
                *MASKED.whole.categories,
                replace(MASKED.whole.categories[0], category="sort", count=3),
            ),
        ),
    )
    found = diff(FULL, masked)
    assert [(row.category, row.elsewhere_count) for row in found.skipped if row.elsewhere_count] == [
        ("sort", 3)
    ]
    assert "40 kernels of these blocks are gone; elsewhere B has 3 more of new." in found.headline


def test_more_idling_is_said():
    device = MASKED.whole.device
    assert device is not None
    idle = replace(device, idle_launch_us=2000.0, span_us=device.busy_us + 2060.0)
    found = diff(FULL, replace(MASKED, whole=replace(MASKED.whole, device=idle)))
    assert found.headline[-1] == "The device idles 35 % of its span in B, 6 % in A."


def test_the_other_way_round():
    found = diff(MASKED, FULL)
    assert found.skipped_only_in_a == (4, 5)
    assert statuses(found.blocks["decode"])["5"] == "added"
    assert statuses(found.kernels) == dict.fromkeys((GEMM, FLASH, ADD, MUL), "more")
    assert "A has 40 fewer kernels than B: exactly those of these blocks, kernel by kernel." in found.headline


def test_on_the_host_operators_are_counted():
    full, masked = cpu_summary(3, 3), cpu_summary(2, 3)
    # Block 2 calls 12 operators in the full run, one addition in the masked one; 1 + 4 steps.
    gone = {"aten::linear": 15, "aten::addmm": 15, "aten::add": 25}
    fewer = tuple(replace(o, count=o.count - gone[o.name]) for o in masked.whole.operators)
    found = diff(full, replace(masked, whole=replace(masked.whole, operators=fewer)))
    assert found.headline[2] == (
        "B has 55 fewer operator calls than A: exactly those of this block, operator by operator, and 5 operator calls "
        "remain in it."
    )
    assert found.headline[1].startswith("B skips block 2, which takes 1.5 us instead of 52 us in prefill")
    assert found.skipped == ()


@pytest.mark.parametrize(
    ("a", "b", "status"),
    [
        ((0, 0.0), (3, 10.0), "added"),
        ((3, 10.0), (0, 0.0), "removed"),
        ((3, 100.0), (3, 104.0), "same"),
        ((3, 100.0), (3, 106.0), "slower"),
        ((3, 106.0), (3, 100.0), "faster"),
        ((1, 0.5), (1, 1.2), "same"),  # less than a microsecond apart
        ((4, 100.0), (2, 100.0), "fewer"),
        ((2, 100.0), (4, 100.0), "more"),
        ((4, 100.0), (5, 10.0), "faster"),  # far shorter calls explain it, not their number
        ((5, 10.0), (4, 100.0), "slower"),
    ],
)
def test_what_is_said_of_a_kernel(a, b, status):
    found = diff(
        with_kernels(other=(1, 1.0), **({"k": a} if a[0] else {})),
        with_kernels(other=(1, 1.0), **({"k": b} if b[0] else {})),
    )
    assert statuses(found.kernels)["k"] == status


def test_the_threshold_can_be_chosen():
    a, b = with_kernels(k=(1, 100.0)), with_kernels(k=(1, 110.0))
    assert statuses(diff(a, b).kernels) == {"k": "slower"}
    assert statuses(diff(a, b, threshold=Threshold(relative=0.1)).kernels) == {"k": "same"}
    assert statuses(diff(a, b, threshold=Threshold(relative=0.0, least_us=11.0)).kernels) == {"k": "same"}


def test_the_largest_change_comes_first():
    found = diff(
        with_kernels(a=(1, 5.0), b=(1, 50.0), c=(1, 9.0)), with_kernels(a=(1, 5.0), b=(1, 40.0), d=(1, 99.0))
    )
    assert [(row.key, row.delta_us) for row in found.kernels] == [
        ("d", 99.0),
        ("b", -10.0),
        ("c", -9.0),
        ("a", 0.0),
    ]


def test_a_trace_beside_itself():
    found = diff(FULL, FULL)
    every = [*found.phases, *found.kernels, *found.operators, *found.categories, *found.ranges]
    every += [row for rows in found.blocks.values() for row in rows]
    assert {row.status for row in every} == {"same"}
    assert found.headline[0] == "In B the device is busy for 5.8 ms, the same as A's 5.8 ms."
    assert found.skipped == ()


def test_numbers_of_steps_are_left_out_of_ranges():
    def stepped(first):
        template = FULL.ranges[0]
        return replace(
            FULL,
            ranges=tuple(
                replace(template, name=name, count=1, device_us=10.0)
                for name in (f"ProfilerStep#{first}", f"ProfilerStep#{first + 1}", "phase.decode", "mine")
            ),
        )

    found = diff(stepped(3), stepped(8))
    assert [(row.key, row.count_a, row.us_a, row.status) for row in found.ranges] == [
        ("ProfilerStep", 2, 20.0, "same"),
        ("mine", 1, 10.0, "same"),
    ]


def test_other_numbers_of_steps_are_noted():
    other = replace(MASKED, blocks=make_blocks([True] * 4 + [False] * 2, steps=8))
    found = diff(FULL, other)
    assert "A has 4 steps of decode, B 8: phases and blocks are per step, totals are not." in found.notes
    assert found.skipped == ()
    assert not [sentence for sentence in found.headline if "fewer kernels" in sentence]


def test_other_devices_damage_and_missing_blocks_are_noted():
    other = replace(
        MASKED,
        facts=replace(MASKED.facts, devices=("AMD Instinct MI300X",)),
        account=replace(MASKED.account, truncated=True),
        blocks=None,
    )
    notes = diff(FULL, other).notes
    assert "Different devices: NVIDIA H100 80GB HBM3 and AMD Instinct MI300X." in notes
    assert "B is damaged: what it lacks may be lost, not removed." in notes
    assert "No blocks were found in B, so that none are compared." in notes


def test_models_of_other_depths():
    notes = diff(gpu_summary(6, 6), gpu_summary(4, 4)).notes
    assert "A has 6 blocks, B 4: they are compared by number." in notes


def test_a_device_beside_none():
    found = diff(FULL, cpu_summary(6, 6))
    assert found.headline[0] == "Only A has device events: host times are compared."
    assert {row.status for row in found.kernels} == {"removed"}


def test_empty_traces():
    empty = replace(cpu_summary(), blocks=None, ranges=(), whole=replace(cpu_summary().whole, operators=()))
    found = diff(empty, empty)
    assert (found.kernels, found.blocks, found.phases) == ((), {}, ())
    one = OperatorTime(name="a", count=1, total_us=1.0, self_us=1.0, device_us=0.0, kernel_count=0)
    some = replace(empty, whole=replace(empty.whole, operators=(one,)))
    assert statuses(diff(empty, some).operators) == {"a": "added"}


def test_blocks_of_one_side_alone_are_counted_by_themselves_and_not_as_all():
    deep, shallow = gpu_summary(6, 6), gpu_summary(4, 4)
    unknown = [
        replace(
            side,
            blocks=replace(
                side.blocks,
                phases=tuple(
                    replace(phase, blocks=tuple(replace(block, active=None) for block in phase.blocks))
                    for phase in side.blocks.phases
                ),
            ),
        )
        for side in (deep, shallow)
    ]
    there, back = " ".join(diff(*unknown).headline), " ".join(diff(*unknown[::-1]).headline)
    assert "Only A has blocks 4 and 5: " in there
    assert "Only B has blocks 4 and 5: " in back
    for words in (there, back):
        assert "Blocks that run in both take in B " in words
        assert "All blocks" not in words


def test_a_trace_without_blocks_leaves_out_none():
    without = replace(FULL, blocks=None)
    for found in (diff(FULL, without), diff(without, FULL)):
        assert (found.skipped_only_in_a, found.skipped_only_in_b) == ((), ())
        assert "leaves out" not in " ".join(found.headline)


@pytest.mark.parametrize(
    ("us", "words"),
    [(25.0, "75 % less than"), (0.05, "99.9 % less than"), (900.0, "800 % more than"), (1470.0, "15 times")],
)
def test_how_much_longer_a_side_takes(us, words):
    found = diff(with_kernels(a=(1, 100.0)), with_kernels(a=(1, 100.0)))
    assert "the same as" in found.headline[0]
    one, other = (
        replace(FULL, whole=replace(FULL.whole, device=replace(FULL.whole.device, busy_us=busy)), blocks=None)
        for busy in (100.0, us)
    )
    assert words in diff(one, other).headline[0]

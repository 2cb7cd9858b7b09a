"""A full run beside a masked one, both made event by event: exactly the skipped blocks' kernels are gone."""

import csv
import io
import json

import pytest
from rich.console import Console

from maskprof.analysis.analyze import analyze
from maskprof.analysis.trace_diff import diff
from maskprof.reports.trace_console import print_diff
from maskprof.reports.trace_csv import diff_csvs
from maskprof.reports.trace_markdown import diff_to_markdown
from maskprof.results.serialize_trace import dump_diff
from maskprof.results.trace_comparison import SkippedKernel
from tests.support.traces import TraceBuilder

BLOCKS = 8
STEPS = ("phase.prefill", "phase.decode", "phase.decode")
# What a block runs: (name, us).
IN_BLOCK = (
    ("rms_norm_kernel", 2),
    ("gemm_qkv", 20),
    ("flash_fwd_kernel", 9),
    ("gemm_out", 10),
    ("rms_norm_kernel", 2),
)
SKIPPED = (3, 4, 6)


class _Run(TraceBuilder):
    """Steps of blocks; whatever is launched runs at once, one kernel after the other."""

    def __init__(self, skipped=(), *, also=(), slower=(), remaining=()):
        """`also` are (block, kernel) run beside the usual ones, `slower` blocks whose attention takes 30 us.

        Of `remaining` blocks, which are skipped, the norm still runs.
        """
        super().__init__(deviceProperties=[{"id": 0, "name": "NVIDIA H100 80GB HBM3"}])
        self.now = self.ids = 0
        for phase in STEPS:
            start = self.now
            self.work("embedding_kernel", 3)
            for block in range(BLOCKS):
                begin = self.now
                if block in skipped:
                    self.work("Memset (Device)", 1, cat="gpu_memset")
                    if block in remaining:
                        self.work("rms_norm_kernel", 2)
                else:
                    for name, us in IN_BLOCK:
                        self.work(name, 30 if name == "flash_fwd_kernel" and block in slower else us)
                    for _ in range(sum(where == block for where, _ in also)):
                        self.work(next(name for where, name in also if where == block), 1)
                turn = "skipped" if block in skipped else "active"
                self.annotation(f"block.{block:02d}.{turn}", begin, self.now - begin)
            for _, name in (one for one in also if one[0] is None):
                self.work(name, 1)
            self.work("gemm_head", 40)
            self.annotation(phase, start, self.now - start)
            self.now += 5

    def work(self, name, us, *, cat="kernel"):
        self.ids += 1
        self.op("aten::op", self.now, us + 4).launch(self.now + 1, self.ids)
        self.kernel(name, self.now + 2, us, self.ids, cat=cat)
        self.now += us + 5


@pytest.fixture
def compared(tmp_path):
    def compare(full, masked):
        return diff(*(analyze(run.read(tmp_path)) for run in (full, masked)))

    return compare


def gone(name, per_block, us, elsewhere=0, elsewhere_us=0.0):
    """Of each skipped block in each step."""
    times = len(SKIPPED) * len(STEPS)
    return SkippedKernel(
        name=name, inside_count=-per_block * times, inside_us=-float(per_block * us * times),
        whole_count=-per_block * times + elsewhere, whole_us=-float(per_block * us * times) + elsewhere_us,
    )  # fmt: skip


EXACTLY = (
    gone("gemm_qkv", 1, 20),
    gone("gemm_out", 1, 10),
    gone("flash_fwd_kernel", 1, 9),
    gone("rms_norm_kernel", 2, 2),
)


def test_exactly_the_skipped_blocks_kernels_are_gone(compared):
    found = compared(_Run(), _Run(SKIPPED))
    assert found.skipped_only_in_b == SKIPPED
    assert found.skipped_kernels == EXACTLY
    assert found.headline[2] == (
        "B has 45 fewer kernels than A: exactly those of these blocks, kernel by kernel."
    )
    for phase in ("prefill", "decode"):
        for row in found.blocks[phase]:
            work = {one.key: (one.count_a, one.count_b, one.us_a, one.us_b, one.status) for one in row.work}
            if int(row.key) in SKIPPED:
                assert work == {
                    "gemm_qkv": (1, 0, 20, 0, "removed"),
                    "gemm_out": (1, 0, 10, 0, "removed"),
                    "flash_fwd_kernel": (1, 0, 9, 0, "removed"),
                    "rms_norm_kernel": (2, 0, 4, 0, "removed"),
                    "Memset (Device)": (0, 1, 0, 1, "added"),
                }
            else:
                assert {one[4] for one in work.values()} == {"same"}


def test_the_other_way_round(compared):
    found = compared(_Run(SKIPPED), _Run())
    assert found.headline[2] == (
        "A has 45 fewer kernels than B: exactly those of these blocks, kernel by kernel."
    )
    assert {row.elsewhere_count for row in found.skipped_kernels} == {0}


def test_a_kernel_more_and_a_slower_one_are_told_apart_from_them(compared):
    found = compared(_Run(), _Run(SKIPPED, also=[(1, "rope_kernel")], slower=[5]))
    # One more in each of three steps; the slower attention is no change of number.
    slower = gone("flash_fwd_kernel", 1, 9, elsewhere_us=3 * 21.0)
    assert found.skipped_kernels == (
        *EXACTLY[:2], slower, EXACTLY[3],
        SkippedKernel(name="rope_kernel", inside_count=0, inside_us=0.0, whole_count=3, whole_us=3.0),
    )  # fmt: skip
    assert found.headline[2] == (
        "45 kernels of these blocks are gone; elsewhere B has 3 more of rope_kernel (in block 1)."
    )
    statuses = {row.key: row.status for row in found.blocks["decode"]}
    assert statuses == {
        "0": "same", "1": "more", "2": "same", "3": "removed", "4": "removed", "5": "slower", "6": "removed",
        "7": "same",
    }  # fmt: skip
    changed = {
        (row.key, work.key): work.status
        for row in found.blocks["decode"]
        for work in row.work
        if work.status != "same" and int(row.key) not in SKIPPED
    }
    assert changed == {("1", "rope_kernel"): "added", ("5", "flash_fwd_kernel"): "slower"}


def test_a_kernel_exchanged_for_another_is_no_equal_number(compared):
    """As many kernels as exactly those of the blocks are gone, and yet not exactly those."""
    found = compared(_Run(also=[(None, "argmax")]), _Run(SKIPPED, also=[(None, "topk")]))
    assert sum(row.elsewhere_count for row in found.skipped_kernels) == 0
    assert found.headline[2] == (
        "45 kernels of these blocks are gone; elsewhere B has 3 fewer of argmax and 3 more of topk."
    )


def test_a_kernel_that_remains_in_a_skipped_block_is_told(compared):
    found = compared(_Run(), _Run(SKIPPED, remaining=[4]))
    assert found.headline[2] == (
        "B has 42 fewer kernels than A: exactly those of these blocks, kernel by kernel, and 3 kernels remain in them."
    )


def test_each_side_leaves_out_others(compared):
    found = compared(_Run([1]), _Run([2]))
    assert (found.skipped_only_in_a, found.skipped_only_in_b) == ((1,), (2,))
    assert found.skipped_kernels == ()
    assert not [sentence for sentence in found.headline if sentence.startswith("Outside")]
    also = compared(_Run([1]), _Run([2, 3], also=[(None, "topk")]))
    assert also.headline[3] == "Outside of these blocks B has 3 more of topk."


def test_blocks_of_which_nothing_is_seen_are_left_out(compared):
    """Some ways to skip take blocks out: there is no range of theirs."""
    masked = _Run(SKIPPED)
    masked.events = [event for event in masked.events if not event["name"].endswith("skipped")]
    found = compared(_Run(), masked)
    assert found.skipped_only_in_b == SKIPPED
    assert found.headline[1].startswith("B leaves out blocks 3, 4 and 6, which take 0 us instead of ")
    assert found.skipped_kernels == EXACTLY


def test_the_tables_group_what_changed_alike(compared):
    found = compared(_Run(), _Run(SKIPPED, also=[(1, "rope_kernel")], slower=[5]))
    text = io.StringIO()
    print_diff(found, Console(file=text, width=80), top=10)
    lines = [line.rstrip() for line in text.getvalue().splitlines()]
    start = lines.index("Blocks in decode (per step)")
    assert lines[start + 4 : start + 9] == [
        "0, 2, 7         3  same           5        5  129.0  129.0     0.0   0.0 %",
        "1               1  more           5        6   43.0   44.0    +1.0  +2.3 %",
        "3-4, 6          3  removed        5        0  129.0    3.0  -126.0   -98 %",
        "5               1  slower         5        5   43.0   64.0   +21.0   +49 %",
        "3 removed, 1 more, 1 slower, 3 same.",
    ]


def test_json_csv_and_markdown_say_the_same(compared):
    found = compared(_Run(), _Run(SKIPPED, also=[(1, "rope_kernel")]))
    entry = json.loads(dump_diff(found))
    block = entry["blocks"]["decode"][3]
    assert [(work["key"], work["count_a"], work["count_b"]) for work in block["work"]][:2] == [
        ("gemm_qkv", 1, 0),
        ("gemm_out", 1, 0),
    ]
    assert [row["elsewhere_count"] for row in entry["skipped_kernels"]] == [0, 0, 0, 0, 3]
    tables = {name: list(csv.DictReader(io.StringIO(text))) for name, text in diff_csvs(found).items()}
    rope = [row for row in tables["block_work.csv"] if row["name"] == "rope_kernel"]
    assert [(row["phase"], row["block"], row["status"], row["count_b"]) for row in rope] == [
        ("prefill", "1", "added", "1"),
        ("decode", "1", "added", "1"),
    ]
    assert tables["skipped_kernels.csv"][-1]["elsewhere_count"] == "3"
    text = diff_to_markdown(found, top=10)
    assert "Gone with blocks 3-4, 6 in decode: 3 blocks, 5 kernels each" in text
    assert "rope\\_kernel" in text

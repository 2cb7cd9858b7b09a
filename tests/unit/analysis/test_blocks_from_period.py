from dataclasses import replace
from random import Random

import numpy as np
import pytest

from maskprof.analysis.blocks import find_blocks_in, search_blocks
from maskprof.analysis.blocks_from_period import blocks_from_period
from maskprof.analysis.kernel_order import KernelOrder
from maskprof.analysis.launched import find_launched
from maskprof.analysis.periods import find_repetition
from tests.support.traces import SHARED_TRACES, TraceBuilder, read_trace

BLOCK = ("norm", "qkv_gemm", "attention", "out_gemm", "norm", "up_gemm", "silu", "down_gemm")


class _Run(TraceBuilder):
    """Kernels of one stream, 5 us each and 1 us apart, started one by one or by a graph."""

    def __init__(self):
        super().__init__()
        self.now, self.correlation = 1_000, 0

    def run(self, *names, dur=5, graph=None, cat="kernel"):
        for name in names:
            if graph is None:
                self.correlation += 1
                self.launch(self.now - 900, self.correlation)
            self.kernel(name, self.now, dur, self.correlation if graph is None else graph, cat=cat)
            self.now += dur + 1
        return self

    def step(self, blocks=4, graph=None):
        self.run("embedding", graph=graph)
        for i in range(blocks):
            self.run(*BLOCK, dur=5 + i, graph=graph)
        return self.run("norm", "head", "argmax", graph=graph)


def _found(tmp_path, builder):
    trace = builder.read(tmp_path)
    return find_blocks_in(find_launched(trace))


def _why_not(tmp_path, builder):
    trace = builder.read(tmp_path)
    found = search_blocks(find_launched(trace))
    assert found.blocks is None
    return found.reason


def test_time_and_launches_per_block(tmp_path):
    found = _found(tmp_path, _Run().step().step())
    assert (found.source, found.note) == (
        "period",
        "Blocks are stretches of kernels that repeat: host time and operators of a block are not known.",
    )
    (phase,) = found.phases
    # Embedding, last norm, head and choice of the token are outside.
    assert (phase.phase, phase.steps, phase.host_us, phase.device_us, phase.outside_device_us) == (
        "all",
        2,
        None,
        228.0,
        20.0,
    )
    assert [
        (
            b.block,
            b.name,
            b.active,
            b.host_us,
            b.device_us,
            b.kernel_count,
            b.launch_count,
            b.copy_count,
            b.bubble_us,
        )
        for b in phase.blocks
    ] == [(i, f"period {i}", None, None, 8.0 * (5 + i), 8.0, 8.0, 0.0, None) for i in range(4)]


def test_a_graph_is_looked_into(tmp_path):
    builder = (
        _Run().graph_launch(10, 900_000).step(graph=900_000).graph_launch(20, 900_001).step(graph=900_001)
    )
    found = _found(tmp_path, builder)
    (phase,) = found.phases
    assert found.note.endswith(
        "Launch calls whose kernels are of several blocks, such as those of graphs, count in none."
    )
    assert [(b.device_us, b.kernel_count, b.launch_count) for b in phase.blocks] == [
        (8.0 * (5 + i), 8.0, 0.0) for i in range(4)
    ]


def test_a_graph_for_each_block_counts_as_one_launch(tmp_path):
    builder = _Run().run("embedding")
    for i in range(4):
        builder.graph_launch(10 + i, 900_000 + i).run(*BLOCK, graph=900_000 + i)
    (phase,) = _found(tmp_path, builder.run("norm", "head")).phases
    assert [block.launch_count for block in phase.blocks] == [1.0] * 4


def test_kernels_without_launch_calls_do_as_well(tmp_path):
    builder = _Run().step()
    builder.events = [event for event in builder.events if event["cat"] == "kernel"]
    (phase,) = _found(tmp_path, builder).phases
    assert [(block.kernel_count, block.launch_count) for block in phase.blocks] == [(8.0, 0.0)] * 4


def test_copies_and_other_streams_belong_where_they_are_launched(tmp_path):
    builder = _Run().run("embedding")
    for i in range(4):
        builder.run(*BLOCK[:4]).run("Memset (Device)", dur=2, cat="gpu_memset").run(*BLOCK[4:])
        if i == 2:
            # Launched between the last two kernels; and one long before, for another purpose.
            builder.launch(builder.now - 910, 800_000).kernel(
                "shared_expert", builder.now - 20, 100, 800_000, stream=9
            )
            builder.launch(50, 800_001).kernel("for_the_next_step", builder.now - 20, 100, 800_001, stream=8)
    (phase,) = _found(tmp_path, builder.run("norm", "head")).phases
    assert [(b.kernel_count, b.device_us, b.copy_count, b.copy_us, b.launch_count) for b in phase.blocks] == [
        (9.0, 140.0, 1.0, 2.0, 10.0) if i == 2 else (8.0, 40.0, 1.0, 2.0, 9.0) for i in range(4)
    ]
    assert (phase.device_us, phase.outside_device_us) == (375.0, 115.0)


def test_streams_of_one_graph_run_together(tmp_path):
    builder = _Run().graph_launch(10, 900_000).run("embedding", graph=900_000)
    for i in range(4):
        builder.run(*BLOCK, graph=900_000)
        builder.kernel("shared_expert", builder.now - 20, 10 + i, 900_000, stream=9)
    # Not of the graph: launched by itself while the graph ran.
    builder.launch(500, 800_001).kernel("for_the_next_step", builder.now - 20, 100, 800_001, stream=8)
    (phase,) = _found(tmp_path, builder.run("norm", "head", graph=900_000)).phases
    assert [(b.kernel_count, b.device_us) for b in phase.blocks] == [(9.0, 50.0 + i) for i in range(4)]


def test_blocks_that_the_window_cuts_off_are_told(tmp_path):
    builder = _Run()
    for i in (2, 3):
        builder.run(*BLOCK, dur=5 + i)
    found = _found(tmp_path, builder.run("norm", "head", "argmax").step())
    (phase,) = found.phases
    assert found.note.endswith("2 more blocks are of steps that were not found whole, and are in no figure.")
    assert (phase.steps, [block.device_us for block in phase.blocks]) == (1, [40.0, 48.0, 56.0, 64.0])


def test_steps_of_other_kernels_are_phases_of_their_own(tmp_path):
    builder = _Run().run("embedding")
    for _ in range(4):
        builder.run(*[f"big_{name}" for name in BLOCK], dur=50)
    found = _found(tmp_path, builder.run("norm", "head", "argmax").step().step())
    assert "Steps of other kernels are phases of their own." in found.note
    assert [(p.phase, p.steps, [b.device_us for b in p.blocks]) for p in found.phases] == [
        ("pattern 1", 1, [400.0] * 4),
        ("pattern 2", 2, [40.0, 48.0, 56.0, 64.0]),
    ]


def test_ranges_and_modules_come_first(tmp_path):
    builder = _Run().step().annotation("layers.0", 0, 50).annotation("layers.1", 60, 50)
    assert _found(tmp_path, builder).source == "annotations"
    builder.annotation("block.00.active", 200, 20)
    assert _found(tmp_path, builder).source == "ranges"


def test_training_is_refused(tmp_path):
    builder = _Run().step().op("autograd::engine::evaluate_function: MmBackward0", 5, 5)
    assert "a block's forward and backward kernels lie apart" in _why_not(tmp_path, builder)


def test_devices_at_work_together_are_refused(tmp_path):
    builder = _Run().step()
    for event in list(builder.events):
        if event["cat"] == "kernel":
            builder.events.append(event | {"pid": 1, "args": event["args"] | {"device": 1, "correlation": 0}})
    assert (
        _why_not(tmp_path, builder)
        == "the trace has kernels of 2 devices, whose orders cannot be told together"
    )


@pytest.mark.parametrize(
    ("builder", "reason"),
    [
        (TraceBuilder(), "the trace has no device events, and no ranges or modules that tell blocks"),
        (TraceBuilder().memset(5, 5, 1), "the trace has no kernels"),
        (
            TraceBuilder().kernel("gemm", 5, 5, 1),
            "the order of kernels does not tell them: no sequence of kernels repeats often enough",
        ),
    ],
    ids=["no device", "memsets alone", "one kernel"],
)
def test_nothing_to_be_told(tmp_path, builder, reason):
    assert _why_not(tmp_path, builder) == reason


pytestmark_foreign = [
    pytest.mark.shared_data,
    pytest.mark.skipif(not SHARED_TRACES.is_dir(), reason=f"no foreign traces at {SHARED_TRACES}"),
]


def _foreign(file):
    trace = read_trace(SHARED_TRACES / f"{file}.json.gz")
    return find_launched(trace)


class TestTracesOfOthers:
    pytestmark = pytestmark_foreign

    @pytest.mark.parametrize(
        ("file", "blocks", "inside_us", "outside_us"),
        [
            ("sglang_qwen3-8b_decode_graph_mi300", 36, 9232.896, 532.541),
            ("vllm_decode_graph_mi300", 24, 10372.085, 302.432),
        ],
    )
    def test_replayed_graphs(self, file, blocks, inside_us, outside_us):
        found = find_blocks_in(_foreign(file))
        (phase,) = found.phases
        assert (found.source, phase.steps, len(phase.blocks)) == ("period", 1, blocks)
        assert sum(block.device_us for block in phase.blocks) == pytest.approx(inside_us)
        assert phase.outside_device_us == pytest.approx(outside_us)

    @pytest.mark.parametrize("file", ["bert-small_h100", "qwen1.5-0.5b_h100", "vllm_eager_b200"])
    def test_the_order_of_kernels_says_what_the_modules_say(self, file):
        launched = _foreign(file)
        (by_modules,) = find_blocks_in(launched).phases
        (by_period,) = blocks_from_period(launched).phases
        assert [(b.device_us, b.kernel_count, b.launch_count, b.copy_count) for b in by_period.blocks] == [
            (pytest.approx(b.device_us), b.kernel_count, b.launch_count, b.copy_count)
            for b in by_modules.blocks
        ]

    @pytest.mark.parametrize(
        ("file", "blocks"),
        [
            ("bert-small_h100", 4),
            ("qwen1.5-0.5b_h100", 24),
            ("vllm_eager_b200", 36),
            ("sglang_qwen3-8b_decode_graph_mi300", 36),
            ("vllm_decode_graph_mi300", 24),
        ],
    )
    def test_a_window_that_cuts_steps_off_tells_no_wrong_number(self, file, blocks):
        sequence = KernelOrder.of(_foreign(file)).sequence
        size = len(sequence.tokens)
        random = Random(1)
        told = 0
        for _ in range(40):
            first, last = sorted((random.randrange(size), random.randrange(size)))
            # The window begins within a step, and ends within a later one or the same.
            between = [np.arange(size)] * random.randrange(3)
            for places in (
                np.arange(first, last),
                np.concatenate([np.arange(first, size), *between, np.arange(last)]),
            ):
                window = replace(sequence, tokens=sequence.tokens[places], time_ns=sequence.time_ns[places])
                found = find_repetition(window)
                # Qwen's trace ends with the last norm. A window that ends with one within a step looks like it.
                if file == "qwen1.5-0.5b_h100" and np.array_equal(window.tokens[-8:], sequence.tokens[-8:]):
                    continue
                if not isinstance(found, str):
                    told += 1
                    assert {pattern.borders.shape[1] - 1 for pattern in found.patterns} == {blocks}, (
                        first,
                        last,
                    )
        # Qwen's trace ends within a step, before the head: it cannot be joined to itself.
        assert (told > 0) == (file != "qwen1.5-0.5b_h100")

    @pytest.mark.parametrize("file", ["v1_training_a100_control", "minitoy_train_mi250", "mtia_inference"])
    def test_no_blocks_are_better_than_wrong_ones(self, file):
        assert find_blocks_in(_foreign(file)) is None

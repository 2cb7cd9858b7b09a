import pytest

from maskprof.analysis.blocks import find_blocks_in
from maskprof.analysis.launched import find_launched
from tests.support.traces import SHARED_TRACES, TraceBuilder, read_trace


class _Model(TraceBuilder):
    """Writes module calls as a stack of ranges; every leaf launches one kernel."""

    def __init__(self):
        super().__init__()
        self.now, self.calls = 0, 0

    def module(self, name, *inner, kernel_us=0):
        start, at = self.now, len(self.events)
        self.now += 1
        if kernel_us:
            self.calls += 1
            self.launch(self.now, self.calls).kernel(name, 10_000 + 100 * self.calls, kernel_us, self.calls)
            self.now += 2
        for call in inner:
            call()
        self.now += 1
        self.event("python_function", f"nn.Module: {name}", start, self.now - start)
        self.events.insert(at, self.events.pop())
        return self

    def layer(self, name, number, *, kernel_us=10, mixer="Attention"):
        self.module(
            f"{name}_{number}",
            lambda: self.module(f"RMSNorm_{2 * number}", kernel_us=1),
            lambda: self.module(
                f"{mixer}_{number}",
                *[lambda i=i: self.module(f"Linear_{4 * number + i}", kernel_us=kernel_us) for i in range(2)],
            ),
        )  # fmt: skip

    def step(self, layers, *, name="DecoderLayer", stack="Model_0", first=0):
        self.module(
            "ForCausalLM_0",
            lambda: self.module(
                stack,
                lambda: self.module("Embedding_0", kernel_us=2),
                *[lambda i=i: self.layer(name, first + i) for i in range(layers)],
                lambda: self.module("RMSNorm_99", kernel_us=1),
            ),
            lambda: self.module("Linear_99", kernel_us=5),
        )
        return self


def _found(tmp_path, builder):
    trace = builder.read(tmp_path)
    return find_blocks_in(find_launched(trace))


def test_the_layers_of_a_decoder(tmp_path):
    found = _found(tmp_path, _Model().step(3).step(3))
    assert found.source == "modules"
    (phase,) = found.phases
    # Embedding, last norm and head are in no block.
    assert (phase.phase, phase.steps, phase.device_us, phase.outside_device_us) == ("all", 2, 71.0, 8.0)
    assert [
        (b.block, b.name, b.active, b.host_us, b.device_us, b.kernel_count, b.launch_count)
        for b in phase.blocks
    ] == [(i, f"DecoderLayer_{i}", None, 16.0, 21.0, 3.0, 3.0) for i in range(3)]
    assert phase.host_us == 3 * 16 + 2 * 4 + 4 + 4


def test_what_happens_around_the_model_is_not_its_steps(tmp_path):
    model = _Model().step(2)
    model.launch(model.now + 1, 77).kernel("sampling", 90_000, 50, 77).kernel("queued before", 1, 40, 999)
    (phase,) = _found(tmp_path, model).phases
    assert (phase.device_us, phase.outside_device_us) == (50.0, 8.0)


def test_the_longer_of_two_lists_and_what_else_there_is(tmp_path):
    model = _Model()
    model.module(
        "Encoder_0", *[lambda i=i: model.layer("EncoderLayer", 50 + i, kernel_us=3) for i in range(4)]
    )
    found = _found(tmp_path, model.step(2))
    assert [block.name for block in found.phases[0].blocks] == ["DecoderLayer_0", "DecoderLayer_1"]
    assert found.note.endswith("Other lists of modules: EncoderLayer (4).")


def test_layers_of_two_classes_are_one_list(tmp_path):
    model = _Model()
    kinds = ["MambaLayer", "MambaLayer", "AttentionLayer", "MambaLayer"]
    model.module(
        "Model_0",
        lambda: model.module("Rotary_0", lambda: model.module("Linear_80", kernel_us=1)),
        *[lambda i=i, kind=kind: model.layer(kind, i) for i, kind in enumerate(kinds)],
    )
    (phase,) = _found(tmp_path, model).phases
    assert [block.name for block in phase.blocks] == [f"{kind}_{i}" for i, kind in enumerate(kinds)]


def test_a_list_in_which_hardly_anything_happens_is_none_of_blocks(tmp_path):
    """As where the blocks themselves are compiled, or replayed as a graph, and have no module ranges."""
    model = _Model().step(3)
    model.launch(model.now + 1, 77).kernel("replayed", 90_000, 9 * 63 + 1, 77)
    assert _found(tmp_path, model) is None
    model.events[-1]["dur"] = 9 * 55
    assert _found(tmp_path, model).source == "modules"


def test_numbers_need_not_begin_at_zero(tmp_path):
    (phase,) = _found(tmp_path, _Model().step(3, first=9)).phases
    assert [(block.block, block.name) for block in phase.blocks] == [
        (0, "DecoderLayer_9"),
        (1, "DecoderLayer_10"),
        (2, "DecoderLayer_11"),
    ]


def test_one_layer_is_no_list(tmp_path):
    assert _found(tmp_path, _Model().step(1)) is None


def test_modules_without_modules_inside_are_no_blocks(tmp_path):
    model = _Model()
    model.module("Sequential_0", *[lambda i=i: model.module(f"Linear_{i}", kernel_us=4) for i in range(6)])
    assert _found(tmp_path, model) is None


def test_experts_that_are_called_now_and_then_are_no_blocks(tmp_path):
    model = _Model()
    called = {0: 5, 1: 1, 2: 3}
    model.module(
        "MixtureOfExperts_0",
        *[lambda i=i: model.layer("Expert", i) for i, count in called.items() for _ in range(count)],
    )
    assert _found(tmp_path, model) is None


def test_a_trace_of_the_host_goes_by_host_time(tmp_path):
    model = _Model().step(3)
    model.events = [event for event in model.events if event["cat"] == "python_function"]
    (phase,) = _found(tmp_path, model).phases
    assert [(block.host_us, block.device_us) for block in phase.blocks] == [(16.0, None)] * 3


def test_threads_do_not_mix(tmp_path):
    model = _Model().step(3)
    plain = _found(tmp_path, model)
    model.launch(10, 888, tid=5).kernel("elsewhere", 99_000, 500, 888)
    assert _found(tmp_path, model).phases == plain.phases


@pytest.mark.shared_data
@pytest.mark.skipif(not SHARED_TRACES.is_dir(), reason=f"no foreign traces at {SHARED_TRACES}")
@pytest.mark.parametrize(
    ("file", "names", "kernels", "inside_us", "outside_us"),
    [
        ("bert-small_h100", ("BertLayer", 4), 12, 233.182, 74.015),
        ("qwen1.5-0.5b_h100", ("Qwen2DecoderLayer", 24), 42, 31531.131, 228.927),
        ("vllm_eager_b200", ("TransformerBlock", 36), 21, 10549.538, 244.161),
    ],
)
def test_traces_of_others(file, names, kernels, inside_us, outside_us):
    trace = read_trace(SHARED_TRACES / f"{file}.json.gz")
    found = find_blocks_in(find_launched(trace))
    (phase,) = found.phases
    assert (found.source, phase.steps) == ("modules", 1)
    assert [block.name for block in phase.blocks] == [f"{names[0]}_{i}" for i in range(names[1])]
    assert {block.kernel_count for block in phase.blocks} == {kernels}
    assert sum(block.device_us for block in phase.blocks) == pytest.approx(inside_us)
    assert phase.outside_device_us == pytest.approx(outside_us)

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from maskprof.analysis.periods import find_repetition
from tests.support.kernel_sequences import Written, plain_block


def _borders(written):
    """Borders of every step, in order, as found; a sentence where nothing was."""
    found = find_repetition(written.sequence())
    if isinstance(found, str):
        return found
    return sorted(step for pattern in found.patterns for step in pattern.borders.tolist())


@pytest.mark.parametrize("steps", [1, 2, 7])
@pytest.mark.parametrize("blocks", [3, 4, 24])
def test_steps_of_equal_blocks(steps, blocks):
    written = Written()
    for _ in range(steps):
        written.step([plain_block()] * blocks)
    assert _borders(written) == written.steps


def test_what_belongs_to_a_step_beside_its_blocks():
    written = Written().step([plain_block()] * 4).step([plain_block()] * 4)
    (pattern,) = find_repetition(written.sequence()).patterns
    # The head of the first step and the embedding of the second are before the second's blocks.
    assert pattern.reach.tolist() == [[0, written.steps[0][-1]], [written.steps[0][-1], len(written.names)]]


def test_a_first_norm_of_another_kind():
    first = ["norm", *plain_block()[1:]]
    written = Written().step([first, *[plain_block()] * 5]).step([first, *[plain_block()] * 5])
    assert _borders(written) == written.steps


def test_a_last_norm_as_in_the_blocks():
    written = Written().step([plain_block()] * 6, after=("add_norm", "head"))
    assert _borders(written) == written.steps


def test_an_all_reduce_of_the_embeddings_as_after_every_block():
    block = [*plain_block(), "all_reduce"]
    written = Written().step([block] * 6, before=("embedding", "all_reduce"), after=("add_norm", "head"))
    assert _borders(written) == written.steps


def test_every_second_block_with_a_window():
    kinds = [plain_block("_sliding"), [*plain_block("_full")[:5], "attention_reduce", *plain_block()[5:]]]
    written = Written()
    for _ in range(3):
        written.step(kinds * 6)
    assert _borders(written) == written.steps


def test_every_sixth_block_is_global():
    written = Written().step(([plain_block("_local")] * 5 + [plain_block("_global")]) * 4)
    assert _borders(written) == written.steps


_EXPERTS = [
    "router_gemm",
    "topk",
    "sort",
    "permute",
    "expert_up",
    "expert_act",
    "expert_down",
    "finalize",
    "add",
]


@pytest.mark.parametrize("steps", [1, 4])
def test_dense_blocks_before_those_with_experts(steps):
    experts = [*plain_block()[:7], *_EXPERTS]
    written = Written()
    for _ in range(steps):
        written.step([plain_block()] * 3 + [experts] * 20)
    assert _borders(written) == written.steps


def test_experts_one_by_one_are_not_the_blocks():
    experts = ["gather", "up_gemm", "act", "down_gemm", "scatter"] * 8
    written = Written().step([[*plain_block()[:7], *experts]] * 6)
    assert _borders(written) == written.steps


def test_an_activation_that_the_head_has_too():
    """The head of a masked language model: a product, an activation, a norm."""
    block = [
        "q_gemm",
        "q_gemm",
        "q_gemm",
        "attention",
        "gemm",
        "add",
        "norm",
        "wide_gemm",
        "gelu",
        "gemm",
        "add",
        "norm",
    ]
    written = Written()
    for _ in range(3):
        written.step(
            [block] * 4, before=("embedding", "norm", "mask"), after=("q_gemm", "gelu", "norm", "head")
        )
    assert _borders(written) == written.steps


def test_a_softmax_that_the_sampling_has_too():
    block = ["norm", "qkv", "attention_softmax", "bmm", "out", "add", "norm2", "up", "act", "down", "add"]
    written = Written()
    for _ in range(3):
        written.step([block] * 8, after=("norm", "head", "div", "attention_softmax", "argmax"))
    assert _borders(written) == written.steps


def test_kernels_that_come_in_between_now_and_then():
    blocks = [plain_block() for _ in range(12)]
    blocks[3].insert(4, "growing_the_cache")
    blocks[7].insert(8, "autotuned")
    blocks[9][9] = "down_gemm_split"
    written = Written().step(blocks)
    assert _borders(written) == written.steps


def test_steps_that_the_window_cuts_off_are_in_no_pattern():
    written = Written()
    for _ in range(4):
        written.step([plain_block()] * 6)
    cut = 25
    written.names, written.times = written.names[cut:-40], written.times[cut:-40]
    whole = [[border - cut for border in step] for step in written.steps[1:3]]
    found = find_repetition(written.sequence())
    assert [pattern.borders.tolist() for pattern in found.patterns] == [whole]
    # Three blocks and a half of the first step are left, and two and a half of the last.
    assert found.cut_blocks == 3 + 2


def test_prefill_and_decoding_have_kernels_of_their_own():
    prefill = [f"prefill_{name}" for name in plain_block()]
    written = Written()
    written.step([prefill] * 8)
    for _ in range(5):
        written.step([plain_block()] * 8)
    found = find_repetition(written.sequence())
    assert [pattern.borders.tolist() for pattern in found.patterns] == [written.steps[:1], written.steps[1:]]
    # Each kernel is of one step.
    assert [pattern.reach[0].tolist() for pattern in found.patterns] == [
        [0, written.steps[0][-1]],
        [written.steps[0][-1], written.steps[1][-1]],
    ]


def test_prefill_and_decoding_that_share_some_kernels():
    prefill = [
        name.replace("gemm", "big_gemm").replace("attention", "flash_attention") for name in plain_block()
    ]
    written = Written().step([prefill] * 8).step([plain_block()] * 8).step([plain_block()] * 8)
    found = find_repetition(written.sequence())
    assert [pattern.borders.tolist() for pattern in found.patterns] == [written.steps[:1], written.steps[1:]]


def test_an_encoder_before_a_decoder_with_cross_attention():
    decoder = [*plain_block()[:6], "add_norm", "q_gemm", "cross_attention", "out_gemm", *plain_block()[6:]]
    written = Written().step([plain_block()] * 6, after=("norm",)).step([decoder] * 6).step([decoder] * 6)
    found = find_repetition(written.sequence())
    assert [pattern.borders.tolist() for pattern in found.patterns] == [written.steps[:1], written.steps[1:]]


def test_a_language_model_after_a_vision_tower_of_other_depth():
    tower = [f"vit_{name}" for name in plain_block()]
    written = (
        Written().step([tower] * 24, before=("conv",), after=("norm", "proj")).step([plain_block()] * 32)
    )
    assert _borders(written) == written.steps[1:]
    # With the same kernels they cannot be told apart.
    written = (
        Written().step([plain_block()] * 24, before=("conv",), after=("proj",)).step([plain_block()] * 32)
    )
    assert _borders(written) == "steps have different numbers of blocks (24, 32)"


def _repeated(blocks):
    written = Written()
    for _ in range(10):
        written.step([plain_block()] * blocks)
    return written


_NORM = ["copy", "pow", "mean", "add", "rsqrt", "mul", "copy", "mul"]


@pytest.mark.parametrize("steps", [1, 3])
def test_kernels_of_eager_layers_with_an_expert_after_the_other(steps):
    expert = ["where", "index", "gemm", "silu", "gemm", "mul", "gemm", "mul", "index_add"]
    block = [
        *_NORM,
        *["gemm"] * 3,
        "rope",
        "rope",
        "attention",
        "copy",
        "gemm",
        "add",
        *_NORM,
        "gemm",
        "softmax",
        "topk",
    ]
    block += [*expert * 8, "add"]
    written = Written()
    for _ in range(steps):
        written.step([block] * 8, before=("embedding", "cos", "sin"), after=(*_NORM, "head", "argmax"))
    assert _borders(written) == written.steps


@pytest.mark.parametrize("piece", [120, 200, 333, 5_000])
def test_long_sequences_are_gone_through_in_pieces(piece):
    written = Written().step([[f"prefill_{name}" for name in plain_block()]] * 8)
    for _ in range(12):
        written.step([plain_block()] * 8)
    whole = find_repetition(written.sequence())
    pieces = find_repetition(written.sequence(), piece=piece)
    assert [(p.borders.tolist(), p.reach.tolist()) for p in pieces.patterns] == [
        (p.borders.tolist(), p.reach.tolist()) for p in whole.patterns
    ]
    assert (whole.cut_blocks, pieces.cut_blocks) == (0, 0)
    assert _borders(written) == written.steps


def test_a_piece_shorter_than_a_step_finds_none():
    written = Written().step([plain_block()] * 8).step([plain_block()] * 8)
    assert isinstance(find_repetition(written.sequence(), piece=60), str)


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        (Written(), "no sequence of kernels repeats often enough"),
        (
            Written().add(*plain_block() * 2),
            "what lies between two repetitions is neither a block nor the edge of a step",
        ),
        (Written().add(*["gemm"] * 500), "no sequence of kernels repeats often enough"),
        (
            Written().step([["conv", "batch_norm", "relu", "conv", "batch_norm", "add"]] * 12),
            "what repeats has no attention in it",
        ),
        (
            Written().add(*["embedding", *plain_block(), "head", "argmax"] * 12),
            "what repeats looks up embeddings or chooses tokens: whole steps",
        ),
        (
            Written().add(*[f"k{i}" for i in range(100)]).step([plain_block()] * 5),
            "what repeats is only 32 % of the kernels' time",
        ),
        (
            Written().add(*[*plain_block(), *[f"{name}_mamba" for name in plain_block()] * 4] * 6),
            "what lies between two repetitions is neither a block nor the edge of a step",
        ),
        (
            Written().step(([[f"mamba_{name}" for name in plain_block()]] * 3 + [plain_block()]) * 4),
            "what repeats has 4 attentions in it: several blocks",
        ),
        (_repeated(2), "what repeats looks up embeddings or chooses tokens: whole steps"),
        (_repeated(1), "what repeats looks up embeddings or chooses tokens: whole steps"),
        (Written().add(*(plain_block() * 10)[5:-5]), "no step lies wholly within the trace"),
        (
            Written().step([plain_block()] * 4).step([plain_block()] * 9).step([plain_block()] * 5),
            "steps have different numbers of blocks (4, 5, 9)",
        ),
    ],
    ids=[
        "nothing", "two blocks", "one kernel", "convolutions", "steps", "a small part", "several blocks",
        "two kinds of blocks", "steps of two blocks", "steps of one block", "cut off", "unequal",
    ],
)  # fmt: skip
def test_what_is_not_convincing(written, reason):
    assert _borders(written) == reason


def _kernels(prefix, least=4, most=30):
    """Names of a block's kernels: drawn from few, so that some occur more than once, with one attention."""
    return st.lists(st.integers(0, 12), min_size=least, max_size=most).map(
        lambda codes: [f"{prefix}{code}" for code in codes]
    )


@st.composite
def _models(draw):
    body = draw(_kernels("b"))
    block = [*body[: len(body) // 2], "attention", *body[len(body) // 2 :]]
    before = ["embedding", *draw(_kernels("x", 0, 8))]
    after = [*draw(_kernels("y", 0, 8)), "argmax"]
    return block, before, after, draw(st.integers(3, 12)), draw(st.integers(1, 5))


@settings(deadline=None, max_examples=100)
@given(_models())
def test_whatever_the_kernels_steps_and_blocks_are_found(model):
    block, before, after, blocks, steps = model
    written = Written()
    for _ in range(steps):
        written.step([block] * blocks, before=before, after=after)
    times = np.array([2.0 if name in block else 0.1 for name in written.names])
    written.times = times.tolist()
    assert _borders(written) == written.steps


@settings(deadline=None, max_examples=100)
@given(_models(), st.data())
def test_noise_moves_no_block_by_much(model, data):
    block, before, after, blocks, steps = model
    assume(len(set(block)) >= 7 and blocks >= 5)
    written = Written()
    for _ in range(steps):
        noisy = [list(block) for _ in range(blocks)]
        for one in data.draw(st.sets(st.integers(0, blocks - 1), max_size=blocks // 4)):
            noisy[one].insert(
                data.draw(st.integers(1, len(block) - 1)), f"noise{data.draw(st.integers(0, 2))}"
            )
        written.step(noisy, before=before, after=after)
    found = _borders(written)
    # An answer may be refused; one that is given is right to a kernel or two.
    if not isinstance(found, str):
        assert len(found) == len(written.steps)
        assert np.abs(np.array(found) - np.array(written.steps)).max() <= 2


@settings(deadline=None, max_examples=100)
@given(_models(), st.data())
def test_a_trace_that_is_cut_anywhere_tells_no_wrong_number(model, data):
    block, before, after, blocks, steps = model
    assume(len(set(block)) >= 7 and blocks >= 4)
    written = Written()
    for _ in range(steps):
        written.step([block] * blocks, before=before, after=after)
    first, last = sorted(data.draw(st.lists(st.integers(0, len(written.names)), min_size=2, max_size=2)))
    written.names, written.times = written.names[first:last], written.times[first:last]
    found = _borders(written)
    if not isinstance(found, str):
        whole = np.array(written.steps) - first
        assert {len(step) - 1 for step in found} == {blocks}
        # A step whose very first or last kernel is cut off may still be one.
        assert all(np.abs(whole - np.array(step)).max(axis=1).min() <= 1 for step in found)


@settings(deadline=None, max_examples=100)
@given(st.lists(st.integers(0, 15), min_size=0, max_size=600))
def test_no_order_has_no_blocks(codes):
    names = ["attention" if code == 0 else f"k{code}" for code in codes]
    written = Written().add(*names)
    assume(not _really_repeats(names))
    assert isinstance(_borders(written), str)


def _really_repeats(names):
    """Whether some stretch of at least four kernels comes three times in a row, which hypothesis likes to make."""
    return any(
        names[i : i + p] == names[i + p : i + 2 * p] == names[i + 2 * p : i + 3 * p]
        for p in range(4, len(names) // 3 + 1)
        for i in range(len(names) - 3 * p + 1)
    )

"""BlockMask: what it takes, what it refuses, and that it never changes."""

import copy
import itertools
import pickle
import random
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskprof.errors import MaskError
from maskprof.masks.mask import BlockMask

FLAGS = st.lists(st.booleans(), min_size=1, max_size=80)
STRATEGIES = ("first", "last", "middle", "uniform", "random")


@st.composite
def counts(draw):
    total = draw(st.integers(1, 200))
    return draw(st.integers(1, total)), total


class TestReading:
    def test_the_documented_example(self):
        mask = BlockMask.from_indices([0, 5, 10, 15], total=16)
        assert str(mask) == "1000010000100001"
        assert mask.active_indices == (0, 5, 10, 15)
        assert mask.skipped_indices == (1, 2, 3, 4, 6, 7, 8, 9, 11, 12, 13, 14)
        assert (mask.num_active, mask.total, len(mask)) == (4, 16, 16)
        assert repr(mask) == "BlockMask.from_indices([0, 5, 10, 15], total=16)"

    def test_the_order_of_indices_does_not_matter(self):
        assert BlockMask.from_indices([3, 0], total=4) == BlockMask([True, False, False, True])

    def test_no_block_at_all_is_a_mask(self):
        # Whether a model can run that way is the wrapper's question.
        mask = BlockMask([False, False])
        assert mask.num_active == 0
        assert BlockMask.from_indices([], total=2) == mask

    def test_it_reads_as_a_sequence(self):
        mask = BlockMask([True, False, True])
        assert mask[0] is True
        assert mask[-2] is False
        assert mask[1:] == (False, True)
        assert list(mask) == [True, False, True]
        assert list(reversed(mask)) == [True, False, True]
        assert mask.count(True) == 2
        assert False in mask

    def test_full(self):
        assert str(BlockMask.full(3)) == "111"

    @given(flags=FLAGS)
    def test_flags_and_indices_round_trip(self, flags):
        mask = BlockMask(flags)
        assert list(mask) == flags
        assert BlockMask.from_indices(mask.active_indices, mask.total) == mask
        assert sorted(mask.active_indices + mask.skipped_indices) == list(range(len(flags)))
        assert mask.num_active + len(mask.skipped_indices) == mask.total
        assert str(mask) == "".join("1" if flag else "0" for flag in flags)
        assert eval(repr(mask), {"BlockMask": BlockMask}) == mask

    @given(flags=FLAGS)
    def test_every_kind_of_sequence_gives_the_same_mask(self, flags):
        mask = BlockMask(flags)
        for given_as in (tuple(flags), iter(flags), np.array(flags), mask):
            assert BlockMask(given_as) == mask

    def test_a_bool_tensor_is_a_mask(self):
        torch = pytest.importorskip("torch")
        assert str(BlockMask(torch.tensor([True, False, True]))) == "101"


class TestBeingAValue:
    @given(one=FLAGS, other=FLAGS)
    def test_equality_and_hash_go_by_the_flags(self, one, other):
        assert (BlockMask(one) == BlockMask(other)) == (one == other)
        assert hash(BlockMask(one)) == hash(BlockMask(list(one)))
        assert len({BlockMask(one), BlockMask(one)}) == 1

    def test_different_masks_mostly_hash_differently(self):
        masks = [BlockMask.from_indices([i], total=16) for i in range(16)]
        assert len({hash(mask) for mask in masks}) > 8

    def test_it_equals_masks_only(self):
        assert BlockMask([True, False]) != [True, False]
        assert BlockMask([True, False]) != (True, False)
        assert BlockMask([True]) != "1"

    def test_it_does_not_follow_the_list_it_was_made_of(self):
        flags = [True, False]
        mask = BlockMask(flags)
        flags[1] = True
        assert str(mask) == "10"

    def test_it_cannot_be_changed(self):
        mask = BlockMask([True, False])
        with pytest.raises(TypeError):
            mask[0] = False
        with pytest.raises(TypeError):
            del mask[0]
        for name in ("num_active", "total", "active_indices", "skipped_indices", "other"):
            with pytest.raises(AttributeError):
                setattr(mask, name, 1)

    @given(flags=FLAGS)
    def test_copies_and_pickles_are_equal(self, flags):
        mask = BlockMask(flags)
        assert copy.copy(mask) == mask
        assert copy.deepcopy(mask) == mask
        assert pickle.loads(pickle.dumps(mask)) == mask


class TestChoosing:
    @pytest.mark.parametrize(
        ("mask", "expected"),
        [
            (BlockMask.first(4, 16), "1111000000000000"),
            (BlockMask.last(4, 16), "0000000000001111"),
            (BlockMask.middle(4, 16), "0000001111000000"),
            (BlockMask.middle(3, 16), "0000001110000000"),
            (BlockMask.middle(1, 2), "10"),
            (BlockMask.uniform(4, 16), "1000010000100001"),
            (BlockMask.uniform(1, 16), "1000000000000000"),
            (BlockMask.uniform(2, 16), "1000000000000001"),
            (BlockMask.uniform(3, 16), "1000000010000001"),
            (BlockMask.uniform(3, 4), "1011"),
            (BlockMask.uniform(15, 16), "1111111011111111"),
            (BlockMask.random(4, 16), "1000001000001001"),
            (BlockMask.random(4, 16, 1), "0000100001001100"),
        ],
    )
    def test_exact_examples(self, mask, expected):
        assert str(mask) == expected

    @pytest.mark.parametrize("strategy", STRATEGIES)
    @given(count=counts())
    def test_each_gives_the_number_asked_for(self, strategy, count):
        n, total = count
        mask = getattr(BlockMask, strategy)(n, total)
        assert (mask.num_active, mask.total) == (n, total)
        assert getattr(BlockMask, strategy)(n, total) == mask

    @pytest.mark.parametrize("strategy", STRATEGIES)
    def test_all_of_them_is_all_of_them(self, strategy):
        assert getattr(BlockMask, strategy)(7, 7) == BlockMask.full(7)

    @given(count=counts())
    def test_first_and_last_mirror_each_other(self, count):
        assert list(BlockMask.last(*count)) == list(reversed(BlockMask.first(*count)))

    @given(count=counts())
    def test_middle_is_one_piece_and_centred(self, count):
        n, total = count
        start, stop = (mask := BlockMask.middle(n, total)).active_indices[0], mask.active_indices[-1] + 1
        assert stop - start == n
        assert (total - stop) - start in (0, 1)

    @given(count=counts())
    def test_uniform_is_spread_evenly(self, count):
        n, total = count
        indices = BlockMask.uniform(n, total).active_indices
        assert indices[0] == 0
        if n > 1:
            assert indices[-1] == total - 1
            gaps = {b - a for a, b in itertools.pairwise(indices)}
            assert max(gaps) - min(gaps) <= 1

    @given(count=counts(), seed=st.integers(0, 2**31))
    def test_random_repeats_by_its_seed_and_leaves_the_callers_state_alone(self, count, seed):
        state = random.getstate()
        mask = BlockMask.random(*count, seed)
        assert random.getstate() == state
        assert BlockMask.random(*count, seed) == mask

    def test_random_differs_between_seeds(self):
        assert len({BlockMask.random(8, 16, seed) for seed in range(20)}) > 10

    @pytest.mark.parametrize("strategy", STRATEGIES)
    @pytest.mark.parametrize("n", [0, -1, 17, 1.0, True, "4", None])
    def test_impossible_counts(self, strategy, n):
        with pytest.raises(MaskError, match=r"the number of active blocks is between 1 and 16, got "):
            getattr(BlockMask, strategy)(n, 16)

    @pytest.mark.parametrize("strategy", STRATEGIES)
    @pytest.mark.parametrize("total", [0, -3, 2.0, True, None])
    def test_impossible_totals(self, strategy, total):
        with pytest.raises(MaskError, match="a model has at least one block, got total="):
            getattr(BlockMask, strategy)(1, total)


class TestRefusing:
    @pytest.mark.parametrize(
        ("flags", "message"),
        [
            ([], "a mask needs at least one entry, got none"),
            (
                [1, 0],
                "a mask needs booleans, got 1 at position 0; for a list of block numbers use BlockMask.from_indices",
            ),
            ([True, None], "a mask needs booleans, got None at position 1"),
            ([True, "no"], "a mask needs booleans, got 'no' at position 1"),
            ([[True], [False]], r"a mask needs booleans, got \[True\] at position 0"),
            ("1010", "a mask is a sequence of bools, got '1010'"),
            (True, "a mask is a sequence of bools, got True"),
            (None, "a mask is a sequence of bools, got None"),
            (np.array([1, 0]), "a mask needs booleans, got a tensor of int64"),
            (np.array([1.0, 0.0]), "a mask needs booleans, got a tensor of float64"),
            (np.array([[True, False]]), r"a mask needs shape \(n_layers,\), got \(1, 2\)"),
            (SimpleNamespace(dtype="bool"), r"a mask needs shape \(n_layers,\), got \(\)"),
            (np.array(True), r"a mask needs shape \(n_layers,\), got \(\)"),
            (np.array([], dtype=bool), "a mask needs at least one entry, got none"),
        ],
    )
    def test_what_is_no_mask(self, flags, message):
        with pytest.raises(MaskError, match=f"^{message}"):
            BlockMask(flags)

    def test_a_tensor_of_numbers(self):
        torch = pytest.importorskip("torch")
        with pytest.raises(MaskError, match=r"got a tensor of torch.int64; use mask.bool\(\) if it is 0/1"):
            BlockMask(torch.tensor([1, 0]))
        with pytest.raises(MaskError, match=r"got a tensor of torch.uint8"):
            BlockMask(torch.tensor([1, 0], dtype=torch.uint8))

    @pytest.mark.parametrize(
        ("indices", "message"),
        [
            ([4], "block 4 does not exist: the model has blocks 0 to 3"),
            ([-1], "block -1 does not exist: the model has blocks 0 to 3"),
            ([1, 2, 1], "block 1 is given twice"),
            ([0, 1.0], "a block number is a whole number, got 1.0"),
            ([True], "a block number is a whole number, got True"),
            (["0"], "a block number is a whole number, got '0'"),
        ],
    )
    def test_impossible_indices(self, indices, message):
        with pytest.raises(MaskError, match=message):
            BlockMask.from_indices(indices, total=4)

    def test_a_mask_error_is_a_value_error(self):
        with pytest.raises(ValueError, match="booleans"):
            BlockMask([2])

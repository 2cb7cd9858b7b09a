from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from maskprof.measuring.interleaving import Visit, visits

names = st.text("abcdef", min_size=1, max_size=3)


@given(
    wanted=st.dictionaries(names, st.integers(0, 6), max_size=5),
    references=st.dictionaries(names, st.integers(0, 6), max_size=5),
    seed=st.integers(0, 99),
)
def test_every_visit_is_made_once_and_rounds_come_in_order(wanted, references, seed):
    made = list(visits(wanted, references, seed=seed, first_round=3))
    count = Counter((visit.configuration, visit.reference) for visit in made)
    assert all(count[name, False] == wanted[name] for name in wanted)
    assert all(count[name, True] == references[name] for name in references)
    assert sum(count.values()) == sum(wanted.values()) + sum(references.values())
    rounds = [visit.round for visit in made]
    assert rounds == sorted(rounds)
    assert len(set(made)) == len(made)
    assert not rounds or rounds[0] == 3
    assert made == list(visits(wanted, references, seed=seed, first_round=3))


def test_a_reference_runs_directly_beside_its_configuration_and_not_always_behind_it():
    made = list(visits({"a": 40, "b": 40}, {"a": 40}, seed=0))
    behind = 0
    for position, visit in enumerate(made):
        if visit.reference:
            partner = Visit("a", visit.round)
            assert abs(made.index(partner) - position) == 1
            behind += made.index(partner) < position
    assert 5 < behind < 35


def test_the_order_changes_from_round_to_round():
    made = list(visits(dict.fromkeys("abcdef", 10), {}, seed=1))
    orders = {tuple(v.configuration for v in made if v.round == number) for number in range(10)}
    assert len(orders) > 5

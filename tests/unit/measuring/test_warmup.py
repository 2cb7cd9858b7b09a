import pytest

from maskprof.measuring.warmup import WarmupWatch


def rounds_made(series, least=3):
    watch, times = WarmupWatch(least), list(series)
    while not watch.is_over:
        watch.add({"one": times.pop(0) if len(times) > 1 else times[0]})
    return watch.result()


def test_steady_times_end_it_at_the_least_number():
    result = rounds_made([10.0])
    assert (result.rounds, result.changed_at, result.ended) == (3, 0, "settled")
    assert result.round_ms == pytest.approx((10.0, 10.0, 10.0))


def test_one_slow_round_is_a_transient():
    result = rounds_made([80.0, 10.0, 10.1])
    assert (result.rounds, result.changed_at, result.ended) == (3, 1, "settled")


def test_what_stays_has_to_be_longer_than_what_changed():
    result = rounds_made([100.0, 60.0, 10.0, 10.0, 10.0, 10.0])
    assert (result.rounds, result.changed_at, result.ended) == (5, 2, "settled")


def test_times_that_go_on_falling_end_at_the_cap():
    result = rounds_made([2.0**-number for number in range(40)])
    assert (result.rounds, result.ended) == (10, "cap")


@pytest.mark.parametrize(("least", "made"), [(0, 0), (1, 2), (2, 2), (6, 6)])
def test_the_least_number(least, made):
    result = rounds_made([10.0], least)
    assert result.rounds == made
    assert result.ended == ("settled" if made else "none")


def test_two_rounds_need_a_third_where_the_second_is_faster():
    assert rounds_made([12.0, 10.0, 10.0], least=1).rounds == 3


def test_a_second_round_that_is_a_little_faster_is_none_that_still_warms():
    assert rounds_made([10.4, 10.0], least=2).rounds == 2


def test_without_rounds_nothing_has_changed():
    watch = WarmupWatch(3)
    assert not watch.has_begun
    result = watch.result()
    assert (result.rounds, result.changed_at, result.ended, result.round_ms) == (0, 0, "none", ())


def test_rounds_with_no_configuration_in_common_are_alike():
    watch = WarmupWatch(2)
    watch.add({"one": 80.0})
    watch.add({"other": 10.0})
    assert watch.is_over
    assert watch.result().round_ms == (1.0, 1.0)


def test_configurations_count_alike_and_one_that_fails_not_at_all():
    watch = WarmupWatch(2)
    watch.add({"small": 1.0, "large": 100.0, "fails": 7.0})
    watch.add({"small": 1.0, "large": 100.0})
    assert watch.is_over
    assert watch.result().round_ms == pytest.approx((10.0, 10.0))

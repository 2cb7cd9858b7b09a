import pytest
import torch

from maskprof.measuring import timers
from maskprof.measuring.timers import HostTimer, StreamTimer, timer_for


class FakeClock:
    """A clock that stands still unless told to go on."""

    def __init__(self):
        self.now_ns = 5_000_000_000

    def __call__(self):
        return self.now_ns

    def pass_ms(self, ms):
        self.now_ns += round(ms * 1e6)


@pytest.fixture
def clock(monkeypatch):
    clock = FakeClock()
    monkeypatch.setattr(timers.time, "perf_counter_ns", clock)
    return clock


def go_through_a_pass(timer, clock):
    timer.begin()
    clock.pass_ms(0.25)
    timer.enter("prefill")
    clock.pass_ms(1)
    timer.enter("vision")
    clock.pass_ms(10)
    timer.enter("projector")
    clock.pass_ms(2)
    timer.leave("projector")
    timer.leave("vision")
    clock.pass_ms(20)
    timer.leave("prefill")
    clock.pass_ms(0.5)
    for step in (3, 4, 5):
        timer.enter("decode")
        clock.pass_ms(step)
        timer.leave("decode")
    clock.pass_ms(0.125)
    timer.end()
    clock.pass_ms(99)
    return timer.times()


def test_phases_of_one_pass_and_what_is_left_over(clock):
    timer = HostTimer()
    for _ in range(2):  # a timer serves any number of passes
        times = go_through_a_pass(timer, clock)
        assert times.vision_ms == pytest.approx(12)
        assert times.projector_ms == pytest.approx(2)
        assert times.prefill_ms == pytest.approx(21), "the first forward without its vision part"
        assert times.decode_step_ms == pytest.approx((3, 4, 5))
        assert times.total_ms == pytest.approx(0.25 + 33 + 0.5 + 12 + 0.125)
        assert (times.host_vision_ms, times.host_prefill_ms, times.host_decode_ms) == pytest.approx(
            (12, 21, 12)
        )


def test_a_pass_without_vision_or_decode(clock):
    timer = HostTimer()
    timer.begin()
    timer.enter("prefill")
    clock.pass_ms(7)
    timer.leave("prefill")
    timer.end()
    times = timer.times()
    assert (times.vision_ms, times.prefill_ms, times.decode_step_ms) == (0, pytest.approx(7), ())


def test_the_timer_fits_the_device():
    assert isinstance(timer_for(torch.device("cpu")), HostTimer)
    assert isinstance(timer_for(torch.device("cuda")), StreamTimer)


@pytest.mark.gpu
def test_events_in_the_stream_tell_device_time():
    device = torch.device("cuda")
    timer = StreamTimer(device)
    for _ in range(2):
        timer.begin()
        timer.enter("prefill")
        torch.cuda._sleep(20_000_000)
        timer.leave("prefill")
        timer.end()
        times = timer.times()
        # The host only issues the sleep; the device is the one that sleeps, inside the total.
        assert times.host_prefill_ms < times.prefill_ms <= times.total_ms

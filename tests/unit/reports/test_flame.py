from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from maskprof.reports.flame import flame
from tests.support.trace_summaries import make_blocks


def test_blocks_along_the_time_of_a_phase():
    assert flame(make_blocks([True, True, False]), 40) == (
        "One step of prefill: 1.41 ms of device time, 44.0 us a character",
        "blocks  ███████████████▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓░·",
        "        0              1              2",
        "",
        "One step of decode: 165 us of device time, 5.16 us a character",
        "blocks  █████████████▓▓▓▓▓▓▓▓▓▓▓▓▓░·····",
        "        0            1            2",
    )


def test_host_time_where_there_is_no_device():
    lines = flame(make_blocks([True], device=False), 48)
    assert lines[0] == "One step of prefill: 80.0 us of host time, 2.00 us a character"
    assert lines[1] == "blocks  " + "█" * 25 + "·" * 15
    assert lines[2] == "        0"


def test_nothing_to_show():
    assert flame(None, 80) == ()
    assert flame(make_blocks([True] * 100), 80) == ()
    assert flame(make_blocks([True]), 20) == ()


@given(
    st.lists(st.tuples(st.floats(0, 1e6), st.booleans()), min_size=1, max_size=60),
    st.floats(0, 1e5),
    st.integers(68, 200),
)
def test_every_block_is_seen_and_the_width_is_kept(blocks, rest, width):
    template = make_blocks([True])
    phase = template.phases[0]
    made = tuple(
        replace(phase.blocks[0], block=number, device_us=us, active=active)
        for number, (us, active) in enumerate(blocks)
    )
    device_us = sum(us for us, _ in blocks) + rest
    phase = replace(phase, blocks=made, device_us=device_us, outside_device_us=rest)
    lines = flame(replace(template, phases=(phase,)), width)
    if device_us <= 0:
        assert lines == ()
        return
    strip = lines[1].removeprefix("blocks  ")
    assert len(strip) == width - len("blocks  ")
    assert strip.count("░") >= sum(not active for _, active in blocks)
    assert len(strip.rstrip("·")) >= len(blocks)
    assert max(map(len, lines[1:])) <= width

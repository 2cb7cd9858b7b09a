from itertools import combinations

import pytest

from maskprof.reports.charts.palette import COLOURS, NUM_HEAT, NUM_SERIES, colours, series_colour

TEXT = (
    "ink",
    "muted",
    "ideal",
    "active",
    "check",
    "cache",
    "bad",
    "good",
    *(f"s{n}" for n in range(NUM_SERIES)),
)


def luminance(colour):
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("ground", ["ground", "panel"])
def test_texts_and_lines_can_be_read(theme, ground):
    named = colours(theme)
    assert {name: ratio for name in TEXT if (ratio := contrast(named[name], named[ground])) < 4.5} == {}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_shades_go_one_way_and_can_be_told_apart(theme):
    named = colours(theme)
    shades = [luminance(named[f"h{level}"]) for level in range(NUM_HEAT)]
    assert shades == sorted(shades, reverse=theme == "light")
    assert all(contrast(named[f"h{n}"], named[f"h{n + 1}"]) > 1.15 for n in range(NUM_HEAT - 1))
    assert contrast(named["h0"], named["ground"]) > 1.15


def test_series_have_different_colours_and_begin_again():
    assert len({COLOURS[f"s{n}"] for n in range(NUM_SERIES)}) == NUM_SERIES
    assert [series_colour(n) for n in (0, 7, 8)] == ["s0", "s7", "s0"]


def seen_by_the_red_blind(colour):
    """A simulation of protanopia (Vienot, Brettel and Mollon, 1999), in linear light."""
    red, green, blue = (int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5))
    red, green, blue = (part**2.2 for part in (red, green, blue))
    return (0.1124 * red + 0.8876 * green, 0.1124 * red + 0.8876 * green, 0.004 * red - 0.004 * green + blue)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_neighbouring_series_differ_without_red(theme):
    named = colours(theme)
    seen = [seen_by_the_red_blind(named[f"s{n}"]) for n in range(4)]
    for one, other in combinations(seen, 2):
        assert max(abs(a - b) for a, b in zip(one, other, strict=True)) > 0.05

"""The colours of plots and pages, by what they stand for; safe for the colour-blind, in light and in dark.

Series differ in lightness as well as in hue, and in the shape of their marks, so that no reader depends on hue.
Colours of text and of thin lines have a contrast of at least 4.5 to the ground, in both themes.
"""

from collections.abc import Mapping
from typing import Literal

Theme = Literal["light", "dark"]

NUM_SERIES = 8
NUM_HEAT = 7

_SERIES = (
    ("#0063ad", "#6db8ff"),
    ("#b34700", "#ffa466"),
    ("#00735a", "#45d1a8"),
    ("#a03a78", "#f394c6"),
    ("#755d00", "#e2c24e"),
    ("#5848b3", "#b0a4ff"),
    ("#34606e", "#93c6d4"),
    ("#4a4a4a", "#cccccc"),
)
# From little to much: in dark the ground is dark, so much is bright.
_HEAT = (
    ("#d9e8f6", "#16304a"),
    ("#b9d5ee", "#1b426a"),
    ("#93bde3", "#20568a"),
    ("#6aa2d6", "#2a6cab"),
    ("#4284c2", "#4289cb"),
    ("#2166a5", "#6aa9e6"),
    ("#0b4a80", "#a5d0fb"),
)

COLOURS: Mapping[str, tuple[str, str]] = {
    "ground": ("#ffffff", "#14181d"),
    "panel": ("#f6f7f9", "#1c2229"),
    "ink": ("#1b1f24", "#e8ebee"),
    "muted": ("#565e67", "#a3adb8"),
    "rule": ("#d5dae0", "#363f49"),
    "grid": ("#e6e9ed", "#29313a"),
    "ideal": ("#565e67", "#a3adb8"),
    "active": ("#0063ad", "#6db8ff"),
    "skipped": ("#c3c9d0", "#4a545f"),
    "check": ("#b34700", "#ffa466"),
    "cache": ("#00735a", "#45d1a8"),
    "rest": ("#6b7480", "#8d98a4"),
    "good": ("#00735a", "#45d1a8"),
    "bad": ("#b3261e", "#ff9a90"),
    **{f"s{place}": pair for place, pair in enumerate(_SERIES)},
    **{f"h{place}": pair for place, pair in enumerate(_HEAT)},
}


def colours(theme: Theme) -> dict[str, str]:
    """Every colour of a theme, as `#rrggbb` by name."""
    side = 0 if theme == "light" else 1
    return {name: pair[side] for name, pair in COLOURS.items()}


def series_colour(place: int) -> str:
    """The name of the colour of the series in this place; after the last one they begin again."""
    return f"s{place % NUM_SERIES}"

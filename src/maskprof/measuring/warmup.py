"""When warming up is over: not after a fixed number of rounds, but when times no longer change."""

import math
from collections.abc import Sequence

from maskprof import serial
from maskprof.results.circumstances import Warmup

# Rounds that differ by less, as standard deviation of the logarithm, count as alike.
_TOLERANCE = 0.02
# A round that is so much faster than those before has not settled.
_STILL_WARMING = 0.05
MOST_EXTRA_ROUNDS = 7


class WarmupWatch:
    """Looks at the rounds of warming up, one by one."""

    def __init__(self, least: int) -> None:
        """At least so many rounds are made; with 0, none."""
        self._least = least
        self._round_ms: list[float] = []
        self._rounds: list[dict[str, float]] = []

    @property
    def is_over(self) -> bool:
        """Whether no further round is needed."""
        return is_enough(self._round_ms, self._least)

    @property
    def has_begun(self) -> bool:
        """Whether a round was made."""
        return bool(self._rounds)

    def add(self, total_ms: dict[str, float]) -> None:
        """One round's times, by configuration; one that failed is not in it, and then counts in no round."""
        self._rounds.append(total_ms)
        common = set(total_ms).intersection(*self._rounds)
        self._round_ms = [_geometric_mean([times[name] for name in common]) for times in self._rounds]

    def result(self) -> Warmup:
        """What is stored of it."""
        ended = "settled" if has_settled(self._round_ms) else "cap"
        return Warmup(
            rounds=len(self._rounds),
            changed_at=change_of(self._round_ms),
            ended=ended if self._rounds else "none",
            round_ms=tuple(self._round_ms),
        )


def is_enough(round_ms: Sequence[float], least: int) -> bool:
    """Whether no round is needed after these, where at least so many are to be made; with 0, none."""
    if not least:
        return True
    made = len(round_ms)
    return made >= least + MOST_EXTRA_ROUNDS or (made >= max(least, 2) and has_settled(round_ms))


def has_settled(round_ms: Sequence[float]) -> bool:
    """Whether times no longer change, and did not for more rounds than they did.

    They must not go on falling either, or what seems to stay may be a part of the change.
    """
    start = change_of(round_ms)
    before = round_ms[start:-1]
    falls = bool(before) and round_ms[-1] < _geometric_mean(before) * (1 - _STILL_WARMING)
    return 2 * start < len(round_ms) and not falls


def change_of(round_ms: Sequence[float]) -> int:
    """The round from which on times no longer change."""
    return serial.change_point([math.log(ms) for ms in round_ms], _TOLERANCE) if round_ms else 0


def _geometric_mean(values: Sequence[float]) -> float:
    return math.exp(sum(math.log(value) for value in values) / len(values)) if values else 1.0

"""Names to codes and back, for as many names as a trace can reasonably have."""

from collections.abc import Callable
from typing import Any

import numpy as np

from maskprof.traces.account import Tally
from maskprof.traces.columns import Int64s

_MOST_KEYS = 500_000
_MOST_TEXT = 32 * 1024 * 1024
_LONGEST_KEY = 1024 * 1024
FURTHER = "(further)"


class CodeTable(dict[Any, int]):
    """Gives each new key the next code.

    Keys come from a file, so there may be millions of them: those beyond a limit all become `(further)`, with
    a note. `marked` are the codes of those keys of which `mark` is true. Keys that `plain` makes the same share
    a code.
    """

    def __init__(
        self,
        what: str,
        tally: Tally,
        mark: Callable[[Any], bool] = lambda _: False,
        plain: Callable[[Any], Any] = lambda key: key,
    ) -> None:
        self._what = what
        self._mark = mark
        self._plain = plain
        self._others = 0
        self.marked: list[int] = []
        self._tally = tally
        self._text = 0

    def __missing__(self, key: Any) -> int:
        plain = self._plain(key)
        if plain is not key:
            code = self[plain]
            # A code's further spellings are few, but those of all that is `(further)` are not.
            if plain in self:
                self[key] = code
                self._others += 1
            return code
        size = len(key) if isinstance(key, (str, bytes)) else 0
        if size > _LONGEST_KEY or len(self) >= _MOST_KEYS or self._text + size > _MOST_TEXT:
            self._tally.note(
                f"there are too many {self._what}, or too long ones: some are all told as {FURTHER}"
            )
            return self.setdefault(FURTHER.encode() if isinstance(key, bytes) else FURTHER, self._next)
        self._text += size
        code = self[key] = self._next
        if self._mark(key):
            self.marked.append(code)
        return code

    def by_code(self) -> tuple[Any, ...]:
        """The key of each code, in its plain spelling."""
        first: dict[int, Any] = {}
        for key, code in self.items():
            first.setdefault(code, key)
        return tuple(first.values())

    @property
    def _next(self) -> int:
        return len(self) - self._others

    def codes(self, keys: list[Any]) -> Int64s:
        """The code of each key; shape (keys,)."""
        if keys and keys.count(keys[0]) == len(keys):
            return np.broadcast_to(np.int64(self[keys[0]]), (len(keys),))
        return np.fromiter(map(self.__getitem__, keys), dtype=np.int64, count=len(keys))

    def marked_rows(self, codes: Int64s) -> list[int]:
        """Where in `codes` a marked one stands."""
        if not self.marked:
            return []
        is_marked = np.zeros(len(self), dtype=np.bool_)
        is_marked[self.marked] = True
        return np.flatnonzero(is_marked[codes]).tolist()

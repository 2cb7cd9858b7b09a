"""Begin and end events joined into whole ones."""

from typing import Any

import numpy as np

from maskprof.traces.columns import Bools, Int64s
from maskprof.traces.events import BEGIN, COMPLETE
from maskprof.traces.pieces import Ints


def pair_begins_with_ends(kind: Ints, columns: dict[str, Any]) -> tuple[Bools, Int64s]:
    """Which rows stay, and all durations: a begin gets its end's time, ends and lone begins go.

    `kind` has each row's phase as the number of its letter. On each thread an end belongs to the latest begin
    that has none yet.
    """
    keep = kind == ord(COMPLETE)
    durations = columns["dur_ns"].astype(np.int64)
    starts, pids, tids = columns["ts_ns"], columns["pid"], columns["tid"]
    rows = np.flatnonzero(~keep)
    # Stable, so that events of the same time stay in the file's order.
    rows = rows[np.lexsort((starts[rows], tids[rows], pids[rows]))]
    opened: list[int] = []
    thread = None
    for row in rows.tolist():
        if thread != (pids[row], tids[row]):
            thread = (pids[row], tids[row])
            opened.clear()
        if kind[row] == ord(BEGIN):
            opened.append(row)
        elif opened:
            begin = opened.pop()
            durations[begin] = starts[row] - starts[begin]
            keep[begin] = True
    return keep, durations

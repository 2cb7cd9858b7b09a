"""A trace as columns: one numpy array per field, names as integers into tables."""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import PurePath
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from maskprof.traces.account import Account
from maskprof.traces.pieces import Ints, positions, slices

Int64s: TypeAlias = NDArray[np.int64]
Int32s: TypeAlias = NDArray[np.int32]
Bools: TypeAlias = NDArray[np.bool_]

_RANK_IN_NAME = re.compile(r"rank[-_]?(\d{1,9})(?!\d)", re.IGNORECASE)


class Inputs(NamedTuple):
    """The inputs of an operator where shapes were recorded, each as the JSON text that the file has.

    Attributes:
        dims: a list of sizes for each input, such as `[[16, 559], [1024, 1024], []]`.
        types: a list of names, such as `["c10::BFloat16", "float", "Scalar"]`; empty where not recorded.
        concrete: the values of the inputs that are no tensors, for operators that have `attention`, `attn` or `conv` in
            their name (causal or not, strides); empty for all others.
    """

    dims: str
    types: str
    concrete: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Events:
    """Every event with a duration, one row each, in the file's order; all arrays have shape (events,).

    The columns are read-only and of the narrowest type that holds their values (`dur_ns`, `correlation` and
    `external_id` of 32 bits or more, `ts_ns` always of 64): convert before multiplying or shifting codes. Those of
    a long trace are on disk, and mapped.

    Attributes:
        name, category, pid, tid: codes into the tables of the `Trace`.
        ts_ns: start, in nanoseconds, exactly as written (that is, after `baseTimeNanoseconds` where the
            metadata has it).
        dur_ns: duration in nanoseconds.
        correlation: joins a launch call and the device events it starts; -1 where there is none.
        external_id: `External id`; -1 where there is none.
        stream, device: of device events and some calls; -1 where there is none.
        bytes: how much a copy or memset moves; -1 where the file does not say.
        inputs: code into the table of recorded inputs; -1 where there are none.
    """

    name: Ints
    category: Ints
    pid: Ints
    tid: Ints
    ts_ns: Int64s
    dur_ns: Ints
    correlation: Ints
    external_id: Ints
    stream: Ints
    device: Ints
    bytes: Ints
    inputs: Ints

    def __len__(self) -> int:
        return len(self.ts_ns)

    @property
    def end_ns(self) -> Int64s:
        """End of each event, in nanoseconds. Made anew each time, as long as the trace: ask `ends` for a part."""
        return self.ts_ns + self.dur_ns

    def ends(self, rows: Ints) -> Int64s:
        """Ends of some events, in nanoseconds; shape (rows,)."""
        return self.ts_ns[rows] + self.dur_ns[rows]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trace:
    """One profiler trace.

    Attributes:
        path: where it was read from, as given.
        events: the columns.
        names, categories, pids, tids: the tables that the codes point into. Categories are in today's
            spelling (`traces.categories`); pids and tids are integers, or text where the file has text.
        inputs: the table of recorded inputs: what `Events.inputs` points into.
        metadata: the file's other top-level keys: `deviceProperties`, `baseTimeNanoseconds`, and whatever
            was added to the profiler as metadata.
        account: what was kept, passed over and lost.
    """

    path: str
    events: Events
    names: tuple[str, ...]
    categories: tuple[str, ...]
    pids: tuple[int | str, ...]
    tids: tuple[int | str, ...]
    inputs: tuple[Inputs, ...]
    metadata: dict[str, Any]
    account: Account

    @property
    def rank(self) -> int | None:
        """The rank in a distributed job, from the metadata or else the file's name; None where neither says."""
        rank = self._distributed("rank")
        if rank is None and (named := _RANK_IN_NAME.search(PurePath(self.path).name)):
            rank = int(named[1])
        return rank

    @property
    def world_size(self) -> int | None:
        """How many ranks the job had, from the metadata; None where it does not say."""
        return self._distributed("world_size")

    def to_pandas(self) -> Any:
        """All events as a `pandas.DataFrame`, names resolved; the columns are those of `traces.frames`."""
        return import_module("maskprof.traces.frames").to_pandas(self)

    def to_polars(self) -> Any:
        """All events as a `polars.DataFrame`, names resolved; the columns are those of `traces.frames`."""
        return import_module("maskprof.traces.frames").to_polars(self)

    def to_parquet(self, path: str | os.PathLike[str]) -> None:
        """Write all events to a Parquet file, names resolved; the columns are those of `traces.frames`."""
        import_module("maskprof.traces.frames").to_parquet(self, path)

    def _distributed(self, key: str) -> int | None:
        info = self.metadata.get("distributedInfo")
        value = info.get(key) if isinstance(info, dict) else None
        return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None

    def in_categories(self, categories: Iterable[str]) -> Bools:
        """Which events are of one of `categories`; shape (events,)."""
        return self.categories_are(categories)[self.events.category]

    def rows_in(self, categories: Iterable[str]) -> Ints:
        """Row numbers of the events of `categories`, ascending."""
        table, category = self.categories_are(categories), self.events.category
        return positions(len(category), lambda piece: table[category[piece]])

    def names_of(self, rows: Ints) -> Bools:
        """By name code, whether any of the events in `rows` has it; shape (len(self.names),)."""
        occurs = np.zeros(len(self.names), dtype=np.bool_)
        for piece in slices(len(rows)):
            occurs[self.events.name[rows[piece]]] = True
        return occurs

    def categories_are(self, categories: Iterable[str]) -> Bools:
        """Which codes of categories are of one of `categories`; shape (len(self.categories),)."""
        wanted = frozenset(categories)
        return np.fromiter(
            (category in wanted for category in self.categories), dtype=np.bool_, count=len(self.categories)
        )

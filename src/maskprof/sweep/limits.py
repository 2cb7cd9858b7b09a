"""How long each configuration may take in all: its warm-up, its samples and its trace together."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from maskprof.config.schema import RunConfig
from maskprof.interruption import TimeLimitError, end_at_once, interruptible
from maskprof.results.schema import HUNG_STAGE, Configuration, Failure
from maskprof.sweep.collecting import Collected

_EXIT_SOME_FAILED = 1


class Limits:
    """The time that each configuration has spent, and what happens when it has spent all of it."""

    def __init__(self, limit_s: float | None, on_stuck: Callable[[Configuration], object] | None) -> None:
        """Without a limit, passes are made interruptible and nothing else.

        Args:
            limit_s: seconds per configuration.
            on_stuck: called, in a thread of its own, where a pass cannot be interrupted; it must end the process.
                None where somebody else does.
        """
        self.limit_s, self._on_stuck = limit_s, on_stuck
        self._spent_s: dict[str, float] = {}

    @contextmanager
    def around(self, configuration: Configuration) -> Iterator[None]:
        """Around one pass: the place where signals and the limit break in.

        Raises:
            TimeLimitError: the time of this configuration is over.
        """
        if self.limit_s is None:
            with interruptible():
                yield
            return
        spent_s, began_s = self._spent_s.get(configuration.name, 0.0), time.monotonic()
        try:
            with interruptible(self.limit_s - spent_s, self._on_stuck_in(configuration)):
                yield
        except TimeLimitError:
            raise TimeLimitError(too_long(self.limit_s)) from None
        finally:
            self._spent_s[configuration.name] = spent_s + time.monotonic() - began_s

    def _on_stuck_in(self, configuration: Configuration) -> Callable[[], object] | None:
        on_stuck = self._on_stuck
        return None if on_stuck is None else lambda: on_stuck(configuration)


def give_up(
    configuration: Configuration, config: RunConfig, collected: Collected, save: Callable[[], object]
) -> None:
    """End the process, whose main thread hangs in a pass of this configuration; what was measured is saved first."""
    name = configuration.name
    error = f"{too_long(config.timeout_per_config or 0)}, and no exception reaches it"
    sentence = f"{name} hangs where no exception reaches it, and only the end of the process stops it; "
    try:
        collected.on_failure(Failure(configuration=name, stage=HUNG_STAGE, error=error))
        save()
        sentence += "what was measured is saved, and the same command with --resume goes on without it"
    except Exception as reason:  # noqa: BLE001 - the process must end, and say why as far as it can
        sentence += f"the samples are in the journal, but the result could not be saved: {reason}"
    finally:
        end_at_once(_EXIT_SOME_FAILED, sentence)


def too_long(limit_s: float) -> str:
    """What is said of a configuration whose time is over."""
    return f"it took longer than the {limit_s:g} s of --timeout_per_config"

"""Everything maskprof raises on purpose.

MaskprofError
├── ConfigError    a flag, a configuration file, a folder that cannot be used
├── ModelError     a model that cannot be loaded or run
├── MaskError      a mask that does not fit the model, or a model that cannot be masked
├── TraceError     a file that is no trace
└── ResultError    a saved result that cannot be read or continued

Each message is one sentence or two: what is wrong, where, and what would be right. `cli.main` is the only
place that turns them into exit codes.
"""


class MaskprofError(Exception):
    """Base of all errors that are the input's fault, not ours."""


class ConfigError(MaskprofError, ValueError):
    """A flag, a configuration file or a folder that cannot be used."""


class ModelError(MaskprofError, ValueError):
    """A model that cannot be found, loaded or run."""


class MaskError(MaskprofError, ValueError):
    """A mask that does not fit its model, or a model whose blocks cannot be masked."""


class TraceError(MaskprofError, ValueError):
    """A file that is no profiler trace."""


class ResultError(MaskprofError, ValueError):
    """A saved result that cannot be read, or that does not fit the run that wants to go on with it."""

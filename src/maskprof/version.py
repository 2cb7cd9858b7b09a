"""The version, in one place: the build reads it here, `maskprof --version` and result files show it."""

__version__ = "0.1.0"

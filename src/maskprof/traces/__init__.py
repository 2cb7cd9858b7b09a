"""Trace files to columns: the only place that knows Kineto's JSON. Never imports torch."""

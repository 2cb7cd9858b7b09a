"""Traces and results in a browser, with no network: TensorBoard on this machine alone, and pages of one trace.

In: a folder of traces, or one trace. Out: a server on 127.0.0.1, or a file. The trace viewer is Catapult's, read
from the torch-tb-profiler that is installed; what its pages would load from the internet is in `static/`.
"""

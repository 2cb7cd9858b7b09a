"""Clean timings: no profiler, no ranges. May import torch."""

"""Traces: torch.profiler sessions with our ranges. May import torch."""

"""Stored results to what people look at. Knows results and nothing else."""

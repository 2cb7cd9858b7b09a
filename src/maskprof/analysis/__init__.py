"""Columns to findings: plain functions, no input changed. Never imports torch."""

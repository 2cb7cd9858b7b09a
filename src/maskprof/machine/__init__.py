"""The machine that is measured on: what it is, what it does meanwhile, and what of that spoils figures.

In: /proc, /sys, the NVIDIA driver's library; out: plain values and findings. Standard library only, so that a machine
can be checked before anything large is loaded. May be imported by `measuring`, `analysis` and `cli`.
"""

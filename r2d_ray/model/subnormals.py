"""Floats too small to be normal count as zero wherever a model computes on a CPU."""

from __future__ import annotations


def flush_subnormals() -> None:
    """Let this thread, and every thread it starts from now on, take subnormal floats as zero.

    A confident softmax's gradients and Adam's second moments fall below 1e-38, where a processor
    computes many times slower and nothing is learnt. The switch belongs to a thread, and a thread
    begins with that of its starter. So weights are loaded with it: in the very thread that then
    computes, backward passes included (Ray Train's is not the main one), and before its first
    parallel operation starts the threads that share its work. Such threads keep the switch that
    they began with: nothing may compute in parallel before weights are loaded.
    """
    import torch

    torch.set_flush_denormal(True)

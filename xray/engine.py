"""Fit and predict: the plain mini-batch loop, any model, any device."""

import torch


def batch_order(n: int, seed: int, epoch: int) -> torch.Tensor:
    """The order in which an epoch (0, 1, ...) visits n training images: a permutation, int64 (n,), on the CPU.

    It depends on nothing but its arguments, so every engine, device and resumed run sees the same batches. The last
    batch keeps what is left over (the paper's DataLoader does not drop it).
    """
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch + 1)
    return torch.randperm(n, generator=generator)


def pos_weight(spec, labels) -> float:
    """BCEWithLogitsLoss's pos_weight (section 2.3 ii): negatives / positives of the training labels, or 1."""
    positives = int((labels == 1).sum())
    return (len(labels) - positives) / positives if spec.class_weight else 1.0

"""Small experiments beside the study: models of one hidden layer with one thing changed, many side
by side.

It takes what the study's engine does not: a step that is not matched to the image size, and an MLP
without its last ReLU. The arithmetic is that of sample_space.py, in its plainest form and in
float32: a batch's h = H0 + K A, then A[batch] -= rate · dloss/dh.
"""

from dataclasses import dataclass

import torch

from xray.engine import batch_order
from xray.gram import project
from xray.metrics import confusion
from xray.models import build
from xray.specs import ModelSpec, pixel_step

TOGETHER = 4  # seeds trained at once


@dataclass(frozen=True)
class Trial:
    """A net to train: a spec with one hidden layer, and what is changed in it."""

    spec: ModelSpec
    matched: bool = True  # whether the first layer's step is specs.pixel_step times the spec's
    last_relu: bool = True  # whether an MLP keeps the ReLU after its output


class Nets:
    """A net for each seed and trial. Shapes: s seeds, R trials, U units, N images, n of them to
    train on, B of a batch. The nets of a seed start alike, as models.build draws them."""

    def __init__(self, trials, seeds, gram, images, index):
        spec, size = trials[0].spec, images.shape[-1]
        self.gram, self.train = gram, torch.as_tensor(index["train"])
        drawn = [list(build(spec, size, seed).state_dict().values()) for seed in seeds]
        start = project(images, torch.cat([first for first, *_ in drawn])).float()  # (N, s·U)
        self.start = start.unflatten(1, (len(seeds), 1, -1)).transpose(0, 1)  # (s, N, 1, U)
        small = [torch.stack([one[i].flatten() for one in drawn]) for i in (1, 2, 3)]
        small = [part[:, None, None].repeat(1, 1, len(trials), 1) for part in small]
        self.bias, self.weight, self.last = small[0], small[1], small[2][..., 0]
        columns = len(trials) * spec.hidden_units
        self.moved = torch.zeros(len(seeds), len(self.train), columns)  # (s, n, R·U): A
        mlp = torch.tensor([trial.spec.family == "Linear+ReLU" for trial in trials])
        self.linear = ~mlp[:, None]  # (R, 1)
        self.unbounded = ~(mlp & torch.tensor([trial.last_relu for trial in trials]))  # (R,)
        self.step = torch.tensor([pixel_step(size) if one.matched else 1.0 for one in trials])

    def hidden(self, start, gram):
        """start (s, B, 1, U), gram (s or 1, B, n) -> the first layer's output (s, B, R, U)."""
        change = (gram @ self.moved).unflatten(2, (len(self.step), -1))
        return start + change + self.bias

    def logits(self, hidden):
        """-> what the ReLUs leave of the hidden layer, (s, B, R, U), and the output before its own,
        (s, B, R); each with a mask of where the next layer, or the loss, sees it."""
        seen = self.linear | (hidden > 0)
        value = hidden * seen
        logit = (value * self.weight).sum(3) + self.last
        return value, seen, logit, self.unbounded | (logit > 0)

    def take_step(self, batch, labels, rate):
        """SGD on the mean loss of a batch; batch (s, B) of 0 to n - 1, labels (s, B, 1)."""
        own = torch.arange(len(batch))[:, None], batch
        hidden = self.hidden(self.start[own[0], self.train[batch]], self.gram[batch])
        value, seen, logit, shown = self.logits(hidden)
        change = ((logit * shown).sigmoid() - labels) * shown * rate / batch.shape[1]  # (s, B, R)
        back = change[..., None] * self.weight * seen  # (s, B, R, U)
        self.weight -= (change[..., None] * value).sum(1, keepdim=True)
        self.last -= change.sum(1, keepdim=True)
        self.bias -= back.sum(1, keepdim=True)
        self.moved[own] -= (back * self.step[:, None]).flatten(2)


def train(trials: list[Trial], seeds, gram, images, labels, index, tick=None) -> list[dict]:
    """Train each trial with each seed; a dict each: "trial" (its place), "seed", and the test
    images' tp, tn, fp, fn.

    Trials share all of their spec but the family: SGD without weight decay, pos_weight 1. gram: X
    Xᵀ (gram.gram_matrix) of images uint8 (N, 1, S, S); labels int (N,); index: rows of "train" and
    "test". tick(): called after each epoch. A net's start and batches are those of a run with that
    seed.
    """
    spec, truth = trials[0].spec, torch.as_tensor(labels).float()[index["train"]]
    gram = gram[:, index["train"]].float() / 255**2  # (N, n)
    of_test, of_train = gram[index["test"]], gram[index["train"]]
    found = []
    for group in [seeds[i : i + TOGETHER] for i in range(0, len(seeds), TOGETHER)]:
        nets = Nets(trials, group, of_train, images, index)
        for epoch in range(spec.epochs):
            orders = [batch_order(len(truth), seed, epoch) for seed in group]
            for batch in torch.stack(orders).split(spec.batch_size, dim=1):
                nets.take_step(batch, truth[batch][..., None], spec.learning_rate)
            if tick:
                tick()
        hidden = nets.hidden(nets.start[:, index["test"]], of_test)
        _, _, logits, shown = nets.logits(hidden)
        for seed, outputs in zip(group, (logits * shown).numpy()):  # (test images, R)
            for place, values in enumerate(outputs.T):
                counts = confusion(values, labels[index["test"]])
                found.append({"trial": place, "seed": seed} | counts)
    return found

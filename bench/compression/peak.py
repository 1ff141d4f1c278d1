"""Peak-pruning: what pruning and retraining have left below the peaks of its histogram goes too.

After pruning and retraining the weights of a layer have two humps, one a sign, and few weights near
zero. On each side the peak next to zero is looked for in a histogram; survivors nearer to zero than
the peak are removed and the network is trained; if the loss exceeds the budget, the step is undone.
Then the same is tried with a histogram of twice as many bins, which sees peaks nearer to zero.

The paper names the step but, as far as it could be read, does not define it: this is our reading.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Sequence

import torch
from kcnn.compress.budget import Tune, right
from kcnn.compress.clusters import weighted
from kcnn.compress.data import Data
from torch import Tensor, nn

BINS = 8
ROUNDS = 5


@dataclasses.dataclass(frozen=True)
class Step:
    """A step on a layer: its weights before and after, and the loss; kept if within the budget."""

    layer: str
    bins: int
    before: int
    after: int
    loss: float
    kept: bool


def peaks(weight: Tensor, bins: int) -> tuple[float, float]:
    """|w| of the peak next to zero, of the negative and the positive weights; 0 without any.

    The histogram of a side has its bins between zero and its largest |w|; the peak is the middle of
    the first bin that holds more than the one before, no fewer than the next, and no fewer than a
    bin holds on average: so a single weight is no peak.
    """
    flat = weight.detach().ravel()
    return _peak(-flat[flat < 0], bins), _peak(flat[flat > 0], bins)


def _peak(sizes: Tensor, bins: int) -> float:
    if not len(sizes):
        return 0.0
    largest = float(sizes.max())
    counts = torch.histc(sizes.double(), bins, 0.0, largest)
    before = torch.cat([counts.new_zeros(1), counts[:-1]])
    after = torch.cat([counts[1:], counts.new_zeros(1)])
    high = (counts > before) & (counts >= after) & (counts >= counts.mean())
    first = int(high.nonzero()[0])
    return (first + 0.5) * largest / bins


def cut(weight: Tensor, bins: int) -> Tensor:
    """The weight without what lies below the peaks."""
    negative, positive = peaks(weight, bins)
    keep = (weight <= -negative) | (weight >= positive)
    return torch.where(keep, weight, torch.zeros_like(weight))


def peak_prune(module: nn.Module, data: Data, names: Sequence[str], budget: float, before: Tensor,
               tune: Tune, tell: Callable[[Step], None] | None = None
               ) -> tuple[nn.Module, list[Step]]:
    """A copy, with the layers named cut one after the other, and the steps.

    before: right() of the network that the loss is counted from.
    """
    found = copy.deepcopy(module).eval()
    steps: list[Step] = []
    for name in names:
        for bins in (BINS << i for i in range(ROUNDS)):
            trial = copy.deepcopy(found)
            weight = weighted(trial)[name].weight
            with torch.no_grad():
                weight.copy_(cut(weight, bins))
            was, left = (int((weighted(one)[name].weight != 0).sum()) for one in (found, trial))
            tune(trial, len(steps), False)
            loss = float((before - right(trial, data)).mean())
            steps.append(Step(name, bins, was, left, loss, loss <= budget))
            if tell is not None:
                tell(steps[-1])
            if steps[-1].kept:
                found = trial
    return found, steps

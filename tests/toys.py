"""Models of a few numbers on items of a few numbers, to follow a whole run by hand in tenths of a second.

Fixtures register them, see engine/conftest.py; a process of its own calls `register_toys`.

Legend: N items of a batch, F = 4 numbers of an item, K = 7 classes.
"""

from pathlib import Path
from typing import ClassVar

import torch
from tiny_runs import stats
from torch import nn

from slowfast_ext.data.ledger import FAILED, USED, encode_outcome
from slowfast_ext.distributed import rank
from slowfast_ext.host import get_host

FEATURES, CLASSES = 4, 7
LENGTHS = {"train": 8, "val": 7, "test": 7}
TOY = (
    "ENGINE own MODEL.MODEL_NAME ToyLinear TRAIN.DATASET numbers TEST.DATASET numbers "
    "TRAIN.EVAL_FULL_VIDEO False LOG_MODEL_INFO False MODEL.NUM_CLASSES 7 BN.USE_PRECISE_STATS False"
).split()


def table(mode: str) -> tuple[torch.Tensor, torch.Tensor]:
    """All items of a split, (N, F), and their classes, (N,)."""
    generator = torch.Generator().manual_seed(list(LENGTHS).index(mode))
    rows = torch.randn(LENGTHS[mode], FEATURES, generator=generator)
    # Not centred, so that running means of a batch norm are not near 0 by themselves.
    return rows + 1, torch.randint(CLASSES, (LENGTHS[mode],), generator=generator)


def initial_weights() -> dict[str, torch.Tensor]:
    """What every toy starts from: weight (K, F) and bias (K,) of its linear layer."""
    generator = torch.Generator().manual_seed(99)
    shapes = {"linear.weight": (CLASSES, FEATURES), "linear.bias": (CLASSES,)}
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


class Numbers(torch.utils.data.Dataset):
    """The items of `table`, several views in a row of each in a test.

    Attributes:
        failing: Items of a test that cannot be read.
    """

    failing: ClassVar[set[int]] = set()

    def __init__(self, cfg, mode: str) -> None:
        self.mode, (self.rows, labels) = mode, table(mode)
        self.num_views = cfg.TEST.NUM_ENSEMBLE_VIEWS if mode == "test" else 1
        self.labels = labels.tolist()
        self.paths = [f"{number}.mp4" for number in range(len(labels))]

    def __len__(self) -> int:
        return len(self.rows) * self.num_views

    def __getitem__(self, item: int) -> tuple[list[torch.Tensor], int, int, int, dict]:
        video = item // self.num_views
        failed = self.mode == "test" and item in self.failing
        outcome = encode_outcome(FAILED, "broken") if failed else encode_outcome(USED)
        return [self.rows[video]], self.labels[video], item, 0, outcome


class ToyLinear(nn.Module):
    """One linear layer: logits in training, scores in evaluation.

    Attributes:
        seen: Whether it was training, and its inputs (N, F), of every call of every toy.
    """

    seen: ClassVar[list[tuple[bool, torch.Tensor]]] = []

    def __init__(self, cfg) -> None:
        super().__init__()
        self.linear = nn.Linear(FEATURES, CLASSES)
        self.load_state_dict(initial_weights())

    def features(self, x: torch.Tensor) -> torch.Tensor:  # (N, F) -> (N, F)
        return x

    def forward(self, inputs: list[torch.Tensor]) -> torch.Tensor:
        ToyLinear.seen.append((self.training, inputs[0].detach().clone()))
        logits = self.linear(self.features(inputs[0]))
        return logits if self.training else logits.softmax(dim=1)


class ToyNorm(ToyLinear):
    """A batch norm before the linear layer."""

    def __init__(self, cfg) -> None:
        super().__init__(cfg)
        self.norm = nn.BatchNorm1d(FEATURES)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(x)


class ToyDropout(ToyLinear):
    """Dropout before the linear layer; `seen` holds what came through in place of the inputs."""

    def features(self, x: torch.Tensor) -> torch.Tensor:
        kept = nn.functional.dropout(x, 0.5, self.training)
        ToyLinear.seen[-1] = self.training, kept.detach().clone()
        return kept


class ToyNan(ToyLinear):
    """Gives no numbers from the third training step on."""

    steps = 0

    def features(self, x: torch.Tensor) -> torch.Tensor:
        self.steps += self.training
        return x * float("nan") if self.steps > 2 else x


class ToyNanInOne(ToyNan):
    """The same, in the second process alone."""

    def features(self, x: torch.Tensor) -> torch.Tensor:
        return super().features(x) if rank() == 1 else x


MODELS = (ToyLinear, ToyNorm, ToyDropout, ToyNan, ToyNanInOne)


def register_toys() -> None:
    """Put the toys into the registries of this process, for good."""
    host = get_host()
    for model in MODELS:
        host.MODEL_REGISTRY.register(model)
    host.DATASET_REGISTRY.register(Numbers)


def train_steps() -> list[torch.Tensor]:
    """Inputs of each training step so far, (N, F) each."""
    return [inputs for training, inputs in ToyLinear.seen if training]


def items_of(steps: list[torch.Tensor]) -> list[list[int]]:
    """Numbers of the training items in each step."""
    rows = table("train")[0].tolist()
    return [[rows.index(row) for row in step.tolist()] for step in steps]


def errors(inputs: torch.Tensor, labels: torch.Tensor) -> tuple[float, float, float]:
    """Top-1 and top-5 error (%) and loss of the initial weights, by how many classes score better."""
    weights = initial_weights()
    logits = inputs @ weights["linear.weight"].T + weights["linear.bias"]
    right = logits[range(len(labels)), labels]
    better = (logits > right[:, None]).sum(1)
    loss = (logits.exp().sum(1).log() - right).mean()
    return 100 * (better >= 1).float().mean().item(), 100 * (better >= 5).float().mean().item(), loss.item()


def logged(cfg, kind: str) -> list[dict]:
    """The json_stats lines of a kind, of both PySlowFasts' meters."""
    log = Path(cfg.OUTPUT_DIR, "stdout.log").read_text()
    return [line for name in (kind, f"{kind}_") for line in stats(log, _type=name)]


def assert_same(one, other, where: str = "") -> None:
    """Nested values are equal, tensors to the bit."""
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other), where
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for name in one:
            assert_same(one[name], other[name], f"{where}.{name}")
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other), where
        for number, pair in enumerate(zip(one, other, strict=True)):
            assert_same(*pair, f"{where}.{number}")
    else:
        assert one == other, where

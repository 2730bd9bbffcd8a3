"""The bytes that processes exchange: counted from the weights, and again where they are sent."""

import pytest
import torch
from torch import distributed as dist
from torch import nn

import vtn
from slowfast_ext.distributed import train_together
from slowfast_ext.engine.exchange import count_exchange


@pytest.fixture
def group(tmp_path):
    """A group of this process alone: DistributedDataParallel sends as in a larger one."""
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def model_of(**options) -> vtn.VTN:
    sizes = {"num_heads": 4, "num_layers": 1, "img_size": 32}
    return vtn.VTN("test_vit", 3, **(sizes | options))


def watched(model: nn.Module) -> tuple[nn.Module, list[int], list[int]]:
    """The model wrapped; bytes of each bucket that is sent, and how many gradients were there by then."""
    together, sent, arrived, done = train_together(model), [], [], []
    together.register_forward_pre_hook(lambda *args: arrived.clear())
    for weight in model.parameters():
        if weight.requires_grad:
            weight.register_post_accumulate_grad_hook(lambda weight: arrived.append(weight))

    def hook(state: object, bucket: dist.GradBucket) -> torch.futures.Future[torch.Tensor]:
        sent.append(bucket.buffer().nbytes)
        done.append(len(arrived))
        return _at_once(bucket.buffer())

    together.register_comm_hook(None, hook)
    return together, sent, done


def _at_once(value: torch.Tensor) -> torch.futures.Future:
    future = torch.futures.Future()
    future.set_result(value)
    return future


@pytest.mark.parametrize(
    "options",
    [{}, {"freeze_backbone": True}, {"attention": "uniform"}, {"position_embedding": "none"}],
    ids=str,
)
def test_what_is_counted_is_what_is_sent(options, group):
    """In every step, also in the second, which reports weights that got no gradient."""
    model = model_of(**options)
    together, sent, _ = watched(model)
    counted = count_exchange(together, 4)
    for _ in range(3):
        sent.clear()
        together(torch.randn(2, 3, 4, 32, 32)).square().sum().backward()
        assert sum(sent) == counted.gradient_bytes
        model.zero_grad()


def test_frozen_weights_are_not_sent():
    whole, frozen = (count_exchange(model_of(freeze_backbone=frozen), 2) for frozen in (False, True))
    backbone = sum(weight.numel() for weight in model_of().backbone.parameters())
    assert whole.gradient_bytes - frozen.gradient_bytes == 4 * backbone


@pytest.mark.parametrize(("processes", "sent"), [(1, 0), (2, 56), (4, 84), (8, 98)])
def test_a_ring(processes, sent):
    """Seven weights of eight bytes, in N parts: each goes around once to be added up, and once more."""
    layer = nn.Linear(6, 1, dtype=torch.float64)
    found = count_exchange(layer, processes)
    assert (found.gradient_bytes, found.sent_bytes) == (56, sent)
    assert count_exchange(layer, processes, halved=True).gradient_bytes == 14


def test_running_statistics_are_buffers():
    assert count_exchange(nn.BatchNorm1d(3), 2).buffer_bytes == 2 * 3 * 4 + 8


def test_gradients_travel_while_the_backward_pass_goes_on(group):
    """A model of several buckets: the first one leaves before the first layers have their gradients."""
    layers = nn.Sequential(*(nn.Linear(1024, 1024) for _ in range(16)))  # 67 MB
    together, sent, done = watched(layers)
    together(torch.randn(1, 1024)).sum().backward()
    assert len(sent) >= 3
    assert max(sent) < 32 * 2**20
    assert done[0] < 8 < done[-1] <= 32


def test_buckets_keep_one_order_from_the_first_step_on(group):
    """It decides how three processes round; a run that goes on in the middle has a first step there."""

    class Crossed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.second, self.first = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.second(self.first(x))

    model, orders = Crossed(), []
    together = train_together(model)
    weights = dict(model.named_parameters())
    assert all(weight.grad is None for weight in weights.values())
    for _ in range(3):
        together(torch.randn(2, 4)).sum().backward()
        orders.append(sorted(weights, key=lambda name: weights[name].grad.data_ptr()))
        model.zero_grad()
    expected = ["first.bias", "first.weight", "second.bias", "second.weight"]
    assert orders == [expected] * 3

"""torch.compile of the parts of a VTN: same names, same results, few graphs for any number of frames."""

from functools import partial

import pytest
import torch

import slowfast_ext.engine.test
import slowfast_ext.engine.train
from slowfast_ext.engine.compilation import compile_parts
from slowfast_ext.models import make_model
from slowfast_ext.plugin import loops

COMPILED = ("ENGINE", "own", "VTN.COMPILE", "True")
BACKBONES = ("test_vit", "deit_tiny_distilled_patch16_224", "test_resnet")


class Counting:
    """A backend that runs what it is given as it is, and counts how often it is asked to compile."""

    graphs = 0

    def __call__(self, graph, _):
        self.graphs += 1
        return graph.forward


@pytest.fixture(autouse=True)
def _nothing_compiled_yet():
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    yield
    torch._dynamo.reset()


def pair(tiny_cfg, *keys: str, **options) -> tuple[torch.nn.Module, torch.nn.Module]:
    """Two models of the same weights in evaluation, the second one compiled."""
    cfg, models = tiny_cfg(*COMPILED, *keys), []
    for _ in range(2):
        torch.manual_seed(0)
        models.append(make_model(cfg).eval())
    compile_parts(models[1], cfg, **options)
    return models[0], models[1]


@pytest.mark.slow
def test_compiled_parts_give_the_same_under_the_same_names(tiny_cfg):
    backend = Counting()
    model, compiled = pair(tiny_cfg, backend=backend)
    clips = [torch.randn(2, 3, frames, 32, 32) for frames in (4, 9)]
    with torch.no_grad():
        torch.testing.assert_close([compiled([clip]) for clip in clips], [model([clip]) for clip in clips])
        assert backend.graphs >= 2
        assert list(compiled.state_dict()) == list(model.state_dict())
        before = backend.graphs
        compiled.backbone(torch.randn(11, 3, 32, 32).contiguous(memory_format=torch.channels_last))
    assert backend.graphs == before  # the backbone, where the time goes, is compiled for any number of frames


@pytest.mark.parametrize(
    "backbone", [pytest.param(name, marks=pytest.mark.slow) if "deit" in name else name for name in BACKBONES]
)
def test_a_backbone_is_one_graph(backbone, tiny_cfg):
    """Nothing breaks it off, in training neither; a second length makes it one for all lengths."""
    backend = Counting()
    model, compiled = pair(tiny_cfg, "VTN.BACKBONE", backbone, backend=backend, fullgraph=True)
    for training, graphs in ((False, 2), (True, 4)):
        model.train(training)
        compiled.train(training)
        for frames in (4, 7, 2, 11):
            images = torch.randn(frames, 3, 32, 32).contiguous(memory_format=torch.channels_last)
            with torch.set_grad_enabled(training):
                torch.testing.assert_close(compiled.backbone(images), model.backbone(images))
        assert backend.graphs <= graphs


@pytest.mark.slow
def test_videos_of_any_length_take_few_graphs(tiny_cfg):
    """One for the first length, one for all up to a block of 64 frames, one for all others in one part."""
    backend = Counting()
    model, compiled = pair(tiny_cfg, backend=backend, fullgraph=True)
    with torch.no_grad():
        for frames, graphs in ((12, 1), (30, 2), (61, 2), (100, 3), (250, 3), (180, 3), (77, 3), (1500, 4)):
            features = torch.randn(2, frames, model.embed_dim)
            torch.testing.assert_close(compiled.classify(features), model.classify(features))
            assert backend.graphs <= graphs, frames


@pytest.mark.slow
def test_chunks_of_a_video_take_few_graphs(tiny_cfg):
    backend = Counting()
    keys = "VTN.FRAMES_PER_CHUNK", "5"
    model, compiled = pair(tiny_cfg, *keys, backend=backend)
    with torch.no_grad():
        for frames in (12, 17, 23, 9):  # all with another rest
            clip = torch.randn(1, 3, frames, 32, 32)
            torch.testing.assert_close(compiled([clip]), model([clip]))
    assert backend.graphs <= 5


def gradients_of(model: torch.nn.Module, clip: torch.Tensor) -> list[torch.Tensor]:
    """Without dropout, which draws other numbers where it is compiled."""
    for module in model.train().modules():
        module.p = 0.0 if isinstance(module, torch.nn.Dropout) else getattr(module, "p", None)
    for layer in model.temporal_encoder.layers:
        layer.attention.attention_dropout = 0.0
    model.zero_grad()
    model([clip]).square().sum().backward()
    return [parameter.grad for parameter in model.parameters() if parameter.grad is not None]


def test_compiled_parts_train_as_others_do(tiny_cfg):
    backend = Counting()
    model, compiled = pair(tiny_cfg, backend=backend)
    clip = torch.randn(2, 3, 4, 32, 32)
    torch.testing.assert_close(gradients_of(compiled, clip), gradients_of(model, clip))
    assert backend.graphs >= 2


@pytest.mark.slow
def test_a_whole_run_is_compiled_throughout(tiny_cfg, monkeypatch):
    """Weights and their average, full batches and rests: PyTorch's limit of graphs is not reached."""
    backend = Counting()
    for module in (slowfast_ext.engine.train, slowfast_ext.engine.test):
        monkeypatch.setattr(module, "compile_parts", partial(compile_parts, backend=backend))
    cfg = tiny_cfg(*COMPILED, "TRAIN.EMA_DECAY", "0.9")
    with torch._dynamo.config.patch(fail_on_recompile_limit_hit=True):
        loops.train(cfg)
        loops.test(cfg)
    assert 4 <= backend.graphs <= 14
    assert not torch._dynamo.utils.counters["graph_break"]


def test_nothing_is_compiled_unless_it_is_asked_for(tiny_cfg):
    model, backend = make_model(cfg := tiny_cfg()).eval(), Counting()
    compile_parts(model, cfg, backend=backend)
    model([torch.randn(1, 3, 4, 32, 32)])
    assert backend.graphs == 0


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["test_vit", "test_resnet"])
def test_code_for_this_processor_gives_the_same(backbone, tiny_cfg):
    """The real compiler: clips, chunks and full videos of several lengths, then gradients."""
    model, compiled = pair(tiny_cfg, "VTN.BACKBONE", backbone, "VTN.FRAMES_PER_CHUNK", "40")
    close = {"rtol": 1e-4, "atol": 1e-5}
    with torch.no_grad():
        for frames in (4, 9, 70, 250, 101):
            clip = torch.randn(1, 3, frames, 32, 32)
            torch.testing.assert_close(compiled([clip]), model([clip]), **close)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] <= 6
    clip = torch.randn(2, 3, 4, 32, 32)
    torch.testing.assert_close(gradients_of(compiled, clip), gradients_of(model, clip), **close)
    assert not torch._dynamo.utils.counters["graph_break"]

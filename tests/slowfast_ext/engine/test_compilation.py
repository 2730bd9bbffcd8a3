"""torch.compile of the parts of a VTN: same names, same results, any number of frames."""

import torch

from slowfast_ext.engine.compilation import compile_parts
from slowfast_ext.models import make_model


class Counting:
    """A backend that runs what it is given as it is, and counts how often it is asked to compile."""

    graphs = 0

    def __call__(self, graph, _):
        self.graphs += 1
        return graph.forward


def test_compiled_parts_give_the_same_under_the_same_names(tiny_cfg):
    cfg = tiny_cfg("ENGINE", "own", "VTN.COMPILE", "True")
    torch._dynamo.reset()
    torch.manual_seed(0)
    model, backend = make_model(cfg).eval(), Counting()
    clips = [torch.randn(2, 3, frames, 32, 32) for frames in (4, 9)]
    with torch.no_grad():
        expected = [model([clip]) for clip in clips]
        names = list(model.state_dict())
        compile_parts(model, cfg, backend=backend)
        found = [model([clip]) for clip in clips]
    assert backend.graphs >= 2
    assert list(model.state_dict()) == names
    torch.testing.assert_close(found, expected)
    before = backend.graphs
    with torch.no_grad():
        model.backbone(torch.randn(11, 3, 32, 32).contiguous(memory_format=torch.channels_last))
    assert backend.graphs == before  # the backbone, where the time goes, is compiled for any number of frames


def test_compiled_parts_train_as_others_do(tiny_cfg):
    cfg = tiny_cfg("ENGINE", "own", "VTN.COMPILE", "True")
    torch._dynamo.reset()
    clip, gradients, backend = torch.randn(2, 3, 4, 32, 32), [], Counting()
    for compiled in (False, True):
        torch.manual_seed(0)
        model = make_model(cfg).train()
        for module in model.modules():
            module.p = 0.0 if isinstance(module, torch.nn.Dropout) else getattr(module, "p", None)
        for layer in model.temporal_encoder.layers:
            layer.attention.attention_dropout = 0.0
        if compiled:
            compile_parts(model, cfg, backend=backend)
        model([clip]).square().sum().backward()
        gradients.append([p.grad for p in model.parameters() if p.grad is not None])
    assert backend.graphs >= 2
    torch.testing.assert_close(*gradients)


def test_nothing_is_compiled_unless_it_is_asked_for(tiny_cfg):
    model, backend = make_model(cfg := tiny_cfg()).eval(), Counting()
    compile_parts(model, cfg, backend=backend)
    model([torch.randn(1, 3, 4, 32, 32)])
    assert backend.graphs == 0

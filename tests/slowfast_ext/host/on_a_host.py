"""A script: trains and tests, one step after another, on the PySlowFast that the environment chooses.

Its argument is a JSON list of steps {"do": "train" or "test" or "save", "config": path, "overrides": [...]};
"save" writes the weights that the configuration starts from to OUTPUT_DIR/start.pyth. The last line that it
prints is JSON: which host, and the loss of each iteration of each step, not rounded as in the log.
"""

import json
import sys
from pathlib import Path

import torch

import slowfast_ext

torch.set_num_threads(1)  # more would add up in another order
slowfast_ext.register()

from slowfast.models import losses  # noqa: E402

from slowfast_ext.config import load_config  # noqa: E402
from slowfast_ext.host import get_host  # noqa: E402
from slowfast_ext.plugin import loops  # noqa: E402

found: list[float] = []


class Noted(torch.nn.CrossEntropyLoss):
    """PySlowFast's loss, which notes what it gives."""

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        loss = super().forward(logits, labels)
        found.append(loss.item())
        return loss


losses._LOSSES["cross_entropy"] = Noted
host, per_step = get_host(), []
for step in json.loads(sys.argv[1]):
    found.clear()
    cfg = load_config(step["config"], step["overrides"])
    if step["do"] == "save":
        torch.manual_seed(0)
        state = host.bare_model(cfg).state_dict()
        Path(cfg.OUTPUT_DIR).mkdir(parents=True)
        torch.save({"model_state": state}, Path(cfg.OUTPUT_DIR) / "start.pyth")
    else:
        getattr(loops, step["do"])(cfg)
    per_step.append(list(found))
print(json.dumps({"host": host.NAME, "losses": per_step}))

"""Faults of the area `vtn`."""

from fault_lists import Fault

VTN = "projects/vtn"
TESTS = "tests/projects/vtn"
WINDOW = f"{TESTS}/test_window_attention.py"
MODEL = f"{TESTS}/test_vtn_model.py"
MERGING = f"{TESTS}/test_token_merging.py"
REUSE = f"{TESTS}/test_frame_reuse.py"

FAULTS = [
    Fault(
        "dropout of the head is off",
        f"{VTN}/heads.py",
        "nn.Dropout(dropout)",
        "nn.Dropout(0.0)",
        f"{MODEL} -k dropout",
    ),
    Fault(
        "the head drops half whatever it is told",
        f"{VTN}/heads.py",
        "nn.Dropout(dropout)",
        "nn.Dropout(0.5)",
        f"{MODEL} -k dropout",
    ),
    Fault(
        "attention_dropout goes to the hidden states",
        f"{VTN}/temporal_encoder.py",
        "ffn_dim, attention_dropout, hidden_dropout, attention)",
        "ffn_dim, hidden_dropout, attention_dropout, attention)",
        f"{TESTS}/test_temporal_encoder.py {MODEL} -k dropout",
    ),
    Fault(
        "the window reaches its whole width to each side",
        f"{VTN}/window_attention.py",
        "attention_window // 2, query.device",
        "attention_window, query.device",
        WINDOW,
    ),
    Fault(
        "the query of CLS is not scaled",
        f"{VTN}/window_attention.py",
        " * query.shape[-1] ** -0.5",
        "",
        WINDOW,
    ),
    Fault(
        "under dropout the value's bias of CLS counts once",
        f"{VTN}/window_attention.py",
        "value_bias * kept",
        "value_bias",
        WINDOW,
    ),
    Fault(
        "what CLS has summed is not scaled down for a higher score",
        f"{VTN}/window_attention.py",
        "seen if summed is None else summed * decay + seen",
        "seen if summed is None else summed + seen",
        WINDOW,
    ),
    Fault(
        "position row of CLS and padding swapped",
        f"{VTN}/positions.py",
        "return nn.functional.pad(frame_rows, (1, 0), value=cls_row)",
        "return nn.functional.pad(frame_rows, (1, 0), value=cls_row + 1)",
        f"{TESTS}/test_positions.py",
    ),
    Fault(
        "frame indices wrap one row too late",
        f"{VTN}/positions.py",
        "frame_indices.long() % cls_row",
        "frame_indices.long() % (cls_row + 1)",
        f"{TESTS}/test_positions.py",
    ),
    Fault(
        "types of CLS and frames swapped",
        f"{VTN}/temporal_encoder.py",
        "frame_type, cls_type = self.token_types.weight",
        "cls_type, frame_type = self.token_types.weight",
        f"{TESTS}/test_authors_reference.py",
    ),
    Fault(
        "a frozen backbone goes back to training",
        f"{VTN}/model.py",
        "        if self.freeze_backbone:\n            self.backbone.eval()\n        return self",
        "        return self",
        f"{MODEL} -k frozen",
    ),
    Fault(
        "frames are stacked video by video the wrong way round",
        f"{VTN}/frame_encoding.py",
        "frames = clip.transpose(1, 2).flatten(0, 1)",
        "frames = clip.permute(2, 0, 1, 3, 4).flatten(0, 1)",
        f"{MODEL} -k stacked",
    ),
    Fault(
        "merged tokens weigh as one in attention",
        f"{VTN}/token_merging.py",
        "mask = None if sizes is None else sizes.log()[:, None, None].to(x.dtype)",
        "mask = None",
        MERGING,
    ),
    Fault(
        "sizes go into attention without their logarithm",
        f"{VTN}/token_merging.py",
        "sizes.log()[:, None, None]",
        "sizes[:, None, None]",
        MERGING,
    ),
    Fault(
        "the class token may be merged",
        f"{VTN}/token_merging.py",
        "blocks, num_prefix = backbone.blocks, backbone.num_prefix_tokens",
        "blocks, num_prefix = backbone.blocks, 0",
        MERGING,
    ),
    Fault(
        "merged tokens are a plain mean",
        f"{VTN}/token_merging.py",
        "    weighted = x * sizes[..., None]",
        "    sizes = torch.ones_like(sizes)\n    weighted = x * sizes[..., None]",
        MERGING,
    ),
    Fault(
        "keys are matched by their product, not by their cosine",
        f"{VTN}/token_merging.py",
        "keys = nn.functional.normalize(keys, dim=-1)",
        "pass",
        MERGING,
    ),
    Fault(
        "the least similar tokens are merged",
        f"{VTN}/token_merging.py",
        "similarity.topk(num_merged, dim=-1)",
        "similarity.topk(num_merged, dim=-1, largest=False)",
        MERGING,
    ),
    Fault(
        "tokens are matched in bfloat16 under autocast",
        f"{VTN}/token_merging.py",
        "    return torch.autocast(device.type, enabled=False)",
        "    return contextlib.nullcontext()",
        f"{MERGING} -k autocast",
    ),
    Fault(
        "places forget the merging of the layer before",
        f"{VTN}/token_merging.py",
        "places if before is None else places.gather(1, before)",
        "places",
        MERGING,
    ),
    Fault(
        "a frame is compared with its neighbour",
        f"{VTN}/frame_reuse.py",
        "encoded = torch.where(is_new, frame, encoded)",
        "encoded = frame",
        REUSE,
    ),
    Fault(
        "a video is compared with the end of the one before it",
        f"{VTN}/frame_reuse.py",
        "if number in begins or encoded is None:",
        "if encoded is None:",
        REUSE,
    ),
    Fault(
        "frames are compared as they are normalised",
        f"{VTN}/frame_reuse.py",
        "(difference * scale).mean()",
        "difference.mean()",
        REUSE,
    ),
    Fault(
        "frames are reused in training",
        f"{VTN}/model.py",
        "used = self.reuse_frames and not self.training",
        "used = self.reuse_frames",
        REUSE,
    ),
    Fault(
        "equal frame numbers count as equal frames",
        f"{VTN}/frame_encoding.py",
        "repeated[some] = (frames[some] == frames[some - 1]).flatten(1).all(1)",
        "pass",
        f"{TESTS}/test_distinct_frames.py",
    ),
    Fault(
        "shuffled frames keep their positions",
        f"{VTN}/model.py",
        "tokens, order = self._tokens(frame_features)\n",
        "tokens, order = self._tokens(frame_features)\n"
        "        if order is not None:\n"
        "            frame_indices = frame_indices.take_along_dim(order, dim=1)\n",
        f"{TESTS}/test_shuffling_and_uniform_attention.py",
    ),
    Fault(
        "attention is told in the shuffled order",
        f"{VTN}/model.py",
        "order.argsort(1)[:, None, None]",
        "order[:, None, None]",
        f"{TESTS}/test_shuffling_and_uniform_attention.py",
    ),
    Fault(
        "a checkpoint of another model is loaded in part",
        f"{VTN}/checkpoint.py",
        "bool(report.kept or report.unexpected)",
        "useless",
        f"{TESTS}/test_vtn_checkpoint.py",
    ),
    Fault(
        "a checkpoint may run code",
        f"{VTN}/checkpoint.py",
        "weights_only=True",
        "weights_only=False",
        f"{TESTS}/test_vtn_checkpoint.py",
    ),
    Fault(
        "what is computed again is not normed by its deviation",
        f"{VTN}/frugal.py",
        "(made_by._saved_input - mean).mul_(inverse_deviation)",
        "made_by._saved_input - mean",
        f"{TESTS}/test_frugal.py",
    ),
    Fault(
        "nothing is forgotten",
        f"{VTN}/frugal.py",
        "            if _place(saved) != place:",
        "            if True:",
        f"{TESTS}/test_frugal.py",
    ),
    Fault(
        "every GELU is the exact one",
        f"{VTN}/frugal.py",
        "approximate=made_by._saved_approximate",
        'approximate="none"',
        f"{TESTS}/test_frugal.py",
    ),
]

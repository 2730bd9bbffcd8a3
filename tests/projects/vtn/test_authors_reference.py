"""Our model gives what the authors' released code gives: outputs, inner states, attention, gradients."""

import pytest
import torch

from vtn.authors_names import to_authors_names
from vtn.window_attention import window_attention

CASES = [
    *(f"{w}/F{t}/{kind}" for w in ("w6", "w18") for t in (16, 37, 250) for kind in ("arange", "wrap")),
    "w18_6_12/F37/wrap",
    "w18_6_12/F250/wrap",
    "w6x1/F37/wrap",
    "w18/F35/arange",
    "w6/F1/arange",
    "w6/F5/eps",
]
FROZEN = {
    f"temporal_encoder.encoder.layer.2.attention.self.{part}.{kind}"
    for part in ("query", "key", "value")
    for kind in ("weight", "bias")
}


def case_inputs(reference, case, model):
    """Frame features (2, T, 24), through the backbone where the file has pixels; and frame indices (2, T)."""
    num_frames = int(case.split("/")[1][1:])
    indices = reference[f"in/idx{num_frames}_{case.split('/')[2]}"]
    if num_frames in (16, 37):
        return model.frame_features(reference[f"in/x{num_frames}"].float()), indices
    return reference["in/feat5" if num_frames == 5 else "in/feat250"].float()[:, :num_frames], indices


def test_cases_are_all_cases_of_the_file(reference):
    found = {"/".join(name.split("/")[1:4]) for name in reference if name.endswith("/logits")}
    assert found == set(CASES)
    assert len(CASES) == 18


@pytest.mark.parametrize("num_frames", [16, 37])
def test_frame_features(reference, authors_model, num_frames):
    features = authors_model([6, 6, 6]).frame_features(reference[f"in/x{num_frames}"].float())
    torch.testing.assert_close(features, reference[f"out/features{num_frames}"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("case", CASES)
@torch.no_grad()
def test_case(reference, authors_model, case):
    expected = {name.split("/")[-1]: x for name, x in reference.items() if name.startswith(f"out/{case}/")}
    model = authors_model(expected["window"].tolist())
    features, indices = case_inputs(reference, case, model)

    logits, attention = model.classify(features, indices, return_attention=True)
    tokens = torch.cat([model.cls_token.expand(2, -1, -1), features], dim=1)
    cls_state, cls_weights = model.temporal_encoder(tokens, indices.long(), need_weights=True)
    hidden = model.temporal_encoder.hidden_states(tokens, indices.long())

    close = {"rtol": 0, "atol": 1e-5}
    torch.testing.assert_close(logits, expected["logits"], **close)
    torch.testing.assert_close(cls_state, expected["cls_out"], **close)
    torch.testing.assert_close(cls_weights, expected["cls_attn"], **close)
    torch.testing.assert_close(attention, expected["cls_attn"][..., 1:], **close)
    torch.testing.assert_close(hidden[:, :, 0], expected["cls_hidden"], **close)
    ids = model.temporal_encoder.positions.position_ids(indices)
    assert torch.equal(ids, expected["position_ids"][:, : tokens.shape[1]].long())
    if "hidden" in expected:
        torch.testing.assert_close(hidden, expected["hidden"], **close)
    if "hidden1" in expected:
        torch.testing.assert_close(hidden[:, 1], expected["hidden1"], **close)


@pytest.mark.parametrize(("name", "window"), [("w6", 6), ("w18", 18)])
@torch.no_grad()
def test_weights_of_frames_in_first_layer(reference, authors_model, name, window):
    model = authors_model([window] * 3)
    features, indices = case_inputs(reference, f"{name}/F16/wrap", model)
    tokens = torch.cat([model.cls_token.expand(2, -1, -1), features], dim=1)
    hidden = model.temporal_encoder.hidden_states(tokens, indices.long())[:, 0]
    attention = model.temporal_encoder.layers[0].attention
    query = attention.query(hidden[:, 1:]).view(2, 16, 3, 8).transpose(1, 2)
    key = attention.key(hidden).view(2, 17, 3, 8).transpose(1, 2)
    # With the identity as values, what comes out is the weights themselves, one column for each token.
    weights = window_attention(query, key, torch.eye(17).expand(2, 3, -1, -1), window)

    expected = torch.zeros(2, 3, 16, 17)
    by_offset = reference[f"out/{name}/F16/wrap/local_attn0"]
    expected[..., 0] = by_offset[..., 0]
    for frame in range(16):
        for offset in range(-window // 2, window // 2 + 1):
            if 0 <= frame + offset < 16:
                expected[:, :, frame, 1 + frame + offset] = by_offset[:, :, frame, 1 + offset + window // 2]
    torch.testing.assert_close(weights, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("name", "window", "num_tensors"), [("w6", 6, 107), ("w18", 18, 6)])
def test_gradients(reference, authors_model, name, window, num_tensors):
    model = authors_model([window] * 3)
    logits = model(reference["in/x16"].float(), reference["in/idx16_wrap"])
    objective = (logits * reference["in/v"].float()).sum()
    objective.backward()

    prefix = f"grad/{name}/F16/wrap/"
    expected = {key.removeprefix(prefix): x for key, x in reference.items() if key.startswith(prefix)}
    torch.testing.assert_close(objective, expected.pop("objective"), rtol=0, atol=5e-5)
    assert len(expected) == num_tensors
    ours = to_authors_names({key: p.grad for key, p in model.named_parameters()})
    assert {key for key, gradient in ours.items() if gradient is None} == FROZEN
    for key, gradient in expected.items():
        found = torch.zeros_like(gradient) if key in FROZEN else ours[key]
        torch.testing.assert_close(
            found, gradient, rtol=0, atol=5e-5, msg=lambda text, key=key: f"{key}: {text}"
        )

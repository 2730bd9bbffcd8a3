"""How frames are normalised, and the authors' evaluation: their configuration, one switch, real videos."""

from fractions import Fraction
from pathlib import Path

import pytest
import torch
from test_config import AUTHORS_YAML
from videos import make_video, read_numbers

from slowfast_ext.config import load_config
from slowfast_ext.data.dataset import Vtnkinetics
from slowfast_ext.models import VTN
from vtn.backbone import normalization

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
HALVES = ([0.5, 0.5, 0.5], [0.5, 0.5, 0.5])
CLIP = ([0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711])
SLOWFAST = ([0.45, 0.45, 0.45], [0.225, 0.225, 0.225])
SWITCH = ["VTN.AUTHORS_PROTOCOL", "True"]


def load(path, tmp_path, *overrides):
    return load_config(path, ["NUM_GPUS", "0", "OUTPUT_DIR", str(tmp_path), *overrides])


@pytest.mark.parametrize(
    ("name", "overrides", "expected"),
    [
        ("Kinetics/VTN_ViT_B", "", HALVES),
        ("MiT/VTN_ViT_B", "", HALVES),
        ("Kinetics/VTN_DeiT_BD", "", IMAGENET),
        ("Kinetics/VTN_R50", "", IMAGENET),
        ("Kinetics/VTN_ViT_B", "VTN.BACKBONE vit_base_patch16_clip_224.openai", CLIP),
        ("Kinetics/VTN_ViT_B_authors", "", SLOWFAST),
        ("Kinetics/VTN_DeiT_B", "VTN.AUTHORS_PROTOCOL True", SLOWFAST),
        ("Kinetics/VTN_ViT_B_authors", "VTN.AUTHORS_PROTOCOL False", HALVES),
        # What is given stands, key by key.
        ("Kinetics/VTN_DeiT_B", "DATA.MEAN [0.1,0.2,0.3] DATA.STD [1,1,1]", ([0.1, 0.2, 0.3], [1, 1, 1])),
        ("Kinetics/VTN_DeiT_B", "DATA.MEAN [0.1,0.2,0.3]", ([0.1, 0.2, 0.3], IMAGENET[1])),
        ("Kinetics/VTN_ViT_B_authors", "DATA.STD [0.5,0.5,0.5]", (SLOWFAST[0], HALVES[1])),
        # The demo's configurations give PySlowFast's, and models without VTN keep them.
        ("Demo/VTN", "", SLOWFAST),
        ("Demo/SlowFast", "", SLOWFAST),
        ("Kinetics/I3D_8x8_R50", "", SLOWFAST),
        ("Kinetics/SLOWFAST_8x8_R50", "", SLOWFAST),
    ],
)
def test_normalization_of_a_configuration(name, overrides, expected, tmp_path):
    cfg = load(CONFIGS / f"{name}.yaml", tmp_path, *overrides.split())
    assert (list(cfg.DATA.MEAN), list(cfg.DATA.STD)) == expected


def test_normalization_given_by_the_file(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text(f"_BASE_: {CONFIGS}/Kinetics/VTN_DeiT_B.yaml\nDATA: {{STD: [0.2, 0.2, 0.2]}}\n")
    cfg = load(path, tmp_path)
    assert (list(cfg.DATA.MEAN), list(cfg.DATA.STD)) == (IMAGENET[0], [0.2, 0.2, 0.2])


def test_the_configuration_and_the_model_agree(tmp_path):
    cfg = load(CONFIGS / "Demo" / "VTN.yaml", tmp_path, "VTN.BACKBONE", "convnext_atto")
    mean, std = normalization(VTN(cfg).backbone)
    assert (list(mean), list(std)) == IMAGENET


@pytest.fixture
def authors_test_set(tmp_path):
    """(frames, fps, *overrides) -> the test item of one such video under the authors' own configuration."""

    def load_item(num_frames, fps, *overrides):
        make_video(tmp_path / "video.mp4", num_frames, fps=fps)
        (tmp_path / "test.csv").write_text("video.mp4 0\n")
        path = tmp_path / "VIT_B_VTN.yaml"
        path.write_text(AUTHORS_YAML)
        # The frames alone are small here: 64 x 64 where the authors have 256 and 224.
        size = "DATA.TRAIN_JITTER_SCALES [64,64] DATA.TRAIN_CROP_SIZE 64 DATA.TEST_CROP_SIZE 64".split()
        cfg = load(path, tmp_path, "DATA.PATH_TO_DATA_DIR", str(tmp_path), *size, *overrides)
        dataset = Vtnkinetics(cfg, "test")
        assert len(dataset) == 1
        frames, frame_indices = dataset[0][0]
        return frames.clips(cfg.DATA.MEAN, cfg.DATA.STD)[0], frame_indices

    return load_item


def numbers_of(clip, mean, std):
    """Painted numbers of a clip (3, T, h, w) normalised with one mean and std for all channels."""
    return read_numbers(((clip * std + mean) * 255).permute(1, 2, 3, 0).numpy())


# Observed by running the authors' release on such videos: first and last indices, how many are distinct.
OBSERVED = [
    (300, 30, [0, 1, 2, 3], [296, 297, 299], 250),
    (250, 25, [0, 1, 2, 3], [247, 248, 249], 250),
    (100, 30, [0, 0, 0, 1], [99, 99, 99], 100),
    (60, 15, [0, 0, 0, 0], [59, 59, 59], 60),
    (600, 30, [0, 1, 2, 3], [296, 297, 299], 250),
    (300, Fraction(30000, 1001), [0, 1, 2, 3], [297, 298], 250),
    (500, 50, [0, 2, 4, 6], [494, 496, 499], 250),
]


@pytest.mark.parametrize(("num_frames", "fps", "first", "last", "distinct"), OBSERVED)
def test_authors_protocol_on_real_videos(authors_test_set, num_frames, fps, first, last, distinct):
    clip, frame_indices = authors_test_set(num_frames, fps, *SWITCH)
    assert clip.shape == (3, 250, 64, 64)
    found = frame_indices.tolist()
    assert numbers_of(clip, 0.45, 0.225) == found  # the frames shown are the frames told
    assert (found[: len(first)], found[-len(last) :], len(set(found))) == (first, last, distinct)


def test_authors_protocol_pixels(authors_test_set):
    clip, _ = authors_test_set(10, 30, *SWITCH)
    corner = clip[:, 0, :4, :4]  # the grey beside the painted squares, 128, give or take the compression
    torch.testing.assert_close(corner, torch.full_like(corner, (128 / 255 - 0.45) / 0.225), rtol=0, atol=0.05)


def test_without_the_switch_the_protocol_is_the_papers(authors_test_set):
    clip, frame_indices = authors_test_set(600, 30)
    found = frame_indices.tolist()
    assert (found[0], found[-1]) == (0, 599)  # all 20 seconds
    assert numbers_of(clip, 0.5, 0.5) == found
    # timm's default weights of a ViT-B, which the configuration takes, see with 0.5 / 0.5.
    torch.testing.assert_close(
        clip[:, 0, :4, :4].mean(), torch.tensor((128 / 255 - 0.5) / 0.5), rtol=0, atol=0.02
    )


def test_positions_of_the_authors_protocol_wrap_at_286(authors_test_set, tmp_path):
    _, frame_indices = authors_test_set(500, 50, *SWITCH)
    assert int(frame_indices.max()) == 499
    cfg = load(tmp_path / "VIT_B_VTN.yaml", tmp_path, *SWITCH, "VTN.PRETRAINED", "False").clone()
    cfg.defrost()
    cfg.merge_from_list(
        ["VTN.BACKBONE", "test_vit", "VTN.NUM_ATTENTION_HEADS", 4, "VTN.INTERMEDIATE_SIZE", 64]
    )
    model = VTN(cfg).eval()
    features = torch.randn(1, 250, model.embed_dim)
    absolute = model.classify(features, frame_indices[None])
    assert torch.equal(absolute, model.classify(features, frame_indices[None] % 286))
    assert not torch.allclose(absolute, model.classify(features, frame_indices[None] % 288))

"""The ledger: outcomes that travel as bytes, the CSV, the summary, the bounds of a score."""

import csv

import pytest
import torch
from torch.utils.data import default_collate

from slowfast_ext.data.ledger import Ledger, decode_outcomes, encode_outcome
from slowfast_ext.host.metrics import accuracy_bounds


@pytest.mark.parametrize("reason", ["", "a.mp4 is empty.", "Ünreadable …"])
@pytest.mark.parametrize("outcome", ["used", "repaired", "failed"])
def test_round_trip_through_a_batch(outcome, reason):
    meta = default_collate([encode_outcome(outcome, reason), encode_outcome("used")])
    assert meta["reason"].shape == (2, 256)
    assert decode_outcomes(meta) == [(outcome, reason), ("used", "")]


@pytest.mark.parametrize("padding", range(4))
def test_a_long_reason_keeps_its_end(padding):
    reason = "x" * padding + "é" * 300 + "/video.mp4 is empty."
    ((_, found),) = decode_outcomes(default_collate([encode_outcome("failed", reason)]))
    assert found.startswith("…é")
    assert found.endswith("é/video.mp4 is empty.")
    assert 250 < len(found.encode()) <= 256


def test_csv_and_summary(tmp_path):
    paths = ["plain.mp4", 'with, comma and "quotes".mp4', "ünï.mp4", "left over.mp4"]
    ledger = Ledger(paths, [0, 1, 2, 3])
    ledger.note(0, "failed", "a hiccup of the network")
    ledger.note(0, "used")  # in the next epoch
    ledger.note(1, "failed", "with it: why")
    ledger.note(2, "repaired", "ünï.mp4: 2 of its 9 frames cannot be decoded.")
    assert ledger.summary() == "4 videos: 1 used, 1 repaired, 1 failed, 1 not used"
    assert ledger.remarks(9) == [
        'failed: with, comma and "quotes".mp4: with it: why',
        "repaired: ünï.mp4: 2 of its 9 frames cannot be decoded.",
    ]
    assert ledger.remarks(1)[1:] == ["and 1 more"]
    ledger.write(tmp_path / "ledger.csv")
    with open(tmp_path / "ledger.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["video", "path", "label", "outcome", "reason"]
    assert [row[1] for row in rows[1:]] == paths
    assert [row[3] for row in rows[1:]] == ["used", "failed", "repaired", "not used"]
    assert [path.name for path in tmp_path.iterdir()] == ["ledger.csv"]


def test_bounds_by_hand():
    # 3 of 4 right, one more could not be read: 3 / 5 at worst, 4 / 5 at best.
    assert accuracy_bounds(3, 4, 1) == (60.0, 80.0)
    assert accuracy_bounds(3, 4, 0) == (75.0, 75.0)


def test_the_first_byte_tells_an_empty_reason():
    assert not encode_outcome("used")["reason"].any()
    assert int(encode_outcome("failed", "x")["outcome"]) != int(encode_outcome("used")["outcome"])
    assert encode_outcome("failed", "x")["reason"].dtype == torch.uint8

"""tools/predict.py --page: what it writes and refuses, and how large a page may be."""

import json
import re

import numpy as np
import pytest
from browser_tab import new_tab
from predictions import FULL, MULTI, NAMES
from video_pages import numbers_of
from videos import make_video

from slowfast_ext.predict import Predictor
from slowfast_ext.predict.command import predict
from slowfast_ext.video import VideoReader
from vtn.errors import InputError


def test_a_page_and_a_file_from_one_decoding(trained, clips, tmp_path, capsys, monkeypatch):
    _, path = trained(*FULL)
    page, out = tmp_path / "x.html", tmp_path / "x.jsonl"
    wanted, decodings = Predictor(path).explain(clips[4]), []
    decode = VideoReader.decode
    monkeypatch.setattr(VideoReader, "decode", lambda *given: decodings.append(1) or decode(*given))
    assert predict([path, str(clips[4]), "--page", str(page), "--out", str(out)]) == 0
    assert len(decodings) == 1
    said = capsys.readouterr().out
    assert re.search(rf"^page: {page} \(\d\.\d MB\)$", said, re.MULTILINE)
    name, score = wanted.prediction.top(1)[0]
    assert f"  {score:.3f}  {name}" in said
    (record,) = map(json.loads, out.read_text().splitlines())
    np.testing.assert_allclose(record["scores"], wanted.prediction.scores, atol=1e-6)
    numbers = numbers_of(page.read_text())
    np.testing.assert_allclose(numbers["sides"][0]["attention"], wanted.attention, atol=1e-6)
    best = np.argsort(-wanted.prediction.scores, kind="stable")
    assert numbers["sides"][0]["classes"] == [NAMES[label] for label in best]
    np.testing.assert_allclose(numbers["sides"][0]["evidence"], wanted.evidence.T[best], atol=1e-6)
    text = page.read_text()
    assert f"vtn predict {path} {clips[4]} --page {page} --out {out}" in text
    for fact in (str(path), Predictor(path).fingerprint(), "torch ", "PySlowFast"):
        assert fact in text
    # Again: the page is made anew, and the file keeps its line.
    page.unlink()
    assert predict([path, str(clips[4]), "--page", str(page), "--out", str(out)]) == 0
    assert page.exists()
    assert len(out.read_text().splitlines()) == 1


def test_learned_and_uniform_attention_side_by_side(trained, clips, tmp_path):
    _, learned = trained(*FULL, "TRAIN.EVAL_NUM_FRAMES", "40")
    _, uniform = trained(*FULL, "TRAIN.EVAL_NUM_FRAMES", "40", "VTN.ATTENTION", "uniform", name="uniform")
    page = tmp_path / "x.html"
    assert predict([learned, str(clips[4]), "--page", str(page), "--page-beside", uniform]) == 0
    first, second = numbers_of(page.read_text())["sides"]
    assert np.ptp(first["attention"]) > 0.001
    np.testing.assert_allclose(second["attention"], 1 / 41, atol=1e-6)  # CLS looks at itself too
    assert set(first["classes"]) == set(second["classes"]) == set(NAMES)
    text = page.read_text()
    assert "test_vit, learned attention" in text
    assert "test_vit, uniform attention" in text
    assert Predictor(uniform).fingerprint() in text
    # Keys are for both.
    words = [learned, str(clips[4]), "--page", str(page), "--page-beside", uniform]
    assert predict([*words, "TRAIN.EVAL_NUM_FRAMES", "20"]) == 0
    assert {len(side["attention"][0][0]) for side in numbers_of(page.read_text())["sides"]} == {20}


def test_bad_input_is_refused_before_work_starts(trained, clips, tmp_path, monkeypatch):
    _, path = trained(*FULL)
    page, video = tmp_path / "x.html", str(clips[0])

    def refused(words: list[str], says: str) -> None:
        with pytest.raises(InputError, match=says):
            predict([path, video, *words])
        assert not page.exists()

    with monkeypatch.context() as patched:
        patched.setattr(Predictor, "__init__", None)  # never reached
        refused([str(clips[1]), "--page", str(page)], "x.html: a page is of one video, not of 2")
        refused(["--page", str(tmp_path / "x.txt")], "its name must end with .html")
        refused(["--page", str(tmp_path / "gone" / "x.html")], "cannot write .*No such file")
        refused(["--page-beside", path], "--page-beside is for --page")
        for words in (["--window", "1s"], ["--every", "1s"], ["--features", "x"]):
            refused(["--page", str(page), *words], "--page explains one look at a whole video: it takes no")
        with pytest.raises(InputError, match="--page explains one look"):
            predict([path, "--page", str(page), "--live", "-"])
    refused(["--page", str(page), "--page-beside", str(tmp_path / "gone.pyth")], "gone.pyth")
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"no video")
    with pytest.raises(InputError, match="none of the 1 videos could be read"):
        predict([path, str(bad), "--page", str(page)])
    assert not page.exists()


def test_several_clips_ask_for_a_full_video(trained, clips, tmp_path):
    _, path = trained(*MULTI)
    words = [path, str(clips[4]), "--page", str(tmp_path / "x.html")]
    with pytest.raises(InputError, match="choose the views 'full'"):
        predict(words)
    assert predict([*words, "--views", "full"]) == 0


def noise(count: int, height: int, width: int) -> np.ndarray:
    """What no codec makes small."""
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), np.uint8)


def test_a_page_of_ten_seconds_is_below_5_mb(trained, tmp_path):
    """Of noise, in 250 frames of 480 x 270."""
    _, path = trained(*FULL, "TRAIN.EVAL_NUM_FRAMES", "250")
    found = Predictor(path).explain(noise(250, 270, 480), fps=25)
    found.write(tmp_path / "x.html")
    assert len(found.pictures) == 250
    assert 1e6 < (tmp_path / "x.html").stat().st_size <= 5e6
    assert "Thinned" not in (tmp_path / "x.html").read_text()


def test_a_page_of_two_hours_is_below_20_mb_and_says_that_it_is_thinned(trained, tmp_path):
    """A frame each second, of which the model looks at 400."""
    _, path = trained(*FULL, "TRAIN.EVAL_NUM_FRAMES", "400")
    video = make_video(tmp_path / "x.mp4", 7200, fps=1, size=(64, 48), options={"preset": "ultrafast"})
    page = tmp_path / "x.html"
    found = Predictor(path).explain(video)
    found.write(page)
    assert page.stat().st_size <= 20e6
    text, numbers = page.read_text(), numbers_of(page.read_text())
    assert "Thinned: 200 of the 400 frames that were looked at are shown." in text
    assert "This is a long video, so stretches of 60 s are left out in turn" in text
    assert (numbers["seconds"], len(numbers["pictures"]), len(numbers["stretches"])) == (7200, 200, 120)
    by_hand = found.attention.reshape(2, 4, 200, 2).sum(axis=-1)
    np.testing.assert_allclose(numbers["sides"][0]["attention"], by_hand, rtol=1e-4)
    with new_tab(tmp_path / "profile") as tab:
        tab.open(page)
        tab.run("document.getElementById('marker').focus()")
        tab.press("End")
        time = f"1:{(found.times[398] - 3600) // 60:02.0f}:{found.times[398] % 60:05.2f}"
        assert tab.run("document.getElementById('time').textContent") == time
        assert tab.console == []

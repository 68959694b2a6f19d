"""Error rates of transcripts in tables and reports: normaliser, confused words, speakers, differences by pairs."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leyden.metrics.error_rates import evaluate_transcripts, paired_difference
from leyden.reporting.comparison import notes
from leyden.reporting.comparison.report import Report, assess
from leyden.reporting.markdown import metrics_markdown
from leyden.reporting.terminal.run_result import result_table
from leyden.runs.records import survey
from leyden.utils.console import Printer

NAMES = ["<blank>", "▁no", "▁on", "▁ten"]
WORDS = ["no", "on", "ten"]
WHO = [f"s{i % 4}" for i in range(40)]


def texts(seed: int, wrong: float, of: Sequence[str] | None = None) -> list[str]:
    """40 sentences, or those of `of` with a share of the words replaced by another."""
    rng = np.random.default_rng(seed)
    if of is None:
        return [" ".join(rng.choice(WORDS, rng.integers(1, 6))) for _ in range(40)]
    return [" ".join(w if rng.random() > wrong else "no" for w in text.split()) for text in of]


def ids(rows: Sequence[str]) -> np.ndarray:
    found = np.full((len(rows), 6), -1, np.int32)
    for row, text in zip(found, rows, strict=True):
        units = [NAMES.index(f"▁{word}") for word in text.split()]
        row[: len(units)] = units
    return found


def write(root: Path, model: str, seed: int, said: list[str], heard: list[str], who: Any = None) -> None:
    folder = root / "runs" / "speech" / f"{model}-{seed}"
    (folder / "predictions").mkdir(parents=True)
    found = evaluate_transcripts(said, heard, normaliser="letters", speakers=who).to_dict()
    result = {
        "schema": 1,
        "status": "complete",
        "command": ["leyden", "train", f"model={model}", f"seed={seed}"],
        "data": "d1",
        "config": {
            "experiment": "speech",
            "data": {"name": "speech"},
            "model": {"name": model},
            "seed": seed,
        },
        "metrics": {"test": found, "val": found},
        "best": {"monitor": "val/wer", "value": found["values"]["wer"]["value"], "higher_is_better": False},
    }
    (folder / "result.json").write_text(json.dumps(result))
    (folder / "spec.json").write_text(json.dumps({"target_names": NAMES, "sizes": [1, 1, 40]}))
    arrays = {"rows": np.arange(len(said)), "targets": ids(said), "predicted": ids(heard)}
    np.savez(folder / "predictions" / "test.npz", **arrays)


def compared(root: Path) -> Report:
    return assess(survey(root / "runs"), baseline=["model=gru"])


@pytest.mark.parametrize("who", [None, WHO])
def test_differences_are_paired_by_recording_or_speaker(tmp_path: Path, who: list[str] | None) -> None:
    said = texts(0, 0)
    heard = {model: texts(seed, share, said) for model, seed, share in (("gru", 1, 0.5), ("best", 2, 0.1))}
    for model, answers in heard.items():
        write(tmp_path, model, 1, said, answers, who)
    (part,) = compared(tmp_path).parts
    (row,) = (row for row in part.rows if row.label == "best")
    assert row.paired == paired_difference(said, heard["best"], heard["gru"], who)
    assert row.paired is not None
    assert row.paired.high is not None
    assert row.paired.high < 0
    words = "\n".join(notes.of_comparison(part))
    assert f"over {'4 speakers' if who else '40 utterances'}." in words
    assert "WER on the same recordings, less the baseline's: -" in words


def test_seeds_are_summed_within_a_recording(tmp_path: Path) -> None:
    said = texts(0, 0)
    for seed in (1, 2):
        write(tmp_path, "gru", seed, said, texts(9, 0.5, said))
        write(tmp_path, "best", seed, said, texts(8, 0.1, said))
    write(tmp_path, "best", 3, said, ["ten"] * 40)  # a seed that the baseline does not have
    row = next(row for row in compared(tmp_path).parts[0].rows if row.label == "best")
    once = paired_difference(said, texts(8, 0.1, said), texts(9, 0.5, said))
    assert row.paired is not None
    assert (row.paired.value, row.paired.low) == pytest.approx((once.value, once.low))


def test_other_recordings_are_not_paired(tmp_path: Path) -> None:
    write(tmp_path, "gru", 1, texts(0, 0), texts(0, 0))
    write(tmp_path, "best", 1, texts(5, 0), texts(5, 0))
    assert all(row.paired is None for row in compared(tmp_path).parts[0].rows)


def test_a_report_names_the_normaliser_and_asks_for_no_linear_model(tmp_path: Path) -> None:
    write(tmp_path, "gru", 1, texts(0, 0), texts(0, 0))
    (part,) = assess(survey(tmp_path / "runs")).parts
    words = "\n".join(notes.of_part(part))
    assert "task.target.normaliser=letters" in words
    assert "No trivial baseline to compare with: leyden train experiment=speech model=majority" in words
    assert "linear" not in words


def test_a_result_has_tables_of_words_lengths_and_speakers(capsys: pytest.CaptureFixture[str]) -> None:
    said = texts(0, 0)
    found = evaluate_transcripts(said, texts(1, 0.5, said), normaliser="lower", speakers=WHO).to_dict()
    Printer().print(result_table({"metrics": {"test": found}}))
    shown, marked = capsys.readouterr().out, metrics_markdown(found)
    worst = found["by_speaker"][0]
    for text in (shown, marked):
        assert "task.target.normaliser=lower" in text
        assert "'on' as 'no'" in text
        assert "2 to 3 words" in text
        assert f"{worst['wer']:.4f}" in text
    rows = [line.split() for line in shown.splitlines()]
    edits = worst["words"]
    expected = [
        worst["name"],
        "10",
        str(edits["n"]),
        f"{worst['wer']:.4f}",
        str(edits["substitutions"]),
        "0",
        "0",
    ]
    assert expected in [row[:7] for row in rows]

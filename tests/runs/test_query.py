"""Terms select runs; invalid terms are errors with the nearest valid key."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leyden.runs.query import Term, is_term, matching, version_changes, words_and_terms
from leyden.runs.records import Record, find
from leyden.utils.errors import UserError
from run_folders import config, write


@pytest.fixture
def records(tmp_path: Path) -> list[Record]:
    for seed in (1, 2, 3):
        write(tmp_path, model="cnn", seed=seed, accuracy=0.8 + seed / 100)
        write(tmp_path, model="mlp", seed=seed, lr=0.1, accuracy=0.7)
    write(tmp_path, model="resnet20", status="failed")
    write(tmp_path, model="lstm", status="running")
    write(tmp_path, model="rnn", made_with={"leyden": "0.0.0", "torch": "1.0"})
    broken = write(tmp_path, model="gru")
    (broken / "result.json").write_text("{")
    return find(tmp_path)


@pytest.mark.parametrize(
    ("terms", "names"),
    [
        (["model=cnn"], ["cnn1", "cnn2", "cnn3"]),
        (["model.name=cnn", "seed=1,3"], ["cnn1", "cnn3"]),
        (["model=cnn", "seed!=1,3"], ["cnn2"]),
        (["model=cnn", "seed==2"], ["cnn2"]),
        (["seed=2.0", "model=cnn,mlp"], ["cnn2", "mlp2"]),
        (["optimizer.lr>.01"], ["mlp1", "mlp2", "mlp3"]),
        (["optimizer.lr>=0.1", "seed<=2"], ["mlp1", "mlp2"]),
        (["optimizer.lr=1e-1", "seed<2"], ["mlp1"]),
        (["model=res*"], ["resnet201"]),
        (["model=*nn", "seed=1"], ["cnn1", "rnn1"]),
        (["state=failed"], ["resnet201"]),
        (["state=interrupted"], ["lstm1"]),
        (["state=stale"], ["rnn1"]),
        (["state=damaged"], ["gru"]),
        (["state=complete", "model=rnn"], ["rnn1"]),
        (["test/accuracy>=0.82"], ["cnn2", "cnn3", "rnn1"]),
        (["seconds<7.5"], ["mlp1", "mlp2", "mlp3"]),
        (["optimizer=adamw", "seed=2"], ["cnn2", "mlp2"]),
        (["scheduler=one_cycle", "seed=3"], ["cnn3", "mlp3"]),
        (["model.net.hidden=[16,8]", "seed=3"], ["cnn3", "mlp3"]),
        (["model.net.hidden=[16]"], []),
        (["threads=null", "seed=3"], ["cnn3", "mlp3"]),
        (["force=true"], []),
        (["experiment=default", "folder=*mlp*", "seed=1"], ["mlp1"]),
        (["data=digits", "model=nothing_so"], []),
    ],
)
def test_terms(records: list[Record], terms: list[str], names: list[str]) -> None:
    found = matching(records, terms)
    assert sorted(_label(record) for record in found) == names


def _label(record: Record) -> str:
    return f"{record.config['model']['name']}{record.config['seed']}" if record.config else "gru"


@pytest.mark.parametrize(
    ("term", "told"),
    [
        ("sed=1", "did you mean 'seed'"),
        ("optimizer.lrr<1", "did you mean 'optimizer.lr'"),
        ("test/acuracy>.5", "did you mean 'test/accuracy'"),
        ("state=fialed", "did you mean 'failed'"),
        ("seed=", "expected key=value"),
        ("seed", "expected key=value"),
        ("seed<small", "expects a number"),
        ("model.net=x", None),
    ],
)
def test_invalid_terms(records: list[Record], term: str, told: str | None) -> None:
    if told is None:
        assert matching(records, [term]) == []
        return
    with pytest.raises(UserError, match=told):
        matching(records, [term])


def test_a_misspelt_key_is_an_error_even_if_an_earlier_term_matches_nothing(records: list[Record]) -> None:
    with pytest.raises(UserError, match="did you mean 'seed'"):
        matching(records, ["state=pruned", "sed=1"])


def test_a_key_that_only_some_runs_have_is_valid(tmp_path: Path) -> None:
    write(tmp_path, seed=1)
    write(tmp_path, seed=2, extra={"a": 1, "b": 2})
    records = find(tmp_path)
    assert [r.config["seed"] for r in matching(records, ["seed=1", "extra.a=1"])] == []
    assert [r.config["seed"] for r in matching(records, ["extra.a!=1"])] == [1]
    assert [r.config["seed"] for r in matching(records, ["extra.a=-"])] == [1]  # as tables show it
    assert [r.config["seed"] for r in matching(records, ["extra.a!=-"])] == [2]
    assert [r.config["seed"] for r in matching(records, ["extra.a=*"])] == [2]
    with pytest.raises(UserError, match=r"contains several keys; give one of them: extra\.a, extra\.b"):
        matching(records, ["extra=1"])


def test_words_and_terms_in_any_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a=b").mkdir()
    assert words_and_terms(["seed=1", "there", "x<2", "last"]) == (["there", "last"], ["seed=1", "x<2"])
    assert words_and_terms(["a=b"]) == (["a=b"], [])
    assert words_and_terms([]) == ([], [])
    assert is_term("optimizer.lr<=1e-3")
    assert not is_term("runs/a")


def test_what_is_stale(records: list[Record]) -> None:
    changed = {_label(record): version_changes(record) for record in records}
    assert [name for name, changes in changed.items() if changes] == ["rnn1"]
    assert changed["rnn1"][1].startswith("torch 1.0 -> ")


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=8), st.floats(-1e6, 1e6))
def test_less_equal_and_greater_partition_the_runs(rates: list[float], limit: float) -> None:
    records = [Record(Path(str(i)), {"config": config(lr=rate)}) for i, rate in enumerate(rates)]
    parts = [
        [r for r in records if Term.parse(f"optimizer.lr{s}{limit!r}").holds(r)] for s in ("<", "=", ">")
    ]
    assert sorted(str(r.folder) for part in parts for r in part) == [str(i) for i in range(len(rates))]
    assert len(parts[0]) == sum(rate < limit for rate in rates)

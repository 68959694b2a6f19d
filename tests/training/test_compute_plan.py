"""The compute plan of a run: a trial that leaves no trace, a record that is replayed, a watch.

What is fastest is said by the test in place of the clock; that the trial's steps are taken is not left out.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import test_resume
import torch
from lightning.pytorch import Trainer
from test_resume import OFTEN, broken, differences

from leyden.callbacks import compute_plan
from leyden.callbacks.compute_plan import ComputePlan
from leyden.config.compose import compose
from leyden.config.validate import check
from leyden.data.batch import Batch
from leyden.inference.evaluate import evaluate
from leyden.modules.classification import Classifier
from leyden.modules.compute_plan import Plan
from leyden.profiling import plan_trial
from leyden.profiling.plan_trial import Tried
from leyden.runs.fingerprint import identity
from leyden.runs.result import threads_used
from leyden.sweeps import worker_pool
from leyden.training.job import Outcome, train
from leyden.utils import cpu_load, tensors
from leyden.utils.random_state import rng_state

Tiny = Callable[..., list[str]]
nothing_slow = test_resume.nothing_slow

NET = [
    "data=planted_images",
    "data.source.samples=230",
    "data.source.size=12",
    "model=cnn",
    "model.net.widths=[4,8]",
]
QUICK = ["trainer=cpu", "trainer.max_epochs=2", "batch_size=16", "logger=none", "augment=crop_flip"]
WORDS = [*NET, "model.net.dropout=0.3", *QUICK]
EPOCH = 10  # steps
REAL = pytest.mark.parametrize("threads", ["counted", pytest.param("real", marks=pytest.mark.slow)])
ONE_OTHER = Plan(1, channels_last=False)  # the net's own is channels_last


@pytest.fixture(autouse=True)
def here(request: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A working folder of its own; at most two threads, both of whose cores are free.

    The threads are only counted where the test is not marked slow: two of them crawl beside other processes.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.setattr(plan_trial, "_ENOUGH", float("inf"))
    monkeypatch.setattr(cpu_load, "free_cores", lambda: 2.0)
    threads = torch.get_num_threads()
    if request.node.get_closest_marker("slow") is None:
        torch.set_num_threads(1)
        counted = [1]
        monkeypatch.setattr(torch, "set_num_threads", lambda n: counted.append(n))
        monkeypatch.setattr(torch, "get_num_threads", lambda: counted[-1])
    yield
    monkeypatch.undo()
    torch.set_num_threads(threads)


@pytest.fixture
def fastest(monkeypatch: pytest.MonkeyPatch) -> Callable[[Plan], list[Plan]]:
    """Let trials find this plan to be the fastest, for runs of any length; returns the plans that are tried."""

    def let(best: Plan) -> list[Plan]:
        tried: list[Plan] = []

        def race(
            ways: Mapping[Plan, Callable[[], None]], budget: float, share: float
        ) -> dict[Plan, list[float]]:
            for plan, step in ways.items():
                step()
                tried.append(plan)
            far = {plan: sum(a != b for a, b in zip(plan, best, strict=True)) for plan in ways}
            return {plan: [1e-3 * (1 + steps)] for plan, steps in far.items()}

        monkeypatch.setattr(compute_plan, "FEWEST_STEPS", 0)
        monkeypatch.setattr(plan_trial, "race", race)
        return tried

    return let


def computed(outcome: Outcome) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((outcome.folder / "result.json").read_text())["compute"]
    return found


# --- the trial leaves no trace ---


@REAL
def test_auto_that_ends_at_the_plain_plan_is_the_plain_run_bit_for_bit(fastest: Any, threads: str) -> None:
    tried = fastest(Plan(2))
    auto, plain = train(WORDS), train([*WORDS, "compute=plain"])
    assert {Plan(1), Plan(2), Plan(2, channels_last=False)} == set(tried)
    assert computed(auto)["threads"] == computed(plain)["threads"] == 2
    assert differences(auto.folder, plain.folder) == []


def whole(value: Any) -> Any:
    """A copy whose tensors are lists, which can be compared."""
    if isinstance(value, Mapping):
        return {key: whole(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [whole(inner) for inner in value]
    return value.tolist() if torch.is_tensor(value) else value


class Noted:
    """What there is of a training, before anything is tried and after."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: list[dict[str, Any]] = []
        original = compute_plan.try_plans

        def noting(trainer: Trainer, module: Any, *more: Any) -> Tried:
            self.seen.append(self._of(trainer, module))
            found = original(trainer, module, *more)
            self.seen.append(self._of(trainer, module))
            assert found.seconds, found.why_not
            return found

        monkeypatch.setattr(compute_plan, "try_plans", noting)

    @staticmethod
    def _of(trainer: Trainer, module: Any) -> dict[str, Any]:
        loader: Any = trainer.train_dataloader
        return {
            "weights and buffers": {k: v.tolist() for k, v in module.state_dict().items()},
            "formats": [p.stride() for p in module.parameters()],
            "optimizer": whole(trainer.optimizers[0].state_dict()),
            "random": whole(rng_state()),
            "gradients": [p.grad is None for p in module.parameters()],
            "modes": [part.training for part in module.modules()],
            "sums": module.means.state().tolist(),
            "position": loader.state_dict(),
            "threads": torch.get_num_threads(),
        }


def test_a_trial_leaves_no_trace(fastest: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither before the first step nor between epochs: weights, buffers, optimizer, random numbers, position, sums."""
    noted = Noted(monkeypatch)
    fastest(Plan(2))
    monkeypatch.setattr(compute_plan, "_LEAST_SECONDS", 0.0)
    monkeypatch.setattr(compute_plan, "SLOWER", 0.0)  # every epoch but the first is tried again
    train([*WORDS, "trainer.max_epochs=3", "optimizer=sgd"])
    assert len(noted.seen) == 4
    for before, after in zip(noted.seen[::2], noted.seen[1::2], strict=True):
        assert before == after


class Uncopied(Classifier):
    """Cannot be copied."""

    def __deepcopy__(self, memo: Any) -> Any:
        raise TypeError("one of a kind")


def test_what_cannot_be_tried_is_trained_by_the_rule(
    fastest: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    fastest(Plan(1))
    outcome = train([*WORDS, f"model.module._target_={__name__}.Uncopied"])
    assert outcome.status == "complete"
    assert computed(outcome)["threads"] == 2
    assert "no trial: TypeError" in computed(outcome)["reason"]
    assert "compute 2 threads (2.0 of 2 cores free; no trial: TypeError)" in capsys.readouterr().out


# --- the record, and resuming ---


def test_the_plan_stands_in_the_result_and_in_the_checkpoint(
    fastest: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    fastest(ONE_OTHER)
    outcome = train(WORDS)
    found = computed(outcome)
    assert (found["threads"], found["memory_format"], found["changes"]) == (1, "contiguous", [])
    assert found["seconds"] == {"1 thread": 0.002, "2 threads": 0.003, "1 thread, contiguous": 0.001}
    state = tensors.load(outcome.folder / "checkpoints" / "last.ckpt")
    assert state["callbacks"]["ComputePlan"] == found
    said = "compute 1 thread, contiguous (1 ms a step; 1 thread 2; 2 threads 3)"
    assert said in capsys.readouterr().out.replace("\n", " ")


@pytest.mark.parametrize(
    "kills",
    [
        [("validation", EPOCH)],
        pytest.param(
            [("saving", 5), ("validation", EPOCH), ("evaluation", 2 * EPOCH)], marks=pytest.mark.slow
        ),
    ],
    ids=str,
)
def test_a_resumed_run_has_the_plan_of_its_checkpoint_and_tries_nothing(
    fastest: Any, kills: list[tuple[str, int]]
) -> None:
    """Wherever it dies, and although another plan would be faster by then."""
    fastest(ONE_OTHER)
    straight = train(WORDS)
    words = [*WORDS, OFTEN, "runs=broken"]
    test_resume.kill(words, "step", 3)
    tried = fastest(Plan(2))
    resumed = broken(words, *kills)
    assert tried == []
    assert differences(straight.folder, resumed.folder) == []


@REAL
def test_changes_of_the_threads_are_replayed_at_their_steps(
    monkeypatch: pytest.MonkeyPatch, threads: str
) -> None:
    change = {"epoch": 0, "step": EPOCH, "threads": 1, "reason": "test"}
    record = {"threads": 2, "memory_format": "contiguous", "precision": "32-true", "compiled": False}
    monkeypatch.setattr(ComputePlan, "replayed", {**record, "changes": [change]})
    used: dict[int, int] = {}

    def noted(self: Any, batch: Batch, batch_idx: int) -> Any:
        used[self.trainer.global_step] = torch.get_num_threads()
        return original(self, batch, batch_idx)

    original = Classifier.training_step
    monkeypatch.setattr(Classifier, "training_step", noted)
    straight = train(WORDS)
    assert used == {step: 2 if step < EPOCH else 1 for step in range(2 * EPOCH)}
    assert computed(straight)["changes"] == [change]
    assert threads_used(computed(straight)) == [2, 1]
    resumed = broken([*WORDS, OFTEN, "runs=broken"], ("step", 3), ("epoch", EPOCH), ("step", EPOCH + 2))
    assert differences(straight.folder, resumed.folder) == []


def test_with_fewer_cores_a_resumed_run_has_fewer_threads_and_says_so(
    fastest: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fastest(Plan(2))
    words = [*WORDS, OFTEN]
    test_resume.kill(words, "step", 3)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    (change,) = computed(train(words))["changes"]
    assert (change["step"], change["threads"], change["reason"]) == (2, 1, "resumed")


def test_a_run_is_evaluated_again_with_its_own_threads(fastest: Any) -> None:
    fastest(Plan(1))
    outcome = train(WORDS)
    torch.set_num_threads(2)
    again = evaluate(outcome.folder, say=lambda _: None)
    assert torch.get_num_threads() == 1
    assert again["test"]["values"]["log_loss"] == outcome.result["metrics"]["test"]["values"]["log_loss"]


# --- when there is a trial ---


def chosen(words: list[str], steps: int = 0, device_type: str = "cpu") -> ComputePlan:
    """What is chosen for a net with a convolution."""
    device = SimpleNamespace(root_device=torch.device(device_type))
    trainer: Any = SimpleNamespace(
        strategy=device, world_size=1, accumulate_grad_batches=1, is_global_zero=True
    )
    module: Any = torch.nn.Conv2d(1, 1, 1)
    config = check(compose([*WORDS, *words]))
    made = ComputePlan(config, config.threads or 2, steps, batch=16)
    made._choose(trainer, module)
    return made


@pytest.mark.parametrize(
    "words",
    [
        ["compute=plain"],
        ["threads=1"],
        ["threads=2", "compute.memory_format=channels_last"],
        ["compute=plain", "compute.memory_format=channels_last", "compute.compile=true"],
    ],
    ids=" ".join,
)
def test_what_is_asked_for_is_not_tried(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(compute_plan, "try_plans", None)
    found, asked = chosen(words, steps=10**6), dict(word.split("=") for word in words)
    assert found.plan.threads == int(asked.get("threads", 2))
    assert found.record["memory_format"] == asked.get("compute.memory_format", "own")
    assert found.record["compiled"] is ("compute.compile" in asked)
    assert found.record["reason"] == "as asked for"
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("free", "threads"), [(0.0, 1), (0.9, 1), (1.4, 1), (1.6, 2), (2.0, 2), (None, 2)])
def test_a_short_run_tries_nothing_and_has_a_thread_for_each_free_core(
    free: float | None, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu_load, "free_cores", lambda: free)
    monkeypatch.setattr(compute_plan, "try_plans", None)
    found = chosen([], steps=compute_plan.FEWEST_STEPS - 1)
    assert found.plan == Plan(threads)
    assert "999 steps: too few for a trial" in found.record["reason"]


def test_a_trial_has_a_second_or_its_share_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever is less; the threads come first, from one to the most, then the memory format."""
    seen: list[Any] = []

    def noted(trainer: Any, module: Any, stages: Any, start: Plan, size: int, allowed: Any) -> Tried:
        seen.append([[stage(start) for stage in stages], size, allowed(0.001), allowed(1.0)])
        return Tried(start, {start: 1.0})

    monkeypatch.setattr(compute_plan, "try_plans", noted)
    chosen([], steps=2000)
    stages = [[Plan(1), Plan(2)], [Plan(2), Plan(2, channels_last=True)]]
    assert seen == [[stages, 16, pytest.approx(0.06), 1.0]]


def test_bf16_is_tried_where_it_is_allowed_and_not_kept_for_evaluation(fastest: Any) -> None:
    tried = fastest(Plan(2, bf16=True))
    words = [*WORDS, "trainer.max_epochs=1"]
    assert not any(plan.bf16 for plan in tried)
    outcome = train([*words, "compute.allow=[bf16]"])
    assert computed(outcome)["precision"] == "bf16-mixed"
    assert any(plan.bf16 for plan in tried)
    again = evaluate(outcome.folder, say=lambda _: None)
    assert again["test"]["values"]["log_loss"] == outcome.result["metrics"]["test"]["values"]["log_loss"]


def test_a_job_of_a_sweep_has_its_share_of_the_cores(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of two cores one for each of two jobs at once: no number of threads is left to try."""
    monkeypatch.setattr(worker_pool, "available_cores", lambda: 2)
    monkeypatch.setattr(worker_pool, "_gpus", lambda: [])
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert worker_pool._share(1, at_once=2)["OMP_NUM_THREADS"] == "3"
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setenv("OMP_NUM_THREADS", worker_pool._share(1, at_once=2)["OMP_NUM_THREADS"])
    monkeypatch.setattr(compute_plan, "try_plans", None)
    base = ["data=planted_images", "data.source.samples=60", "data.source.size=12", "model=mlp", *QUICK]
    found = computed(train(base))
    assert (found["threads"], found["reason"]) == (1, "as asked for")
    assert "compute " not in capsys.readouterr().out


def test_a_net_that_is_to_be_compiled_is_not_tried(fastest: Any) -> None:
    tried = fastest(ONE_OTHER)
    found = chosen(["compute.compile=true"])
    assert tried == []
    assert found.plan == Plan(2, compiled=True)
    assert found.record["reason"] == "2.0 of 2 cores free; a compiled net is not tried"


@pytest.mark.slow
def test_a_compiled_net_is_trained_and_evaluated_as_it_is() -> None:
    outcome = train([*WORDS, "compute.compile=true", "trainer.max_epochs=1"])
    assert outcome.status == "complete"
    assert computed(outcome)["compiled"] is True
    again = evaluate(outcome.folder, say=lambda _: None)
    assert again["test"]["values"]["log_loss"] == outcome.result["metrics"]["test"]["values"]["log_loss"]


def test_a_compiled_net_is_tried_where_it_is_allowed(fastest: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[object] = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda net: compiled.append(net))
    tried = fastest(Plan(2, compiled=True))
    words = [*WORDS, "trainer.max_epochs=1"]
    train([*words, "seed=2"])
    assert not any(plan.compiled for plan in tried)
    outcome = train([*words, "compute.allow=[compile]"])
    assert computed(outcome)["compiled"] is True
    assert Plan(2, compiled=True) in tried
    assert len(compiled) >= 2, "the copy of the trial, and the run"


@pytest.mark.parametrize(
    ("words", "device", "steps", "is_tried"),
    [
        ([], "cuda", 10_000, True),
        ([], "cuda", 9_000, False),
        ([], "cpu", 10_000, False),
        (["compute=plain"], "cuda", 10_000, False),
        (["compute.allow=[compile]"], "cpu", 2_000, True),
        (["compute.compile=true"], "cuda", 10_000, False),
    ],
)
def test_compilation_is_tried_on_a_gpu_by_a_run_that_pays_for_it(
    words: list[str], device: str, steps: int, is_tried: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a minute, about, is at most 3 % of the training: 10,000 steps of .1 s."""
    plans: list[Plan] = []

    def noted(trainer: Any, module: Any, stages: Any, start: Plan, size: int, allowed: Any) -> Tried:
        allowed(0.1)
        plans.extend(plan for stage in stages for plan in stage(start))
        return Tried(start, {start: 1.0})

    monkeypatch.setattr(compute_plan, "try_plans", noted)
    chosen(words, steps, device)
    assert any(plan.compiled for plan in plans) is is_tried


def test_a_compilation_that_fails_leaves_what_was_measured(
    fastest: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fastest(ONE_OTHER)

    def fail(net: object) -> None:
        raise RuntimeError("no compiler")

    monkeypatch.setattr(torch.nn.Module, "compile", fail)
    outcome = train([*WORDS, "trainer.max_epochs=1", "compute.allow=[compile]"])
    found = computed(outcome)
    assert (found["threads"], found["memory_format"], found["compiled"]) == (1, "contiguous", False)
    assert found["reason"].endswith("; no trial: RuntimeError")


@pytest.mark.parametrize(
    ("device_type", "words", "is_kept"),
    [
        ("cpu", [], False),
        ("cuda", [], True),
        ("cuda", ["compute=plain"], False),
        ("cpu", ["compute.allow=[compile]"], True),
        ("cpu", ["compute=plain", "compute.compile=true"], True),
    ],
)
def test_a_compiled_net_goes_on_compiled_where_it_may_be(
    device_type: str, words: list[str], is_kept: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    record = {"threads": 1, "memory_format": "own", "precision": "32-true", "compiled": True, "changes": []}
    device = SimpleNamespace(root_device=torch.device(device_type), precision_plugin=None)
    trainer: Any = SimpleNamespace(
        strategy=device, precision_plugin=None, optimizers=[], is_global_zero=True, world_size=1
    )
    watch = ComputePlan(check(compose([*WORDS, *words])), most=1, steps=100, batch=16)
    watch.load_state_dict(record)
    watch.on_ready(trainer, torch.nn.Linear(1, 1))  # type: ignore[arg-type]
    assert watch.plan.compiled is is_kept
    assert watch.record["compiled"] is is_kept
    assert ("torch.compile is off now" in capsys.readouterr().out) is not is_kept


@pytest.mark.slow
def test_a_compiled_net_is_tried_and_the_faster_one_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compute_plan, "FEWEST_STEPS", 0)
    monkeypatch.setattr(compute_plan, "SHARE", 10.0)
    outcome = train([*WORDS, "threads=1", "compute.allow=[compile]", "trainer.max_epochs=1"])
    found = computed(outcome)
    times = found["seconds"]
    assert set(times) == {"1 thread", "1 thread, compiled"}
    if found["compiled"]:
        assert times["1 thread, compiled"] < times["1 thread"]


# --- the watch ---


class Fit:
    """A fit of 9 epochs, with a clock and a trial of the test's own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.step, self.best, self.tried = 0.0, 0, 2, list[float]()
        monkeypatch.setattr(compute_plan, "time", SimpleNamespace(perf_counter=lambda: self.now))
        monkeypatch.setattr(compute_plan, "try_plans", self._try)
        self.watch = ComputePlan(check(compose(["data=digits", "model=mlp"])), most=2, steps=900, batch=64)
        self.watch.load_state_dict(
            {"threads": 2, "memory_format": "own", "precision": "32-true", "changes": []}
        )
        self.watch._free = 2.0

    def _try(self, trainer: Any, module: Any, stages: Any, start: Plan, size: int, allowed: Any) -> Tried:
        self.tried.append(allowed(1.0))
        plans = stages[0](start)
        return Tried(Plan(self.best), {plan: 1.0 if plan.threads == self.best else 2.0 for plan in plans})

    def epoch(self, seconds: float, validation: float = 0.0) -> None:
        """One of 100 steps."""
        device = SimpleNamespace(root_device=torch.device("cpu"))
        trainer: Any = SimpleNamespace(
            **{
                "global_step": self.step,
                "world_size": 1,
                "strategy": device,
                "current_epoch": self.step // 100,
            },
            **{"accumulate_grad_batches": 1, "is_global_zero": True, "lightning_module": None},
        )
        module: Any = None
        self.watch.on_train_epoch_start(trainer, module)
        self.now += seconds
        self.watch.on_validation_start(trainer, module)
        self.now += validation
        self.watch.on_validation_end(trainer, module)
        self.step = trainer.global_step = self.step + 100
        self.watch.on_epoch_done(trainer)


@pytest.fixture
def fit(monkeypatch: pytest.MonkeyPatch) -> Fit:
    return Fit(monkeypatch)


def test_much_slower_steps_have_the_threads_tried_again(fit: Fit, capsys: pytest.CaptureFixture[str]) -> None:
    for seconds in (10, 11, 14):
        fit.epoch(seconds, validation=100)
    assert fit.tried == []
    fit.best = 1
    fit.epoch(16)
    (change,) = fit.watch.record["changes"]
    assert (change["step"], change["epoch"], change["threads"]) == (
        400,
        3,
        1,
    )
    assert torch.get_num_threads() == 1
    assert change["reason"] == "slower steps: 1e+03 ms a step; 2 threads 2e+03"
    assert "compute 1 thread from here on (slower steps" in capsys.readouterr().out
    fit.epoch(16)  # as it is now
    assert len(fit.tried) == 1


def test_a_trial_that_changes_nothing_is_not_repeated_each_epoch(fit: Fit) -> None:
    for seconds in (10, 16, 16, 16):
        fit.epoch(seconds)
    assert len(fit.tried) == 1
    assert fit.watch.record["changes"] == []


def test_cores_that_become_free_have_the_threads_tried_again(
    fit: Fit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps of one thread do not become faster then, so only the load tells."""
    fit.watch.plan, fit.watch._free = Plan(1), 1.0
    monkeypatch.setattr(cpu_load, "free_cores", lambda: 1.2)
    fit.epoch(10)
    assert fit.tried == []
    monkeypatch.setattr(cpu_load, "free_cores", lambda: 1.9)
    fit.epoch(10)
    assert fit.watch.plan.threads == 2
    assert fit.watch.record["changes"][0]["reason"].startswith("more free cores")


def test_a_trial_takes_at_most_its_share_of_the_time_since_the_last(fit: Fit) -> None:
    fit.epoch(0.5)
    fit.epoch(1.0)
    assert fit.tried == []  # 3 % of 1.5 s: not worth beginning
    fit.epoch(2.0)
    assert fit.tried == [pytest.approx(0.03 * 3.5)]
    fit.epoch(100)
    assert fit.tried[1:] == [1.0]


def test_the_last_epoch_is_followed_by_none(fit: Fit) -> None:
    fit.step = 700
    fit.epoch(10)
    fit.epoch(100)
    assert fit.tried == []


# --- the fingerprint ---


def test_the_fingerprint_holds_what_was_asked() -> None:
    """Not what was found: auto, which is the default, adds nothing to it."""
    asked = ["compute=auto", "compute=plain", "compute.memory_format=channels_last", "compute.allow=[bf16]"]
    found = [identity(check(compose([*WORDS, word])), "data") for word in (*asked, "threads=1")]
    assert found[0] == identity(check(compose(WORDS)), "data")
    assert len(set(found)) == 5

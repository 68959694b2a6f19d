"""What is made of a job that Ray has run; a stand-in for Ray, which need not be installed."""

from types import SimpleNamespace

from hydra.core.utils import JobStatus
from omegaconf import OmegaConf

from leyden.sweeps import ray_launcher


def test_the_words_of_a_job_are_not_resolved() -> None:
    words = ["head.scale=${nowhere}", "seed=2"]
    cfg = OmegaConf.create({"hydra": {"overrides": {"task": words}}})
    ray = SimpleNamespace(get=lambda ref: ("complete", ref))
    outcome = ray_launcher._result(ray, "done", cfg)
    assert outcome.overrides == words
    assert outcome.status == JobStatus.COMPLETED
    assert outcome.return_value == ("complete", "done")

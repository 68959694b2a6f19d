"""Tags and charts of TensorBoard, read back from event files."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.util import tensor_util

from leyden.callbacks.tensorboard_tags import layout, tag
from leyden.training.job import train

Tiny = Callable[..., list[str]]


def read(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder), {"scalars": 0, "tensors": 0, "images": 0}).Reload()


def charts(events: EventAccumulator) -> dict[str, dict[str, list[str]]]:
    """Category -> title -> the scalars' tags that its patterns choose."""
    (stored,) = events.Tensors("custom_scalars__config__")
    found = layout_pb2.Layout()
    found.ParseFromString(tensor_util.make_ndarray(stored.tensor_proto).item())
    scalars = events.Tags()["scalars"]
    return {
        category.title: {
            chart.title: [t for t in scalars if any(re.match(p, t) for p in chart.multiline.tag)]
            for chart in category.chart
        }
        for category in found.category
    }


def test_the_groups_stand_in_the_order_in_which_a_person_looks() -> None:
    names = ["health/dead/a", "val/mcc", "lr", "val/loss", "recall/cat", "train/accuracy", "val/accuracy"]
    shown = sorted(tag(name, "val/accuracy") for name in names)
    assert shown == [
        *("1 loss/val", "2 watched/train/accuracy", "2 watched/val/accuracy", "3 learning rate/lr"),
        *("4 metrics/val/mcc", "5 recall/cat", "6 health/dead/a"),
    ]
    assert tag("val/accuracy", "val/loss") == "4 metrics/val/accuracy"
    assert tag("own/loss_step", "val/loss") == "own/loss_step"
    assert len({tag(name, "val/accuracy") for name in [*names, "val/accuracy_step"]}) == len(names) + 1


def test_charts_are_of_what_was_logged_alone() -> None:
    assert layout([tag("val/hits", "val/hits")]) == {
        "training": {"hits (watched)": ["Multiline", [r"2 watched/(train|val)/hits$"]]}
    }


def test_a_run_has_its_curves_under_these_tags_and_no_epoch(tiny: Tiny) -> None:
    folder = train(tiny("logger=tensorboard", "trainer.log_every_n_steps=3")).folder
    events = read(folder)
    tags = events.Tags()["scalars"]
    assert {"1 loss/train", "1 loss/val", "1 loss/train_step", "2 watched/val/accuracy"} <= set(tags)
    assert not any("epoch" in t for t in tags)
    assert not [t for t in tags if t.startswith(("val/", "train/", "health/"))]
    for name in tags:
        steps = [e.step for e in events.Scalars(name)]
        assert steps == sorted(set(steps)), name
    header = (folder / "metrics.csv").read_text().splitlines()[0]
    assert "val/accuracy" in header  # the file keeps the logged names
    assert "watched" not in header


def test_train_and_validation_loss_share_a_chart_and_so_do_the_layers(tiny: Tiny) -> None:
    events = read(train(tiny("logger=tensorboard")).folder)
    found = charts(events)
    assert list(found) == ["training", "metrics", "recall", "health"]
    assert found["training"]["loss"] == ["1 loss/val", "1 loss/train"]
    assert list(found["training"])[:3] == ["loss", "accuracy (watched)", "learning rate"]
    assert len(found["health"]) <= 4
    assert len(found["health"]["gradient norm of each layer"]) > 1
    shown = [t for category in found.values() for chosen in category.values() for t in chosen]
    logged = [t for t in events.Tags()["scalars"] if t[0].isdigit()]
    assert sorted(shown) == sorted(logged)  # each in one chart


@pytest.mark.parametrize("detail", ["auto", "light", "full"])
def test_the_detail_changes_no_curve(tiny: Tiny, detail: str) -> None:
    plain = read(train(tiny("logger=tensorboard")).folder)
    other = read(
        train(tiny("logger=tensorboard", f"logger.tensorboard.detail={detail}", "runs=other")).folder
    )
    for name in ("1 loss/train", "1 loss/val", "2 watched/val/accuracy"):
        assert [e.value for e in other.Scalars(name)] == [e.value for e in plain.Scalars(name)]

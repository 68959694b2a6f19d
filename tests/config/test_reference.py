"""`leyden list GROUP OPTION`, what it is made of, and docs/reference.md, which must not go stale."""

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from leyden.cli.list import SCHEMAS
from leyden.cli.main import main
from leyden.config.compose import config_loader
from leyden.config.options import GROUPS
from leyden.config.reference import Argument, Option, describe_groups, describe_option
from leyden.config.signatures import parameters_of
from leyden.config.validate import PROVIDED
from leyden.reporting.reference_page import reference_page
from leyden.utils.errors import UserError

PAGE = Path(__file__).parents[2] / "docs" / "reference.md"


@pytest.fixture(scope="module")
def every() -> dict[str, list[Option]]:
    return describe_groups(SCHEMAS)


def described(group: str, name: str, config_dirs: Sequence[str] = ()) -> Option:
    with config_loader(config_dirs) as loader:
        return describe_option(loader, group, name, SCHEMAS)


def rows(option: Option) -> dict[str, Argument]:
    return {argument.name: argument for argument in option.arguments}


# --- Leyden's options ---


def test_a_loss_its_default_and_its_range() -> None:
    option = described("loss", "focal")
    assert option.file.path.endswith("conf/loss/focal.yaml")
    assert option.arguments == (Argument("loss.gamma", "number, 0 or more", "1.0"),)


def test_the_yaml_goes_before_the_signature_and_nested_targets_are_included() -> None:
    found = rows(described("loss", "class_balanced_focal"))
    assert list(found) == ["loss.loss", "loss.loss.gamma", "loss.scheme", "loss.beta"]
    assert found["loss.loss"].default == "FocalSigmoid"
    assert found["loss.loss.gamma"].default == "0.5"
    assert found["loss.loss.gamma"].is_set
    assert found["loss.scheme"].type == "inverse, square_root or effective_number"
    assert found["loss.scheme"].meaning == "how the weight decreases with the count"


def test_facts_are_listed_apart() -> None:
    assert described("loss", "balanced_softmax").filled_lines == ["filled in: class_counts"]
    option = described("model", "cnn")
    assert "filled in (model.net): num_outputs, in_channels" in option.filled_lines
    assert not {"model.net.num_outputs", "model.module.net"} & rows(option).keys()
    assert {"model.net.widths", "model.net.dropout", "model.module.l1", "model.frontend.by"} <= rows(
        option
    ).keys()


def test_what_must_be_given_and_keys_that_no_signature_has() -> None:
    found = rows(described("data", "image_folder"))
    assert found["data.source.root"].default == "required"
    assert found["data.source.size"].type == "integer, 1 or more, or null"
    assert found["data.limit_gb"] == Argument(
        "data.limit_gb", "number, above 0", "8.0", found["data.limit_gb"].meaning
    )
    assert "GB" in found["data.limit_gb"].meaning
    assert "data.tokenizer" not in found, "no place of a target is a value"
    assert "data.tokenizer.vocab_size" in rows(described("data", "text_table"))


def test_a_group_in_a_group_and_targets_under_names(every: dict[str, list[Option]]) -> None:
    assert rows(described("data/tokenizer", "word_shapes"))["data.tokenizer.shapes"].default == "true"
    named = [o for o in every["augment"] if "leyden.data.transforms.image.RandomCrop" in o.targets.values()]
    assert named
    for option in named:
        (path,) = (p for p, name in option.targets.items() if name.endswith(".RandomCrop"))
        assert rows(option)[f"{path}.padding"].type == "integer, 1 or more"


def test_the_trainer_has_all_of_lightnings_arguments() -> None:
    from lightning.pytorch import Trainer

    option = described("trainer", "cpu")
    assert {f"trainer.{n}" for n in parameters_of(Trainer) if n not in PROVIDED["trainer"]} == rows(
        option
    ).keys()
    assert (
        rows(option)["trainer.max_epochs"].type == "integer, from 1 to 100000"
    )  # Leyden's range, not Lightning's hint
    assert rows(option)["trainer.accelerator"].default == "cpu"
    assert "epochs" in rows(option)["trainer.max_epochs"].meaning


def test_an_experiment_is_what_it_chooses_and_sets() -> None:
    found = {name: a.default for name, a in rows(described("experiment", "mnist_keras")).items()}
    assert found == {"data": "mnist", "model": "keras_cnn", "batch_size": "32", "trainer.max_epochs": "10"}
    assert rows(described("experiment", "fsdd_speakers"))["experiment"].default == "fsdd"


def test_a_comment_behind_a_key_explains_where_no_docstring_does() -> None:
    assert rows(described("experiment", "cifar10_lt"))["monitor"].meaning.startswith("as published")
    with config_loader() as loader:  # without the schema, whose docstring says it otherwise
        plain = rows(describe_option(loader, "sweep", "optuna"))
    assert "grid" in plain["sweep.sampler"].meaning
    assert "grid" in rows(described("sweep", "optuna"))["sweep.sampler"].type


def test_every_option_is_described_and_can_be_typed(every: dict[str, list[Option]]) -> None:
    assert tuple(every) == GROUPS
    for options in every.values():
        for option in options:
            names = [argument.name for argument in option.arguments]
            assert len(names) == len(set(names)), option.name
            assert option.file.comments, option.name
            filled = {f"{path}.{name}" for path, names in option.filled.items() for name in names}
            assert not filled & set(names), option.name
            for argument in option.arguments:
                assert option.file.is_global or argument.name.startswith(f"{option.group.replace('/', '.')}.")
                assert "<factory>" not in argument.default
                assert not re.search(r":\w+:`|\n| {2}", argument.meaning), argument


# --- the page ---


def test_the_page_in_docs_is_what_conf_and_the_signatures_say(every: dict[str, list[Option]]) -> None:
    assert PAGE.read_text(encoding="utf-8") == reference_page(every), "run scripts/reference.py"


def test_the_page_shows_each_option_once_and_cuts_what_lightning_documents(
    every: dict[str, list[Option]],
) -> None:
    page = reference_page(every)
    headings = re.findall(r"^### (.*)$", page, re.MULTILINE)
    assert headings == [f"{group}={option.name}" for group in every for option in every[group]]
    assert re.findall(r"^## (.*)$", page, re.MULTILINE) == list(every)
    assert "`trainer.max_epochs`" in page
    assert "trainer.barebones" not in page
    assert "see `lightning.pytorch.Trainer`" in page
    assert page.count("| `health.spike` |") == 1, "what all options share is said once"
    assert str(Path.cwd()) not in page


# --- own options, and what is wrong ---

NET = '''
class Net:
    """Mine.

    Args:
        width: of the hidden layer.
    """

    def __init__(self, num_classes: int, width: int = 8) -> None:
        pass
'''


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*sys.path])
    conf = tmp_path / "lab" / "conf"
    (conf / "model").mkdir(parents=True)
    (conf / "zoo").mkdir()
    (conf / "experiment").mkdir()
    (tmp_path / "lab" / "own_reference_net.py").write_text(NET)
    (conf / "model" / "mine.yaml").write_text(
        "# My net.\nname: mine\nnet: {_target_: own_reference_net.Net, width: 16}\n"
    )
    (conf / "experiment" / "both.yaml").write_text(
        "# @package _global_\n# Both.\ndefaults:\n  - _self_\n  - override /callbacks: [a, b]\n"
    )
    (conf / "zoo" / "animal.yaml").write_text("# An animal.\nlegs: 4 # as many as it stands on\n")
    yield "lab/conf"
    sys.modules.pop("own_reference_net", None)


def test_an_own_option_is_shown_with_its_file(lab: str, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["model", "mine", "--config-dir", lab], ["model", f"--config-dir={lab}", "mine"]):
        assert main(["list", *words]) == 0
        said = capsys.readouterr().out
        assert said.splitlines()[:2] == ["My net.", "(lab/conf/model/mine.yaml)"]
        assert re.search(r"model\.net\.width +integer +16 +of the hidden layer", said)
        assert "filled in: num_classes" in said


def test_an_own_group_is_shown_as_it_is(lab: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "zoo", "animal", "--config-dir", lab]) == 0
    assert re.search(r"zoo\.legs +4 +as many as it stands on", capsys.readouterr().out)


def test_an_experiment_may_choose_several_options_of_a_group(lab: str) -> None:
    assert described("experiment", "both", [lab]).arguments == (Argument("callbacks", "", "[a,b]"),)


def test_an_option_of_an_installed_package_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    package, info = tmp_path / "own_reference_pkg", tmp_path / "own_reference_pkg-1.0.dist-info"
    option = package / "conf" / "model" / "packed_here.yaml"
    for folder in (option.parent, info):
        folder.mkdir(parents=True)
    option.write_text("# From a package.\nname: packed_here\nnet: {_target_: own_reference_pkg.Net}\n")
    (package / "__init__.py").write_text(NET)
    (package / "conf" / "__init__.py").touch()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: own-reference-pkg\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[leyden.conf]\nown = own_reference_pkg.conf\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert main(["list", "model", "packed_here"]) == 0
    said = capsys.readouterr().out
    assert said.splitlines()[:2] == ["From a package.", "(own_reference_pkg.conf/model/packed_here.yaml)"]
    assert re.search(r"model\.net\.width +integer +8 +of the hidden layer", said)


def test_an_option_without_arguments_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "callbacks", "none"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "It takes no arguments."


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["loss", "focl"], "loss=focl: there is no such option; did you mean 'focal'?"),
        (["trainer", "_base"], "trainer=_base: there is no such option"),
        (["los", "focal"], "did you mean 'loss'"),
        (["data/tokenizer", "words"], "did you mean 'word'"),
        (["loss", "focal", "more"], "more"),
    ],
)
def test_a_wrong_name_is_one_message_and_status_2(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["list", *words]) == 2
    said = capsys.readouterr()
    assert told in said.err
    assert said.err.count("\n") == 1
    assert not said.out


def test_an_option_whose_target_is_not_there_names_the_key(lab: str) -> None:
    Path(lab, "model", "lost.yaml").write_text(
        "# Lost.\nname: lost\nnet: {_target_: own_reference_net.Nett}\n"
    )
    with pytest.raises(UserError, match=r"model\.net\._target_=own_reference_net\.Nett"):
        described("model", "lost", [lab])

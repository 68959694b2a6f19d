"""What a process may ask of its machine: CPU threads, memory."""

import subprocess
import sys
from pathlib import Path

import pytest

from leyden.utils import runtime
from leyden.utils.errors import UserError


@pytest.mark.parametrize(
    ("processes", "said"), [(3, ""), (4, "4 at once on 3 CPU cores"), (12, "12 at once")]
)
def test_more_threads_than_cores_are_remarked(
    processes: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(runtime, "available_cores", lambda: 3)
    runtime.verify_cpu_load.cache_clear()
    for _ in range(2):
        runtime.verify_cpu_load(processes, "threads=x")
    printed = capsys.readouterr().err
    assert printed.count("threads=x") == bool(said)  # once a process
    assert said in printed


def test_more_than_four_threads_a_core_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "available_cores", lambda: 3)
    with pytest.raises(UserError, match=r"--jobs 13: 13 at once, .* 3 CPU cores; choose 3, or at most 12"):
        runtime.verify_cpu_load(13, "--jobs 13")


@pytest.mark.parametrize(
    "code",
    ["from leyden.utils import runtime; runtime.load_torch()",
     "from leyden.cli import report; report._studies(__import__('argparse').Namespace(selection=[], runs='.'))"],
    ids=["torch", "report"],
)  # fmt: skip
def test_a_matplotlibrc_of_the_working_folder_is_not_read(
    code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\n")
    code += "; import os, sys; print(os.getcwd(), sys.modules['matplotlib'].rcParams['text.usetex'])"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"{tmp_path} False\n"


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are Linux's")
def test_too_little_memory_for_torch_is_one_line() -> None:
    code = (
        "import resource, sys; from leyden.cli.main import main\n"
        "resource.setrlimit(resource.RLIMIT_AS, (10**9, resource.RLIM_INFINITY)); sys.exit(main(['train']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "too little memory" in done.stderr
    assert done.stderr.count("\n") == 1

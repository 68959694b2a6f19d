"""explain_check.json in a run's folder: what `leyden check explain` found of each method of attribution (no torch).

Whoever draws a map of the run prints `remark` of its method.
"""

from pathlib import Path

from pydantic import BaseModel

from leyden.runs.run import EXPLAIN_CHECK
from leyden.utils.errors import UserError
from leyden.utils.files import read_json, write_json

_AGAIN = "`leyden check explain RUN` writes it anew"


class Share(BaseModel):
    """A share of rows with its 95 % interval."""

    value: float
    low: float | None = None
    high: float | None = None


class MethodCheck(BaseModel):
    """How well a method finds the planted signal.

    Attributes:
        pointing: share of rows in which the highest unit of the map lies in the signal.
        mass: mean share of the positive attribution that lies in it.
        untrained_pointing: of the same rows by the same net untrained.
        untrained_mass: likewise.
        is_trusted: whether the method may be trusted for this net.
        why: where it is not, in words.
    """

    pointing: Share
    mass: float
    untrained_pointing: Share
    untrained_mass: float
    is_trusted: bool
    why: str = ""


class ExplainCheck(BaseModel):
    """The planted test of one net.

    Attributes:
        data: the generated set.
        rows: rows measured, all answered rightly.
        accuracy: of the net on that set's validation and test rows.
        epochs: that a copy of the run's net was trained on that set; 0: the run's own net was tested.
        methods: by name.
    """

    data: str
    rows: int
    accuracy: float
    epochs: int = 0
    methods: dict[str, MethodCheck]

    def write(self, folder: Path) -> None:
        """Into a run's folder.

        Raises:
            UserError: it cannot be written.
        """
        write_json(folder / EXPLAIN_CHECK, self.model_dump())

    def remark(self, method: str) -> str:
        """What to print on a map of a method; "" where it was not tested."""
        found = self.methods.get(method)
        if found is None:
            return ""
        if found.is_trusted:
            return f"{method} found the planted signal in {found.pointing.value:.2f} of {self.rows} rows of {self.data}"
        return f"{method} is not to be trusted for this net: {found.why}"

    def distrust(self, method: str) -> str:
        """Why a method is not to be trusted for this net; "" where it is, or was not tested."""
        found = self.methods.get(method)
        return "" if found is None or found.is_trusted else self.remark(method)


def read_check(folder: Path) -> ExplainCheck | None:
    """The planted test stored with a run; None where there is none.

    Raises:
        UserError: the file is damaged.
    """
    path = folder / EXPLAIN_CHECK
    if not path.exists():
        return None
    try:
        return ExplainCheck.model_validate(read_json(path, ExplainCheck), extra="ignore")
    except UserError as error:
        raise UserError(f"{str(error).partition(';')[0]}; {_AGAIN}") from error

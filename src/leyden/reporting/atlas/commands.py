"""The commands that show an atlas again, or go on from it."""

import shlex

from leyden.reporting.atlas.atlas import Atlas


def commands(atlas: Atlas) -> list[tuple[str, str]]:
    """(what for, command) of each; paths as they were typed, so relative to the folder that one was in."""
    run, split = shlex.quote(atlas.folder), f" --split {atlas.split}"
    found = [
        ("a page with the samples", f"leyden errors {run}{split} --html errors.html"),
        ("every error as a line", f"leyden errors {run}{split} --csv errors.csv"),
    ]
    if atlas.kind == "classes" and atlas.suspects is None:
        found.append(("labels that are probably wrong", f"leyden errors {run}{split} --suspects"))
    return [*found, ("train it again", shlex.join(atlas.command))]

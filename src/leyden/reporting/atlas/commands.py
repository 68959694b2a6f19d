"""The commands that show an atlas again, or go on from it."""

import shlex

from leyden.reporting.atlas.atlas import Atlas


def commands(atlas: Atlas) -> list[tuple[str, str]]:
    """(what for, command) of each; paths as they were typed, so relative to the folder that one was in."""
    run = ["leyden", "errors", atlas.folder, "--split", atlas.split]
    other = [] if atlas.against is None else ["--against", atlas.against.other]
    suspects = [] if atlas.suspects is None else ["--suspects"]
    found = [
        ("a page with the samples", [*run, *other, *suspects, "--html", "errors.html"]),
        ("every error as a line", [*run, "--csv", "errors.csv"]),
    ]
    if atlas.kind == "classes" and not suspects:
        found.append(("labels that are probably wrong", [*run, "--suspects"]))
    found.append(("train it again", list(atlas.command)))
    return [(what, shlex.join(words)) for what, words in found]

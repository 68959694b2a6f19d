"""What is worth knowing of how data were read, in words."""

from collections.abc import Iterator
from typing import Any

from leyden.data.transcripts import unseen_units
from leyden.utils.text import and_more, plural

_SHOWN = 5  # inputs that were left out, by name


class Remarks:
    """Remarks of a data module, of which it is a base."""

    def remarks(self: Any) -> Iterator[str]:
        """What is worth knowing of how the data were read: what was left out, and how much of it."""
        yield from (*self.reading_remarks(), *self._left_out)
        if self.duplicates_removed:
            yield f"left out {plural(self.duplicates_removed, 'input')} identical to another (data.deduplicate)"
        if share := self.reading.flipped_labels:
            flipped = int((self.source_targets != self.table.index.targets).sum())
            of = f"{len(self.splits.train):,} training rows"
            yield f"{plural(flipped, 'label')} of {of} made wrong (data.flipped_labels={share:g})"
        if self.kind == "sequences":
            index = self.table.index
            yield from (each.message for each in unseen_units(index.targets, self.splits, index.target_names))

    def reading_remarks(self: Any) -> Iterator[str]:
        """Those on files and tables."""
        yield from self.reading_notes()
        skipped = self.table.skipped
        if len(skipped):
            yield f"left out {plural(len(skipped), 'input')} (data.on_bad=skip): {and_more(skipped.lines(), _SHOWN)}"

    def reading_notes(self: Any) -> Iterator[str]:
        """What was found or passed over, besides inputs that cannot be used."""
        passed = getattr(self.source, "passed_over", str)()
        if passed:
            yield f"passed over in {self.table.index.where or 'the folders'}: {passed}"
        yield from self.table.index.notes

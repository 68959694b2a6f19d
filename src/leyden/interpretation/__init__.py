"""Why a finished run answers as it does: attributions with their tests, neighbours, slices, suspects of label noise."""

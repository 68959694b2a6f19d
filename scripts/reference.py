#!/usr/bin/env python
"""Write docs/reference.md (from conf/ and signatures) and docs/result.schema.json: scripts/reference [DIR]."""

import json
import sys
from pathlib import Path

from leyden.cli.list import SCHEMAS
from leyden.config.reference import describe_groups
from leyden.reporting.reference_page import reference_page
from leyden.runs.result import Result

DOCS = Path(__file__).parents[1] / "docs"

if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else DOCS
    (folder / "reference.md").write_text(reference_page(describe_groups(SCHEMAS)), encoding="utf-8")
    schema = json.dumps(Result.model_json_schema(), indent=1)
    (folder / "result.schema.json").write_text(f"{schema}\n", encoding="utf-8")

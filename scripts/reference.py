#!/usr/bin/env python
"""Write docs/reference.md, what every option takes, from conf/ and signatures: python scripts/reference.py [OUT]."""

import sys
from pathlib import Path

from leyden.cli.list import SCHEMAS
from leyden.config.reference import describe_groups
from leyden.reporting.reference_page import reference_page

OUT = Path(__file__).parents[1] / "docs" / "reference.md"

if __name__ == "__main__":
    page = reference_page(describe_groups(SCHEMAS))
    Path(sys.argv[1] if len(sys.argv) > 1 else OUT).write_text(page, encoding="utf-8")

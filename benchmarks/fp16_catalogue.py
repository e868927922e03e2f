"""A verdict for every case of the catalogue, held against the emulator.

    python -m benchmarks.fp16_catalogue [--only NAME] [--workers N] [--json]

The table ends with counts. Exit code 1 if a case that has an ONNX has no verdict, or if one is
called safe although the emulator shows that it overflows. Takes about 15 minutes.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from blobsmith.coverage_fp16 import CaseVerdict, row, run, totals

CATALOGUE = Path(__file__).parents[1] / "examples" / "catalogue.py"


def tell(done: int, total: int, case: CaseVerdict) -> None:
    """A line for a case as soon as it is done."""
    print(f"{done}/{total} {row(case)}", file=sys.stderr, flush=True)


def main() -> None:
    """Prints the table and the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    wanted = parser.parse_args()
    cases = run(CATALOGUE, only=wanted.only, workers=wanted.workers, on_done=tell)
    counts = totals(cases)
    if wanted.json:
        print(json.dumps({"cases": [asdict(case) for case in cases], "totals": counts}))
    else:
        for case in cases:
            print(row(case))
        print()
        for name, count in counts.items():
            print(f"{name:28} {count}")
    sys.exit(1 if counts["overflow but called safe"] or counts.get("verdict no verdict") else 0)


if __name__ == "__main__":
    main()

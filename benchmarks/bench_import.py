"""Claim: `import bloomdata` takes under 100 ms, `bloomdata-cli --help` under 250 ms, and neither loads heavy packages.

Wall time of the whole process, Python's own start included, with compiled modules and a warm page cache.
"""

from __future__ import annotations

import json
import sys

from measure import CLI, Bench, Case, Result, bench, claim

TARGET_IMPORT_MS, TARGET_HELP_MS = 100, 250
RUNS = 10
HEAVY = ["torch", "datasets", "h5py", "numpy", "transformers", "pyarrow", "pandas", "rich"]
LOADED = f"import json, sys; print(json.dumps([name for name in {HEAVY} if name in sys.modules]))"
HELP = """
import contextlib, io, sys
from bloomdata.cli import main
sys.argv = ["bloomdata-cli", "--help"]
with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
    main()
"""


def heavy_modules(run: Bench, code: str) -> list[str]:
    """Heavy packages that are loaded after `code` ran."""
    case = Case(name="modules", command=[sys.executable, "-c", f"{code}\n{LOADED}"], content_bytes=0)
    return json.loads(run.run(case).stdout)


def main() -> None:
    with bench("import time") as run:
        cases = [
            Case(name="python -c pass", command=[sys.executable, "-c", "pass"], content_bytes=0),
            Case(name="import bloomdata", command=[sys.executable, "-c", "import bloomdata"], content_bytes=0),
            Case(name="bloomdata-cli --help", command=[CLI, "--help"], content_bytes=0),
        ]
        for case in cases:
            run.run(case)
        results = run.compare(cases, repeat=max(RUNS, run.options.repeat))
        print("| case | wall ms (fastest to slowest) | peak MB |\n| --- | ---: | ---: |")
        for result in results:
            print(f"| {result.case.name} | {milliseconds(result)} | {result.peak_bytes / 1e6:.0f} |")
        print()
        claim("import bloomdata", results[1].wall_seconds * 1000, "ms", at_most=TARGET_IMPORT_MS)
        claim("bloomdata-cli --help", results[2].wall_seconds * 1000, "ms", at_most=TARGET_HELP_MS)
        for name, code in (("import bloomdata", "import bloomdata"), ("bloomdata-cli --help", HELP)):
            loaded = heavy_modules(run, code)
            claim(f"{name}: heavy packages loaded {loaded}", len(loaded), "packages", at_most=0)


def milliseconds(result: Result) -> str:
    return f"{result.wall_seconds * 1000:.0f} ({result.fastest * 1000:.0f} to {result.slowest * 1000:.0f})"


if __name__ == "__main__":
    main()

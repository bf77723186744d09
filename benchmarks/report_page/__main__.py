"""The measurements in order: `python -m benchmarks.report_page [--quick]`."""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import measurement
from benchmarks.measurement import Sample

HERE = Path(__file__).parent
OPTUNA = "optuna.visualization.matplotlib"
NOTES = """\
`python -m benchmarks.report_page` made this page. A sweep of {trials:,} trials with {reports} reports each (six
parameters, one objective) lies on a disk. *raybayes* is `raybayes report`: history, learning curves, importances with
bootstrap intervals, slices, parallel coordinates and timeline as PNG and SVG, and report.html with everything in it:
{size:.2f} MB. *{optuna}* draws history, learning curves, importances, slices and parallel coordinates of the same study
as PNG: no intervals, no timeline, no SVG and no page. Each run is a process of its own, from its start to its end; the
sides take turns. Time on the clock says as much about how busy the machine was; processor time does less so.
"""


def child(side: str, folder: Path) -> tuple[float, float]:
    """One process that draws a side's figures: (seconds on the clock, seconds of processors)."""
    begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "benchmarks.report_page.sides", side, str(folder)], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter() - begun, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main(argv: list[str]) -> int:
    """Measure, print the page, keep it. Returns the exit code."""
    options = measurement.parser("report_page", __doc__, "a small sweep").parse_args(argv)
    trials, reports, repeats = (30, 10, 1) if options.quick else (1000, 100, 3)
    load_before = measurement.load()
    samples: list[Sample] = []
    claim = f"Figures and page of {trials:,} trials with {reports} reports each"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make = [sys.executable, "-m", "benchmarks.report_page.sides", "make", str(folder), str(trials), str(reports)]
        subprocess.run(make, check=True)
        for _ in range(repeats):
            for side in (measurement.REFERENCE, OPTUNA):
                clock_s, processor_s = child(side, folder)
                samples.append(Sample(f"{claim}: processor time", side, processor_s))
                samples.append(Sample(f"{claim}: time", side, clock_s))
        size = (folder / "sweep" / "report.html").stat().st_size / 1e6
    title = "The report of a large sweep"
    notes = NOTES.format(trials=trials, reports=reports, size=size, optuna=OPTUNA)
    return measurement.publish(options, "report_page", title, notes, samples, load_before)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

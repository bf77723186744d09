"""report.html: one page with all of a sweep's result."""

"""What raybayes sets in every Ray that it starts, be it private to one process or on the nodes of a cluster."""

from __future__ import annotations

# The custom resource that admits a trial of several workers. It is no CPU: a driver that held one while its workers
# wait for theirs would wait forever.
TRIAL_SLOT = "trial_slot"

# No usage report; and on a machine that runs out of memory the newest process alone dies: by default Ray may kill
# several at once, the sweep's controller among them.
COMMON_VARIABLES = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_killing_policy_by_group": "true"}

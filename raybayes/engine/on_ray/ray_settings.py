"""What raybayes sets in every Ray that it starts, be it private to one process or on the nodes of a cluster.

Importing it does not import Ray: the variables must be set before that. tests/engine/on_ray/test_ray_settings.py fails
when the installed Ray no longer knows one of them.
"""

from __future__ import annotations

# The custom resource that admits a trial of several workers. It is not a CPU: a driver that held one while its workers
# wait for theirs would wait forever.
TRIAL_SLOT = "trial_slot"

# No usage report; and on a machine that runs out of memory the newest process alone dies: by default Ray may kill
# several at once, the sweep's controller among them.
COMMON_VARIABLES = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_killing_policy_by_group": "true"}

# Of a driver: workers are reused, no loggers per trial, no snapshots of Tune's state (the study is the memory), and
# short intervals between two looks at Train's workers, which cost 3-5 s per run at Ray's default of 2 s.
DRIVER_VARIABLES = {
    **COMMON_VARIABLES,
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.1",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}

MAX_PENDING_TRIALS = "TUNE_MAX_PENDING_TRIALS_PG"  # with Tune's default of 1, a slot waits until the one before is up

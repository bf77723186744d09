"""From a YAML file to a running Ray cluster, and jobs on it: the part that knows Slurm, `ray up` and the jobs API."""

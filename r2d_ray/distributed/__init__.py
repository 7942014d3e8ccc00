"""A stage as a Ray job: cluster, workers, the shared stage 1, tasks."""

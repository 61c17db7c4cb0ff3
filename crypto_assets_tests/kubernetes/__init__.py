"""A Kubernetes API server double that really runs what a Job says, and what is held against it."""

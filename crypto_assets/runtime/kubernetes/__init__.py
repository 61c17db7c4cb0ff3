"""Runs as Kubernetes Jobs: the launcher, the executor, the diagnosis of a pod, and the removal of dead Jobs.

Manifests do not belong here (see ``deploy/``).
"""

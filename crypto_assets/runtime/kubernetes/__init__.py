"""Runs as Kubernetes Jobs: the launcher, the executor, what is wrong with a pod, and the sweep of dead Jobs.

What does not belong here: manifests (``deploy/``).
"""

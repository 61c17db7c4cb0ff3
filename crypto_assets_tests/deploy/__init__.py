"""What is deployed: manifests, image, Compose file, chart values, and the runbooks' commands."""

"""Tests of the pure transforms: frames in, frames out; no network, no Dagster, no files."""

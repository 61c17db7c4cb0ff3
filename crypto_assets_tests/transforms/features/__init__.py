"""Tests of ``ml_features``: hand-written values, an independent implementation, and the rules that never bend."""

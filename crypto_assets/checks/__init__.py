"""What the check reports say: contract, rows expected against present, freshness by partition, derived coverage.

Each measure is a function of the stored rows and a range (``measures.py``), so that the UI and ``status`` cannot
disagree. The contract was already enforced before the write; its check is the record.
"""

from crypto_assets.checks.shells import all_checks

__all__ = ["all_checks"]

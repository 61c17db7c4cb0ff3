"""The HTTP client of every provider: limits, quotas, pace, retries, and errors with a reason.

The meaning of an answer does not belong here.
"""

from crypto_assets.sources.client.http import Answer, Client, ResponseError

__all__ = ["Answer", "Client", "ResponseError"]

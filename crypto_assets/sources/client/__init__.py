"""The careful HTTP client of every provider: limits, quotas, pace, retries, and errors that say why.

What does not belong here: what a provider's answer means.
"""

from crypto_assets.sources.client.http import Answer, Client, ResponseError

__all__ = ["Answer", "Client", "ResponseError"]

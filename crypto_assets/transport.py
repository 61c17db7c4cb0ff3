"""The transport of every HTTP client: each request goes directly, or through the proxy that ``proxies.py`` finds for it."""

from __future__ import annotations

import ssl

import httpx

from crypto_assets.proxies import Proxy, proxy_for


class Transport(httpx.AsyncBaseTransport):
    """Sends each request directly or through its proxy."""

    def __init__(self, verify: ssl.SSLContext) -> None:
        self._verify = verify
        self._made: dict[Proxy | None, httpx.AsyncHTTPTransport] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request.

        Args:
            request: the request.

        Returns:
            The response.

        Raises:
            httpx.ProxyError: the proxy cannot be reached or used, or refuses; the message names its variable.
        """
        proxy = proxy_for(str(request.url))
        if proxy is None:
            return await self._through(None).handle_async_request(request)
        try:
            response = await self._through(proxy).handle_async_request(request)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError, httpx.UnsupportedProtocol) as error:
            raise httpx.ProxyError(_failed(proxy, str(error) or type(error).__name__), request=request) from error
        except (ImportError, ValueError) as error:
            raise httpx.ProxyError(_failed(proxy, str(error).split(".")[0]), request=request) from error
        if response.status_code == httpx.codes.PROXY_AUTHENTICATION_REQUIRED:
            await response.aclose()
            raise httpx.ProxyError(_failed(proxy, "it wants a user and a password: HTTP 407"), request=request)
        return response

    def _through(self, proxy: Proxy | None) -> httpx.AsyncHTTPTransport:
        if proxy not in self._made:
            self._made[proxy] = httpx.AsyncHTTPTransport(
                verify=self._verify, proxy=None if proxy is None else httpx.Proxy(proxy.address)
            )
        return self._made[proxy]

    async def aclose(self) -> None:
        """Close all connections."""
        for transport in self._made.values():
            await transport.aclose()


def _failed(proxy: Proxy, why: str) -> str:
    name = proxy.variable
    return f"through the proxy of {proxy} ({why}); correct or unset {name}, or name the host in NO_PROXY"

"""The sandbox as a process of its own: ``python -m crypto_assets.sandbox.child SEED LOG [DATA]``.

It says in one line of JSON on stdout which variables send the platform's requests to it, or why it cannot serve.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from crypto_assets.errors import CryptoAssetsError
from crypto_assets.sandbox.server import Sandbox


def main(arguments: Sequence[str]) -> int:
    """Serve until the process is asked to stop.

    Args:
        arguments: the seed, the file of the log, and a folder of recordings where there is one.

    Returns:
        The exit code.
    """
    seed, log, *data = arguments
    try:
        sandbox = Sandbox(Path(data[0]) if data else None, int(seed), log=Path(log))
        said: dict[str, object] = {"url": sandbox.url, "env": sandbox.env()}
    except (CryptoAssetsError, OSError) as error:
        print(json.dumps({"error": str(error)}), flush=True)
        return 1
    print(json.dumps(said), flush=True)
    sandbox.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

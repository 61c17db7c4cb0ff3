"""Run by Qlib's own interpreter: ``python _qlib_side.py DATA EXPRESSIONS.json OUT.npy``. Imports nothing of ours.

Prints the seconds that ``D.features`` took with two kernels and without caches; the values go to OUT.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np


def main(data: str, expressions: str, out: str) -> None:
    import qlib
    from qlib.data import D

    qlib.init(provider_uri=data, kernels=2, expression_cache=None, dataset_cache=None, clear_mem_cache=True)
    names = json.loads(Path(expressions).read_text(encoding="utf-8"))
    instruments = D.list_instruments(D.instruments("all"), as_list=True)
    D.features(instruments[:2], list(names.values())[:1])  # what is loaded once is not the measurement
    began = time.perf_counter()
    frame = D.features(instruments, list(names.values()))
    seconds = time.perf_counter() - began
    frame = frame.sort_index(level=["instrument", "datetime"])
    np.save(out, frame.to_numpy(dtype=np.float32))
    print(json.dumps({"seconds": seconds, "rows": len(frame), "version": qlib.__version__}))


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Run by Feast's own interpreter: ``python _feast_side.py REPO ROWS.parquet``. Imports nothing of ours.

Registers a feature view with every feature of ROWS and writes the rows to the online store, as a user of Feast does it.
REPO has a ``feature_store.yaml``. Prints the version and the names of the features.
"""

import json
import sys
from datetime import timedelta
from importlib.metadata import version


def main(repo: str, rows: str) -> None:
    import pandas as pd
    from feast import Entity, FeatureStore, FeatureView, Field, FileSource
    from feast.types import Float64
    from feast.value_type import ValueType

    frame = pd.read_parquet(rows)
    names = [name for name in frame.columns if name not in ("symbol", "ts")]
    coin = Entity(name="coin", join_keys=["symbol"], value_type=ValueType.STRING)
    source = FileSource(name="rows", path=rows, timestamp_field="ts")
    view = FeatureView(
        name="features", entities=[coin], ttl=timedelta(days=365_0), source=source,
        schema=[Field(name=name, dtype=Float64) for name in names],
    )  # fmt: skip
    store = FeatureStore(repo_path=repo)
    store.apply([coin, view])
    store.write_to_online_store("features", df=frame)
    print(json.dumps({"version": version("feast"), "features": names}))


if __name__ == "__main__":
    main(*sys.argv[1:])

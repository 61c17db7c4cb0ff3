"""How far derived tables look back, and which inputs give them their rows: the registry's answers under short names."""

from __future__ import annotations

from crypto_assets.tables import registry

# Derived table -> input table -> days it reaches back, in topological order.
LOOK_BACK: dict[str, dict[str, int]] = registry.look_back()

# Derived table -> the inputs of which any one is enough for it to have rows; the others only fill columns.
REQUIRED_INPUTS: dict[str, tuple[str, ...]] = registry.required_inputs()

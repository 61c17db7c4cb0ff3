"""The data dictionary is what the contracts say."""

from crypto_assets.tables.dictionary import PATH, render
from crypto_assets.tables.schemas import CONTRACTS


def test_the_committed_dictionary_is_current() -> None:
    assert PATH.read_text(encoding="utf-8") == render(), "run make docs"


def test_every_table_and_column_is_described() -> None:
    text = render()
    for name, contract in CONTRACTS.items():
        assert f"## {name}\n" in text
        for column in contract.columns:
            assert f"| `{column.name}` |" in text
            assert column.description.strip()
            assert column.unit.strip()

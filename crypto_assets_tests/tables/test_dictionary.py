"""The data dictionary is what the contracts say."""

from crypto_assets.tables.dictionary import PATH, render
from crypto_assets.tables.schemas import CONTRACTS
from crypto_assets_tests.forgotten import nothing_forgotten


def sections(text: str) -> dict[str, str]:
    """Heading -> what is below it; the list of contents is under the empty one."""
    head, *parts = text.split("\n## ")
    return {"": head, **{part.partition("\n")[0]: part for part in parts}}


def test_the_committed_dictionary_is_current() -> None:
    stored, wanted = PATH.read_text(encoding="utf-8"), render()
    before, now = sections(stored), sections(wanted)
    tables = [table for table in {**before, **now} if table and before.get(table) != now.get(table)]
    nothing_forgotten(
        f"{', '.join(tables) or 'its head'}: not in docs/data-dictionary.md as crypto_assets/tables/ has it; run make docs, "
        "which writes that file"
        for _ in range(stored != wanted)
    )


def test_every_table_and_column_is_described() -> None:
    text = render()
    for name, contract in CONTRACTS.items():
        assert f"## {name}\n" in text
        for column in contract.columns:
            assert f"| `{column.name}` |" in text
            assert column.description.strip()
            assert column.unit.strip()

import polars as pl

from crypto_assets.tables.derived_source import derived_source


def frame(*sources: str) -> pl.DataFrame:
    return pl.DataFrame({"source": list(sources)}, schema={"source": pl.String})


def test_one_sandbox_row_anywhere_marks_what_is_derived():
    assert derived_source(frame("coingecko"), frame("binance/USDT", "sandbox/coinmetrics")) == "sandbox/derived"
    assert derived_source(frame("sandbox/derived")) == "sandbox/derived"


def test_real_or_empty_or_sourceless_inputs_do_not():
    assert derived_source(frame("coingecko", "not-sandbox"), frame(), pl.DataFrame({"x": [1]})) == "derived"
    assert derived_source() == "derived"

"""A measurement that takes long holds up nobody who could have the one of before."""

from __future__ import annotations

import threading

from crypto_assets.gateway.current import _Kept


def test_the_value_of_before_is_given_while_it_is_measured_again() -> None:
    kept: _Kept[str] = _Kept(seconds=-1)  # always too old
    begun, go_on = threading.Event(), threading.Event()

    def slowly() -> str:
        begun.set()
        assert go_on.wait(60)
        return "second"

    assert kept.get(lambda: "first") == "first"
    thread = threading.Thread(target=lambda: kept.get(slowly))
    thread.start()
    assert begun.wait(60)
    assert kept.get(slowly) == "first", "and it did not wait"
    go_on.set()
    thread.join()
    assert kept.value == "second"

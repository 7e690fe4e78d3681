"""Places are limited, and come back."""

from __future__ import annotations

import pytest

from vclr.serve.places import FullError, Places


def test_places_are_limited_and_come_back():
    places = Places(2, "full")
    with places.take():
        places.check()
        with places.take():
            with pytest.raises(FullError, match="^full$"):
                places.check()
            with pytest.raises(FullError), places.take():
                pass
        with places.take():
            pass
    with pytest.raises(ZeroDivisionError), places.take():
        1 / 0  # noqa: B018
    with places.take(), places.take():
        pass

import gc
import weakref

from model.fast.heap import spare_the_living


class Knot:
    """What only the collector of garbage can free."""

    def __init__(self) -> None:
        self.itself = self


def test_what_lives_is_left_out_and_what_comes_later_is_collected() -> None:
    dead = weakref.ref(Knot())
    spared = Knot()
    spare_the_living()
    assert dead() is None
    assert gc.get_freeze_count() > 1000
    assert not any(one is spared for one in gc.get_objects())
    later = weakref.ref(Knot())
    assert later() is not None
    gc.collect()
    assert later() is None

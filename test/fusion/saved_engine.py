"""What the tests of saved engines share: two engines compared in all that they say."""

import numpy as np


def assert_same_instances(a, b):
    one, other = a.instances(), b.instances()
    assert [item.id for item in one] == [item.id for item in other]
    for mine, theirs in zip(one, other, strict=True):
        for name in vars(mine):
            value, wanted = getattr(theirs, name), getattr(mine, name)
            if name == "box":
                np.testing.assert_array_equal(value.T_map_box, wanted.T_map_box)
                np.testing.assert_array_equal(value.size_m, wanted.size_m)
            elif isinstance(wanted, np.ndarray):
                np.testing.assert_array_equal(value, wanted)
            else:
                assert repr(value) == repr(wanted), name
    assert a.merged_into() == b.merged_into()


def assert_same_views(a, b):
    for instance in a.instances():
        one, other = a.views(instance.id, 9), b.views(instance.id, 9)
        assert [(view.keyframe_id, view.jpeg, view.score) for view in one] == [
            (view.keyframe_id, view.jpeg, view.score) for view in other
        ]

import numpy as np

from lira_ros.mapping.marching_cubes import CELL_EDGES, MAXIMUM_TRIANGLES, TRIANGLE_COUNTS, TRIANGLE_EDGES


def corner_inside(case):
    return np.array([bool(case >> corner & 1) for corner in range(8)])


def test_at_most_five_triangles():
    assert MAXIMUM_TRIANGLES == 5
    assert TRIANGLE_COUNTS[0] == TRIANGLE_COUNTS[255] == 0
    assert (TRIANGLE_COUNTS[1:255] > 0).all()


def test_every_crossed_edge_is_used_and_no_other():
    for case in range(256):
        inside = corner_inside(case)
        crossed = set()
        for edge, (x, y, z, axis) in enumerate(CELL_EDGES):
            low = x + 2 * y + 4 * z
            if inside[low] != inside[low | (1 << axis)]:
                crossed.add(edge)
        used = set(TRIANGLE_EDGES[case, : TRIANGLE_COUNTS[case]].ravel().tolist())
        assert used == crossed, case


def test_neighbouring_cells_draw_opposite_segments_on_their_face():
    # The segments that a case leaves open on a face must be closed by any case of the neighbour at that face.
    def open_segments(case):
        count = {}
        for a, b, c in TRIANGLE_EDGES[case, : TRIANGLE_COUNTS[case]].tolist():
            for side in ((a, b), (b, c), (c, a)):
                if side[::-1] in count:
                    del count[side[::-1]]
                else:
                    count[side] = True
        return set(count)

    def on_face(segments, axis, high):
        def place(edge):
            x, y, z, along = CELL_EDGES[edge]
            position = [x, y, z]
            if along == axis or position[axis] != high:
                return None
            position[axis] = 0
            return (*position, along)

        found = {(place(a), place(b)) for a, b in segments}
        return {pair for pair in found if None not in pair}

    rng = np.random.default_rng(1)
    for _ in range(3000):
        axis = int(rng.integers(3))
        values = rng.integers(0, 2, (3, 2, 2))  # three layers of corners along the axis
        cases = []
        for layer in (0, 1):
            case = 0
            for corner in range(8):
                position = [corner & 1, corner >> 1 & 1, corner >> 2]
                along = position.pop(axis)
                case |= int(values[layer + along, position[0], position[1]]) << corner
            cases.append(case)
        low = on_face(open_segments(cases[0]), axis, 1)
        high = on_face(open_segments(cases[1]), axis, 0)
        assert low == {(b, a) for a, b in high}, (axis, cases)


def test_triangles_face_the_outside():
    for corner in range(8):
        case = 1 << corner
        points = []
        for edge in TRIANGLE_EDGES[case, 0]:
            point = CELL_EDGES[edge, :3].astype(float)
            point[CELL_EDGES[edge, 3]] += 0.5
            points.append(point)
        normal = np.cross(points[1] - points[0], points[2] - points[0])
        away = 0.5 - np.array([corner & 1, corner >> 1 & 1, corner >> 2])
        assert normal @ away > 0

import cv2
import numpy as np
import pytest
from box_room import CARTON, CHEST, CUP, FLOOR, ROOM, TABLE, WALL, Box, look

from lira_ros.configuration import ConfigurationError, build
from lira_ros.geometry.camera import Camera
from lira_ros.geometry.depth import meters_from_millimeters, normals_camera
from lira_ros.geometry.frame import Frame, Keyframe
from lira_ros.reasoning.compact.proposals import ProposalConfiguration, propose_instances


def overlap(a, b):
    return np.count_nonzero(a & b) / max(1, np.count_nonzero(a | b))


def best(proposals, mask):
    return max(proposals, key=lambda proposal: overlap(proposal.mask, mask))


@pytest.mark.parametrize("size", [(640, 480), (540, 360), (320, 240), (1280, 720), (333, 251)])
def test_the_things_of_a_room_are_proposed_at_any_image_size(size):
    keyframe, index = look(width_px=size[0], height_px=size[1])
    proposals = propose_instances(keyframe)
    for box, minimum in ((TABLE, 0.75), (CARTON, 0.6), (CHEST, 0.6)):
        mask = index == ROOM.index(box)
        assert overlap(best(proposals, mask).mask, mask) > minimum, box


def test_what_things_stand_on_is_said():
    keyframe, index = look(width_px=640, height_px=480)
    proposals = propose_instances(keyframe)
    support = {box: best(proposals, index == ROOM.index(box)).supported_by for box in (CARTON, CUP, CHEST)}
    assert support == {CARTON: "surface", CUP: "surface", CHEST: "floor"}


def test_floor_and_wall_are_not_proposed():
    keyframe, index = look((FLOOR, WALL), width_px=640, height_px=480, pitch_deg=15.0)
    proposals = propose_instances(keyframe)
    for number in (0, 1):
        assert all(overlap(proposal.mask, index == number) < 0.2 for proposal in proposals)


def test_a_proposal_holds_its_measured_points_in_the_map():
    keyframe, index = look(width_px=640, height_px=480)
    carton = best(propose_instances(keyframe), index == ROOM.index(CARTON))
    measured = carton.mask & (keyframe.frame.depth_m > 0)
    assert carton.points_map.shape == (np.count_nonzero(measured), 3)
    assert np.array_equal(carton.colors, keyframe.frame.color[measured])
    low, high = np.percentile(carton.points_map, [5, 95], axis=0)
    assert (low > np.array(CARTON.low) - 0.03).all()
    assert (high < np.array(CARTON.high) + 0.03).all()
    assert not carton.truncated


def test_a_thing_cut_by_the_image_is_truncated():
    near = Box((-2.0, 1.0, 0.0), (-0.2, 1.6, 0.6), (160, 60, 40))
    keyframe, index = look((FLOOR, near), width_px=640, height_px=480, pitch_deg=35.0)
    assert best(propose_instances(keyframe), index == 1).truncated


def test_a_stack_is_taken_apart():
    lower = Box((-0.3, 1.4, 0.74), (0.1, 1.75, 0.9), (170, 40, 40))
    upper = Box((-0.2, 1.5, 0.9), (-0.05, 1.62, 1.15), (60, 90, 180))
    keyframe, index = look((FLOOR, WALL, TABLE, lower, upper), width_px=640, height_px=480)
    proposals = propose_instances(keyframe)
    for number in (3, 4):
        mask = index == number
        assert overlap(best(proposals, mask).mask, mask) > 0.5


def test_no_floor_is_needed():
    keyframe, index = look(width_px=640, height_px=480)
    unknown = Keyframe(1, keyframe.frame, keyframe.up, float("nan"))
    proposals = propose_instances(unknown)
    mask = index == ROOM.index(CARTON)
    assert overlap(best(proposals, mask).mask, mask) > 0.6


def test_without_depth_nothing_is_proposed():
    keyframe, _ = look()
    frame = keyframe.frame
    empty = Frame(1, frame.color, np.zeros_like(frame.depth_m), frame.camera, frame.T_map_camera)
    assert propose_instances(Keyframe(1, empty, keyframe.up, 0.0)) == []
    speck = np.zeros_like(frame.depth_m)
    speck[5, 7] = 1.0
    one = Frame(1, frame.color, speck, frame.camera, frame.T_map_camera)
    assert propose_instances(Keyframe(1, one, keyframe.up, 0.0)) == []


@pytest.mark.parametrize("seed", range(3))
def test_noise_alone_neither_fails_nor_floods(seed):
    keyframe, _ = look()
    generator = np.random.default_rng(seed)
    frame = keyframe.frame
    depth = (generator.random(frame.depth_m.shape) * 5).astype(np.float32)
    noisy = Frame(1, frame.color, depth, frame.camera, frame.T_map_camera)
    assert len(propose_instances(Keyframe(1, noisy, keyframe.up, 0.0))) <= ProposalConfiguration().max_proposals


def test_proposals_are_bounded_sorted_and_repeatable():
    keyframe, _ = look()
    configuration = build(ProposalConfiguration, {"max_proposals": 3})
    proposals = propose_instances(keyframe, configuration)
    assert len(proposals) == 3
    qualities = [proposal.quality for proposal in proposals]
    assert qualities == sorted(qualities, reverse=True)
    assert all(0.0 <= quality <= 1.0 for quality in qualities)
    again = propose_instances(keyframe, configuration)
    assert all(np.array_equal(a.mask, b.mask) for a, b in zip(proposals, again, strict=True))
    with pytest.raises(ConfigurationError, match="max_proposals"):
        build(ProposalConfiguration, {"max_proposals": 0})


def test_nothing_beyond_the_range_is_proposed():
    keyframe, _ = look()
    for proposal in propose_instances(keyframe, build(ProposalConfiguration, {"max_depth_m": 2.0})):
        assert keyframe.frame.depth_m[proposal.mask].max() <= 2.1


def test_holes_and_lines_of_missing_depth_do_not_tear_things_apart():
    keyframe, index = look(width_px=640, height_px=480)
    depth = keyframe.frame.depth_m.copy()
    depth[::9] = 0.0
    depth[:, ::11] = 0.0
    torn = Frame(1, keyframe.frame.color, depth, keyframe.frame.camera, keyframe.frame.T_map_camera)
    proposals = propose_instances(Keyframe(1, torn, keyframe.up, 0.0))
    for box in (TABLE, CARTON, CHEST):
        mask = (index == ROOM.index(box)) & (depth > 0)
        chosen = best(proposals, mask)
        assert overlap(chosen.mask & (depth > 0), mask) > 0.6


def test_most_objects_of_real_table_scenes_are_found(shared_data):
    folder = shared_data / "mosd_tabletop_instances"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there: real table scenes are not tested")
    camera = Camera(640, 480, 525.0, 525.0, 319.5, 239.5)
    found = []
    for name in ("test31", "test44", "test54"):
        color = np.ascontiguousarray(cv2.imread(str(folder / f"{name}.color.png"))[..., ::-1])
        depth_m = meters_from_millimeters(cv2.imread(str(folder / f"{name}.depth.png"), cv2.IMREAD_UNCHANGED))
        labels = cv2.imread(str(folder / f"{name}.label.png"), cv2.IMREAD_UNCHANGED) // 10
        normals = normals_camera(depth_m, camera)[(labels == 0) & (depth_m > 0)]
        up = np.median(normals[normals[:, 1] < -0.2], axis=0).astype(np.float64)
        frame = Frame(0, color, depth_m, camera, np.eye(4))
        proposals = propose_instances(Keyframe(1, frame, up / np.linalg.norm(up), float("nan")))
        found += [
            overlap(best(proposals, labels == i).mask & (depth_m > 0), labels == i)
            for i in np.unique(labels[labels > 1])
        ]
    assert np.mean(np.array(found) > 0.5) > 0.8

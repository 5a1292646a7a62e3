import numpy as np
import pytest
from PIL import Image

from lira_ros.datasets.picture import MAX_ASKED_SIDE_PX, PictureError, read_picture
from lira_ros.datasets.sequence import SequenceError


@pytest.fixture
def colors():
    """Return a (6, 10, 3) picture in which every pixel differs."""
    values = np.arange(60, dtype=np.uint8).reshape(6, 10)
    return np.stack([values, 255 - values, np.full_like(values, 100)], axis=2)


def save(array, path, **options):
    Image.fromarray(array).save(path, **options)
    return path


def test_a_picture_without_depth_is_a_keyframe_with_the_camera_held_upright(tmp_path, colors):
    picture = read_picture(save(colors, tmp_path / "a.png"))
    frame = picture.keyframe.frame
    assert np.array_equal(frame.color, colors)
    assert not frame.depth_m.any()
    assert (picture.width_px, picture.height_px, picture.has_depth, picture.intrinsics_known) == (10, 6, False, False)
    assert picture.keyframe.up @ (0.0, -1.0, 0.0) > 0.9
    assert 2 * np.degrees(np.arctan(5.0 / frame.camera.fx)) == pytest.approx(69.0)


def test_depth_and_intrinsics_are_taken(tmp_path, colors):
    depth = np.full((6, 10), 1500, np.uint16)
    depth[0, 0] = 0
    picture = read_picture(save(colors, tmp_path / "a.png"), save(depth, tmp_path / "d.png"), "12,13,4.5,2.5", up="-y")
    frame = picture.keyframe.frame
    assert (frame.depth_m[0, 0], frame.depth_m[5, 9]) == (0.0, pytest.approx(1.5))
    assert (frame.camera.fx, frame.camera.fy, frame.camera.cx, frame.camera.cy) == (12, 13, 4.5, 2.5)
    assert picture.has_depth
    assert picture.intrinsics_known
    assert picture.keyframe.up.tolist() == [0, -1, 0]
    matrix = tmp_path / "camera.txt"
    matrix.write_text("12 0 4.5\n0 13 2.5\n0 0 1\n")
    assert read_picture(tmp_path / "a.png", None, str(matrix)).keyframe.frame.camera == frame.camera


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_a_picture_is_turned_as_its_exif_data_say(tmp_path, colors, orientation):
    turns = {3: 2, 6: -1, 8: 1}[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(np.ascontiguousarray(np.rot90(colors, -turns)), tmp_path / "a.png", exif=exif)
    assert np.array_equal(read_picture(path).keyframe.frame.color, colors)
    with pytest.raises(PictureError, match=r"a\.png: its EXIF data turn it"):
        read_picture(path, save(np.ones((6, 10), np.uint16), tmp_path / "d.png"))


def test_every_kind_of_pixels_becomes_rgb(tmp_path, colors):
    gray = colors[..., 0]
    alpha = np.full((6, 10, 1), 255, np.uint8)
    alpha[0, 0] = 0
    seen = colors.copy()
    seen[0, 0] = 255
    for name, array, expected in (
        ("gray", gray, np.repeat(gray[..., None], 3, axis=2)),
        ("gray16", gray.astype(np.uint16) * 256 + 7, np.repeat(gray[..., None], 3, axis=2)),
        ("rgba", np.concatenate([colors, alpha], axis=2), seen),
        ("one_bit", gray > 30, np.repeat(255 * (gray > 30)[..., None], 3, axis=2)),
    ):
        color = read_picture(save(array, tmp_path / f"{name}.png")).keyframe.frame.color
        assert color.dtype == np.uint8
        assert np.array_equal(color, expected), name
    flat = np.full((8, 8, 3), (200, 30, 60), np.uint8)
    Image.fromarray(flat).quantize().save(tmp_path / "palette.png")
    Image.fromarray(flat).convert("CMYK").save(tmp_path / "cmyk.jpg")
    save(flat, tmp_path / "a.webp")
    for name in ("palette.png", "cmyk.jpg", "a.webp"):
        assert abs(read_picture(tmp_path / name).keyframe.frame.color.astype(int) - flat).max() < 30, name


def test_a_large_picture_is_made_smaller_and_its_depth_is_not_mixed(tmp_path):
    colors = np.zeros((20, 5000, 3), np.uint8)
    depth = np.full((20, 5000), 1000, np.uint16)
    depth[:, 2500:] = 3000
    picture = read_picture(save(colors, tmp_path / "a.png"), save(depth, tmp_path / "d.png"), "4000,4000,2499.5,9.5")
    frame = picture.keyframe.frame
    assert (picture.width_px, picture.height_px) == (5000, 20)
    assert frame.color.shape == (8, MAX_ASKED_SIDE_PX, 3)
    assert np.unique(frame.depth_m).tolist() == pytest.approx([1.0, 3.0])
    assert frame.camera.fx == pytest.approx(4000 * 2048 / 5000)


def test_what_is_no_picture_is_named(tmp_path, colors):
    good = save(colors, tmp_path / "good.png")
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "cut.png").write_bytes(good.read_bytes()[:-40])
    save(colors, tmp_path / "a.bmp")
    (tmp_path / "folder.png").mkdir()
    Image.new("1", (20000, 6000)).save(tmp_path / "huge.png")
    Image.new("1", (20000, 20000)).save(tmp_path / "bomb.png")
    for name, said in (
        ("none.png", "is missing"),
        ("folder.png", "not a plain file"),
        ("text.png", "got something else"),
        ("a.bmp", "got something else"),
        ("cut.png", "cannot be decoded"),
        ("huge.png", "too large; expected at most 89 megapixels"),
        ("bomb.png", "too large; expected at most 89 megapixels"),
    ):
        with pytest.raises(SequenceError, match=name) as caught:
            read_picture(tmp_path / name)
        assert said in str(caught.value)


def test_depth_and_intrinsics_that_do_not_fit_are_named(tmp_path, colors):
    path = save(colors, tmp_path / "a.png")
    save(np.ones((6, 12), np.uint16), tmp_path / "wide.png")
    for depth, intrinsics, said in (
        (tmp_path / "wide.png", "", r"wide\.png: expected 10 x 6 pixels, got 12 x 6"),
        (path, "", r"a\.png: expected 16-bit depth"),
        (None, "12,13,4.5", "intrinsics: expected fx,fy,cx,cy"),
        (None, "a,b,c,d", "intrinsics: expected fx,fy,cx,cy"),
        (None, "nan,1,1,1", "intrinsics: "),
        (None, "12,13,100,2", "do not fit images of 10 x 6"),
        (None, str(tmp_path / "none.txt"), r"none\.txt"),
    ):
        with pytest.raises(SequenceError, match=said):
            read_picture(path, depth, intrinsics)

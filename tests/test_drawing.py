"""Pictures: sizes, what is drawn where, and what is left as it was."""

import numpy as np
import pytest

from vclr.drawing import MISSED, PALETTE, contact_sheet, draw_found, draw_objects, fit, match_masks

GRAY = np.full((128, 160, 3), 120, np.uint8)


def disk(y, x, radius, shape=(128, 160)):
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2


@pytest.mark.parametrize(
    ("size", "expected"), [((128, 160), (256, 320)), ((100, 300), (300, 900)), ((256, 400), (256, 400))]
)
def test_small_images_are_enlarged_by_a_whole_factor(size, expected):
    image = np.random.default_rng(0).integers(0, 255, (*size, 3), np.uint8)
    picture = draw_objects(image, [])
    assert picture.shape[:2] == expected
    factor = expected[0] // size[0]
    assert np.array_equal(picture[::factor, ::factor], image)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((4, 2000), (4, 2000)),
        ((2000, 4), (2000, 4)),
        ((10, 300), (60, 1800)),
        ((4000, 3000), (2048, 1536)),
        ((1, 1), (256, 256)),
    ],
)
def test_pictures_are_bounded_and_keep_their_proportions(size, expected):
    mask = np.ones(size, bool)
    picture = draw_objects(np.zeros((*size, 3), np.uint8), [mask], boxes=[(0, 0, size[1], size[0])])
    assert picture.shape[:2] == expected
    assert picture.any()


def test_masks_are_tinted_outlined_and_nothing_else_changes():
    mask = disk(64, 80, 30)
    picture = draw_objects(GRAY, [mask])
    inside = mask.repeat(2, 0).repeat(2, 1)
    assert (picture[~inside] == 120).all()
    assert (picture[inside] != 120).any(axis=1).all()
    assert tuple(picture[128, 160]) not in (PALETTE[0], (120, 120, 120))  # a tint, not the color itself
    first = np.nonzero(inside[128])[0][0]
    assert tuple(picture[128, first]) == PALETTE[0]


def test_the_image_itself_stays_as_it_was():
    image = GRAY.copy()
    draw_objects(image, [disk(64, 80, 30)], boxes=[(50, 34, 110, 94)])
    assert np.array_equal(image, GRAY)


def test_boxes_stay_inside_the_picture():
    corners = [disk(0, 0, 20), disk(127, 159, 20)]
    plain = draw_objects(GRAY, corners)
    boxes = [(-10, -10, 20, 20), (139, 107, 400, 400)]
    marked = draw_objects(GRAY, corners, boxes=boxes)
    assert marked.shape == plain.shape
    assert tuple(marked[214, 300]) == PALETTE[1]  # the top edge of the second box, at twice its coordinates
    for center in ((10, 10), (250, 310)):
        assert not np.array_equal(marked[center], (120, 120, 120))


def test_an_empty_mask_is_drawn_without_complaint():
    assert draw_objects(GRAY, [np.zeros((128, 160), bool)]).shape == (256, 320, 3)


def test_one_color_and_one_box_belong_to_each_mask():
    with pytest.raises(ValueError, match="zip"):
        draw_objects(GRAY, [disk(64, 80, 9)], colors=[MISSED, MISSED])


def test_matches_take_the_best_overlap_and_use_each_prediction_once():
    objects = [disk(40, 40, 20), disk(40, 44, 20), disk(90, 120, 20)]
    predictions = [disk(40, 44, 20), disk(90, 120, 4)]
    assert match_masks(objects, predictions) == {1: 0}


def test_missed_objects_are_outlined_in_red():
    objects = [disk(40, 40, 20), disk(90, 120, 20)]
    everything, found_all = draw_found(GRAY, objects, objects)
    half, found_one = draw_found(GRAY, objects, [objects[0]])
    nothing, found_none = draw_found(GRAY, objects, [])
    assert (found_all, found_one, found_none) == (2, 1, 0)

    def num_red(picture):
        return int((picture == MISSED).all(axis=-1).sum())

    assert num_red(everything) == 0
    assert 0 < num_red(half) < num_red(nothing)
    assert tuple(nothing[80, 80]) == (120, 120, 120)  # only outlined


def test_a_contact_sheet_holds_every_picture_in_its_cell():
    rows = [[np.full((40, 80, 3), value, np.uint8) for value in row] for row in ((10, 60), (110, 160), (210,))]
    bare = contact_sheet(rows, cell=64, gap=4)
    assert bare.shape == (4 + 3 * 68, 4 + 2 * 68, 3)
    for row, values in enumerate(((10, 60), (110, 160), (210,))):
        for column, value in enumerate(values):
            assert (bare[4 + row * 68 + 32, 4 + column * 68 + 32] == value).all()
    captioned = contact_sheet(rows, ["one", "two"], cell=64, gap=4)
    assert captioned.shape[0] > bare.shape[0]
    assert captioned.shape[1] == bare.shape[1]
    assert contact_sheet([]).shape == (8, 8, 3)


def test_fit_keeps_the_proportions():
    assert fit(np.zeros((100, 200, 3), np.uint8), 50).shape == (25, 50, 3)
    assert fit(np.zeros((1, 400, 3), np.uint8), 100).shape == (1, 100, 3)

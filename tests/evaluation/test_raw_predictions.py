"""Pictures of all predictions: which count as false, and that they look it."""

import numpy as np

from vclr.evaluation.raw_predictions import UNMATCHED, draw_raw

PHOTO = np.full((64, 64, 3), 200, np.uint8)


def box(left, top, side=20):
    mask = np.zeros((64, 64), np.uint8)
    mask[top : top + side, left : left + side] = 1
    return mask


def dark_pixels(picture):
    return np.argwhere((picture == UNMATCHED).all(axis=2))


def test_predictions_that_fit_are_filled_and_the_others_dashed():
    picture, unmatched = draw_raw(PHOTO, [box(5, 5)], [box(6, 5), box(40, 40)])
    assert unmatched == 1
    assert (picture[60, 60] != 200).any()  # 64 pixels are shown as 256: inside the first
    assert (picture[200, 200] == 200).all()
    dashes = dark_pixels(picture)
    assert (dashes.min() >= 155) and (dashes.max() <= 245)  # around the second
    drawn_above = set(dashes[dashes[:, 0] < 165][:, 1])
    assert 20 < len(drawn_above) < 70  # of 80 pixels: with gaps


def test_a_second_prediction_of_one_object_fits_none():
    _, unmatched = draw_raw(PHOTO, [box(5, 5)], [box(5, 5), box(6, 5)])
    assert unmatched == 1


def test_nothing_predicted_and_masks_at_the_edge():
    picture, unmatched = draw_raw(PHOTO, [box(5, 5)], [])
    assert unmatched == 0
    assert (picture == 200).all()
    _, unmatched = draw_raw(PHOTO, [], [np.ones((64, 64)), np.zeros((64, 64)), box(63, 63, 1)])
    assert unmatched == 3

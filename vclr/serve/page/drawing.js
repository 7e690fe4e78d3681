/* Draw found objects on a photo: translucent masks with outlines, boxes, scores. */

import {forEachRectangle} from "./run_lengths.js";

const OPACITY = 0.35, LIT_OPACITY = 0.6, PALE_OPACITY = 0.12;
const LINE = 1 / 220;  // width of the outlines, of the picture's short side
const INSIDE = 1, OUTLINE = 2;
const palette = JSON.parse(document.documentElement.dataset.palette);
const bitmaps = new WeakMap();  // of objects, at the size at which they were drawn last

/** Return the color of an object, [red, green, blue]. */
export const colorOf = (object) => palette[object.number % palette.length];

/** Return a canvas of a photo's pixels; transparent ones are white. */
export function makeCanvas(photo, width, height) {
  const canvas = new OffscreenCanvas(width, height), context = canvas.getContext("2d", {willReadFrequently: true});
  context.fillStyle = "#fff";
  context.fillRect(0, 0, width, height);
  context.imageSmoothingQuality = "high";
  context.imageSmoothingEnabled = width < photo.width || height < photo.height;  // enlarged pixels stay crisp
  context.drawImage(photo, 0, 0, width, height);
  return context.getImageData(0, 0, width, height);
}

/**
 * Draw objects on a canvas.
 *
 * photo: the pixels, of the canvas's size; objects: best first; show: what to draw (masks, boxes, labels);
 * lit: an object that stands out, or null; font: size of the scores in pixels.
 */
export function draw(canvas, photo, objects, show, lit, font) {
  const {width, height} = photo, context = canvas.getContext("2d");
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  const pixels = new ImageData(new Uint8ClampedArray(photo.data), width, height);
  const weakestFirst = [...objects].reverse();
  if (show.masks) {
    for (const object of weakestFirst) {
      const opacity = !lit ? OPACITY : object === lit ? LIT_OPACITY : PALE_OPACITY;
      blend(pixels, bitmapOf(object, width, height), colorOf(object), opacity, lit && object !== lit ? 0.45 : 1);
    }
  }
  context.putImageData(pixels, 0, 0);
  const scale = width / objects[0]?.photo.width || 1;
  if (show.boxes) for (const object of weakestFirst) drawBox(context, object, scale, lineOf(width, height), lit);
  if (show.labels) for (const object of weakestFirst) drawScore(context, object, scale, font, lit);
}

/** Return the object at a place of the canvas: the smallest one there. */
export function objectAt(objects, x, y, width, height, byMask) {
  const scale = width / objects[0]?.photo.width || 1;
  const hit = (object) => {
    if (byMask) {
      const {left, top, columns, rows, values} = bitmapOf(object, width, height);
      const [column, row] = [x - left, y - top];
      return column >= 0 && row >= 0 && column < columns && row < rows && values[row * columns + column] > 0;
    }
    const [left, top, wide, high] = object.bbox.map((value) => value * scale);
    return x >= left && y >= top && x < left + wide && y < top + high;
  };
  return objects.filter(hit).sort((a, b) => a.bbox[2] * a.bbox[3] - b.bbox[2] * b.bbox[3])[0] ?? null;
}

const lineOf = (width, height) => Math.max(1, Math.round(Math.min(width, height) * LINE));

/** Return the mask of an object, cropped: the values are 0, INSIDE or OUTLINE. */
function bitmapOf(object, width, height) {
  const known = bitmaps.get(object);
  if (known?.width === width) return known;
  const rectangles = [];
  let [left, top, right, bottom] = [width, height, 0, 0];
  forEachRectangle(object.segmentation, width, height, (...sides) => {
    rectangles.push(sides);
    [left, top] = [Math.min(left, sides[0]), Math.min(top, sides[1])];
    [right, bottom] = [Math.max(right, sides[2]), Math.max(bottom, sides[3])];
  });
  const columns = Math.max(0, right - left), rows = Math.max(0, bottom - top), values = new Uint8Array(columns * rows);
  for (const [from, first, to, last] of rectangles) {
    for (let row = first; row < last; row++) {
      values.fill(INSIDE, (row - top) * columns + from - left, (row - top) * columns + to - left);
    }
  }
  outline(values, columns, rows, lineOf(width, height));
  const bitmap = {width, left, top, columns, rows, values};
  bitmaps.set(object, bitmap);
  return bitmap;
}

/** Mark the pixels of a mask that are within a distance of its outside. */
function outline(values, columns, rows, distance) {
  const slant = Math.max(1, Math.round(distance * 0.7));
  const steps = [[distance, 0], [-distance, 0], [0, distance], [0, -distance]];
  steps.push([slant, slant], [slant, -slant], [-slant, slant], [-slant, -slant]);
  const isOutside = (column, row) =>
    column < 0 || row < 0 || column >= columns || row >= rows || !values[row * columns + column];
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const index = row * columns + column;
      if (values[index] && steps.some(([x, y]) => isOutside(column + x, row + y))) values[index] = OUTLINE;
    }
  }
}

function blend({data, width}, {left, top, columns, rows, values}, color, opacity, lineOpacity) {
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const value = values[row * columns + column];
      if (!value) continue;
      const share = value === OUTLINE ? lineOpacity : opacity, at = 4 * ((row + top) * width + column + left);
      for (let channel = 0; channel < 3; channel++) data[at + channel] += share * (color[channel] - data[at + channel]);
    }
  }
}

function drawBox(context, object, scale, line, lit) {
  context.globalAlpha = lit && lit !== object ? 0.4 : 1;
  const sides = object.bbox.map((value) => value * scale);
  for (const [width, style] of [[line + 2, "rgb(0 0 0 / .55)"], [line, `rgb(${colorOf(object)})`]]) {
    context.lineWidth = width;
    context.strokeStyle = style;
    context.strokeRect(...sides);
  }
  context.globalAlpha = 1;
}

function drawScore(context, object, scale, font, lit) {
  context.globalAlpha = lit && lit !== object ? 0.4 : 1;
  context.font = `600 ${font}px system-ui, sans-serif`;
  context.textBaseline = "middle";
  const text = object.score.toFixed(2), wide = context.measureText(text).width + 0.6 * font, high = 1.3 * font;
  const [x, y] = object.bbox.map((value) => value * scale);
  const left = Math.max(0, Math.min(x, context.canvas.width - wide)), top = y >= high ? y - high : Math.max(0, y);
  context.fillStyle = `rgb(${colorOf(object)})`;
  context.fillRect(left, top, wide, high);
  context.fillStyle = "#111";
  context.fillText(text, left + 0.3 * font, top + high / 2);
  context.globalAlpha = 1;
}

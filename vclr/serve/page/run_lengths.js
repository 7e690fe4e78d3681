/* COCO's compressed run lengths: column by column, zeros first, 5 bits per character. */

/** Return the run lengths that a text of counts holds. */
export function decodeCounts(text) {
  const lengths = [];
  let position = 0;
  while (position < text.length) {
    let value = 0, shift = 0, code;
    do {
      code = text.charCodeAt(position++) - 48;
      value += (code & 31) * 2 ** shift;
      shift += 5;
    } while (code & 32);
    if (code & 16) value -= 2 ** shift;
    if (lengths.length > 2) value += lengths[lengths.length - 2];
    lengths.push(value);
  }
  return lengths;
}

/**
 * Call fill(left, top, right, bottom) for rectangles that make up a mask on a canvas of any size.
 *
 * A pixel of the canvas belongs to the mask if the pixel of the photo under its center does.
 */
export function forEachRectangle({size: [rows, columns], counts}, width, height, fill) {
  const first = (edge, from, to) => Math.max(0, Math.ceil((edge * to) / from - 0.5));  // the first center beyond an edge
  let start = 0;
  decodeCounts(counts).forEach((length, number) => {
    const end = start + length;
    for (let at = start; number % 2 && at < end;) {
      const column = Math.floor(at / rows), stop = Math.min(end, (column + 1) * rows);
      const left = first(column, columns, width), right = first(column + 1, columns, width);
      const top = first(at - column * rows, rows, height), bottom = first(stop - column * rows, rows, height);
      if (left < right && top < bottom) fill(left, top, right, bottom);
      at = stop;
    }
    start = end;
  });
}

/** Return a mask at another size, as COCO stores it. */
export function resize(segmentation, width, height) {
  if (segmentation.size[0] === height && segmentation.size[1] === width) return segmentation;
  const lengths = [];
  let position = 0, column = [], from = 0, to = 0;
  const add = (start, end) => {
    if (start === position && lengths.length) lengths[lengths.length - 1] += end - start;  // goes on from the last column
    else lengths.push(start - position, end - start);
    position = end;
  };
  const flush = () => {
    for (let x = from; x < to; x++) for (const [top, bottom] of column) add(x * height + top, x * height + bottom);
  };
  forEachRectangle(segmentation, width, height, (left, top, right, bottom) => {
    if (left !== from || right !== to) {
      flush();
      [column, from, to] = [[], left, right];
    }
    column.push([top, bottom]);
  });
  flush();
  if (position < width * height) lengths.push(width * height - position);
  return {size: [height, width], counts: encodeCounts(lengths)};
}

function encodeCounts(lengths) {
  let text = "";
  lengths.forEach((length, index) => {
    let value = index > 2 ? length - lengths[index - 2] : length;
    for (let more = true; more;) {
      let code = value & 31;
      value >>= 5;
      more = code & 16 ? value !== -1 : value !== 0;
      if (more) code |= 32;
      text += String.fromCharCode(code + 48);
    }
  });
  return text;
}

/* What one detector found: the picture, its objects as a list, and the downloads. */

import {colorOf, draw, makeCanvas, objectAt} from "./drawing.js";
import {resize} from "./run_lengths.js";

const LEAST_SIDE = 640, MOST_SIDE = 1600;  // of the canvas; what is downloaded has the photo's size
const FONT = 13;  // pixels of the screen

export class Panel {
  constructor(element) {
    this.element = element;
    this.canvas = this.part("canvas");
    this.lit = null;
    this.canvas.addEventListener("pointermove", (event) => this.point(event));
    this.canvas.addEventListener("pointerdown", (event) => this.point(event));
    this.canvas.addEventListener("pointerleave", ({pointerType}) => {
      if (pointerType !== "touch") this.light(null);  // a lifted finger should not hide what it touched
    });
    this.part(".json").addEventListener("click", () => this.downloadJson());
    this.part(".png").addEventListener("click", () => this.downloadPicture());
    addEventListener("resize", () => this.photo && this.draw());
  }

  part(selector) {
    return this.element.querySelector(selector);
  }

  /** Show a photo, and nothing found in it yet. */
  setPhoto(photo, name) {
    [this.photo, this.name, this.objects, this.shown, this.lit] = [photo, name, null, [], null];
    const long = Math.max(photo.width, photo.height);
    const scale = long > MOST_SIDE ? MOST_SIDE / long : Math.max(1, Math.floor(LEAST_SIDE / long));
    this.pixels = makeCanvas(photo, Math.max(1, Math.round(photo.width * scale)), Math.max(1, Math.round(photo.height * scale)));
    this.part(".tip").hidden = this.part(".empty").hidden = this.part(".downloads").hidden = true;
    this.part(".count").textContent = "";
    this.part(".chips").replaceChildren();
    this.draw();
  }

  /** Show what was found: the objects of the server's answer. */
  setObjects(objects) {
    let [first, repeats] = [0, 0];
    for (const object of objects) {
      object.photo = {width: this.photo.width, height: this.photo.height};
      object.number = object.is_repeat ? repeats++ : first++;  // its color does not depend on what is shown
    }
    this.objects = objects;
    this.update(this.show);
  }

  /** Follow the controls. */
  update(show) {
    this.show = show;
    if (!this.objects) return;
    const chosen = this.objects.filter((object) => show.repeats || !object.is_repeat);
    this.shown = chosen.filter((object) => object.score >= show.score).slice(0, show.most);
    if (!this.shown.includes(this.lit)) this.light(null);
    this.part(".count").textContent = `${this.shown.length} of ${chosen.length} objects`;
    this.part(".downloads").hidden = !this.shown.length;
    this.sayEmpty(show);
    this.listObjects();
    this.draw();
  }

  sayEmpty(show) {
    const empty = this.part(".empty");
    empty.hidden = this.shown.length > 0;
    const best = Math.max(...this.objects.map((object) => object.score));
    empty.textContent = this.objects.length
      ? `No object has a score of ${show.score.toFixed(2)} or more; the best score is ${best.toFixed(2)}.`
      : "The detector found nothing in this photo.";
  }

  listObjects() {
    this.part(".chips").replaceChildren(...this.shown.map((object) => {
      const item = document.createElement("li"), button = document.createElement("button");
      const dot = document.createElement("span");
      dot.className = "dot";
      dot.style.background = `rgb(${colorOf(object)})`;
      button.type = "button";
      button.append(dot, object.score.toFixed(2));
      button.setAttribute("aria-label", describe(object));
      for (const kind of ["focus", "pointerenter"]) button.addEventListener(kind, () => this.light(object));
      for (const kind of ["blur", "pointerleave"]) button.addEventListener(kind, () => this.light(null));
      item.append(button);
      return item;
    }));
  }

  point(event) {
    const {width, height} = this.pixels ?? {width: 1, height: 1};
    const x = Math.floor((event.offsetX * width) / this.canvas.clientWidth);
    const y = Math.floor((event.offsetY * height) / this.canvas.clientHeight);
    const object = this.objects && objectAt(this.shown, x, y, width, height, this.show.masks);
    this.light(object || null, event.offsetX, event.offsetY);
  }

  /** Let an object stand out, and tell its score at a place of the screen or at its box. */
  light(object, x, y) {
    const tip = this.part(".tip");
    tip.hidden = !object;
    if (object) {
      const scale = this.canvas.clientWidth / object.photo.width;
      tip.textContent = describe(object);
      const [left, top] = [x ?? object.bbox[0] * scale, y ?? object.bbox[1] * scale];
      tip.style.left = `${Math.max(0, Math.min(left + 12, this.canvas.clientWidth - tip.offsetWidth))}px`;
      tip.style.top = `${Math.max(0, top - 34)}px`;
    }
    if (object === this.lit) return;
    this.lit = object;
    const buttons = this.part(".chips").querySelectorAll("button");
    buttons.forEach((button, index) => button.classList.toggle("lit", this.shown[index] === object));
    this.draw();
  }

  draw() {
    const font = (FONT * this.pixels.width) / (this.canvas.clientWidth || this.pixels.width);
    draw(this.canvas, this.pixels, this.shown, this.show, this.lit, font);
    const what = this.objects ? `, with ${this.shown.length} objects` : "";
    this.canvas.setAttribute("aria-label", `The photo ${this.name}${what}`);
  }

  downloadJson() {
    const {width, height} = this.photo;
    const results = this.shown.map(({category_id, bbox, score, segmentation}) =>
      ({file_name: this.name, width, height, category_id, bbox, score, segmentation: resize(segmentation, width, height)}));
    save(new Blob([JSON.stringify(results)], {type: "application/json"}), `${this.stem()}.json`);
  }

  async downloadPicture() {
    const {width, height} = this.photo, canvas = new OffscreenCanvas(width, height);
    const font = Math.max(11, Math.round(Math.max(width, height) / 75));
    draw(canvas, makeCanvas(this.photo, width, height), this.shown, this.show, null, font);
    save(await canvas.convertToBlob({type: "image/png"}), `${this.stem()}.png`);
    if (this.lit) this.draw();
  }

  stem() {
    const several = document.querySelectorAll(".panel").length > 1;
    return this.name.replace(/\.[^.]*$/, "") + "_objects" + (several ? `_${this.element.dataset.number}` : "");
  }
}

function describe(object) {
  const [wide, high] = object.bbox.slice(2).map(Math.round);
  return `score ${object.score.toFixed(2)}, ${wide} × ${high} pixels`;
}

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

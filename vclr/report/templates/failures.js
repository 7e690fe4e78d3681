/* The failure browser: filtered pictures, and on request the ground truth and every experiment side by side. */
(() => {
  const KINDS = { missed: "missed by all", only: "found by one only", unfitting: "fits no object" };
  const svg = (name, attributes) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  };
  const make = (name, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(name), properties);
    element.append(...children);
    return element;
  };

  /* Return a photo with outlines over it; each has a `path` and a `look`, the class that colors it. */
  function draw(photo, outlines, alt) {
    const layer = svg("svg", { viewBox: `0 0 ${photo.width} ${photo.height}`, "aria-hidden": "true" });
    for (const { path, look } of outlines) {
      layer.append(svg("path", { d: path, class: "halo" }), svg("path", { d: path, class: look }));
    }
    const image = make("img", { src: photo.source, alt, width: photo.width, height: photo.height, loading: "lazy" });
    const frame = make("span", {}, image, layer);
    frame.style.aspectRatio = `${photo.width} / ${photo.height}`;
    return make("div", { className: "photo" }, frame);
  }

  function browse(section) {
    const data = JSON.parse(section.querySelector("script").textContent);
    const [form, list, dialog] = ["form", ".thumbs", "dialog"].map((name) => section.querySelector(name));
    const [title, panels] = ["h4", ".panels"].map((name) => dialog.querySelector(name));
    let shown = [];
    let current = 0;

    const fits = (entry) =>
      ["kind", "run", "group", "size", "class"].every((name) => {
        const wanted = form.elements[name].value;
        // What all have missed belongs to every experiment, and a prediction that fits nothing to every group.
        return !wanted || entry[name] === wanted || (entry[name] === "" && name !== "class");
      });

    function describe(entry) {
      const what = entry.class || `prediction, score ${entry.score}`;
      return `${what} · ${[entry.size, entry.group, KINDS[entry.kind]].filter(Boolean).join(", ")}${entry.run ? `: ${entry.run}` : ""}`;
    }

    /* The outlines of the ground truth, the object of the entry in front. */
    function truthOf(entry, photo) {
      const looks = photo.truth.map((object, number) => ({ ...object, look: number === entry.truth ? "sought" : "other" }));
      return looks.sort((one, other) => (one.look === "sought") - (other.look === "sought"));
    }

    /* The outlines of an experiment's predictions, the one that the entry is about in front. */
    function foundBy(entry, photo, run) {
      const sought = entry.truth === undefined ? (data.runs[run] === entry.run ? entry.rank : null) : entry.nearest[run];
      const isRight = entry.truth !== undefined && entry.found[run];
      const looks = photo.runs[run].map((found) => {
        if (found.rank === sought) return { ...found, look: isRight ? "sought" : "wrong" };
        return { ...found, look: found.fits < 0 ? "unfitting" : "other" };
      });
      return looks.sort((one, other) => (one.rank === sought) - (other.rank === sought));
    }

    function captionOf(entry, photo, run) {
      if (entry.truth === undefined) return data.runs[run] === entry.run ? `score ${entry.score}, fits no object` : "";
      const nearest = photo.runs[run].find((found) => found.rank === entry.nearest[run]);
      return nearest ? `${entry.found[run] ? "found it" : "nearest prediction"}: IoU ${entry.overlaps[run]}, score ${nearest.score}` : "no prediction touches it";
    }

    function thumbnail(entry, number) {
      const photo = data.photos[entry.photo];
      const run = data.runs.indexOf(entry.run);
      const focus = entry.truth === undefined ? foundBy(entry, photo, run).slice(-1) : truthOf(entry, photo).slice(-1);
      const button = make("button", { type: "button", tabIndex: number ? -1 : 0 }, draw(photo, focus, ""), make("small", { textContent: describe(entry) }));
      button.addEventListener("click", () => open(number));
      return make("li", {}, button);
    }

    function filter() {
      shown = data.entries.filter(fits);
      list.replaceChildren(...shown.map(thumbnail));
      form.querySelector("output").textContent = `${shown.length} of ${data.entries.length}`;
    }

    function open(number) {
      current = (number + shown.length) % shown.length;
      const entry = shown[current];
      const photo = data.photos[entry.photo];
      const panel = (name, outlines, caption) =>
        make("figure", {}, draw(photo, outlines, `${photo.name}: ${name}`), make("figcaption", {}, make("b", { textContent: name }), caption));
      title.textContent = `${current + 1} of ${shown.length}: ${describe(entry)} · ${photo.name}`;
      panels.replaceChildren(
        panel("ground truth", truthOf(entry, photo), `${photo.truth.length} annotated`),
        ...data.runs.map((name, run) => panel(name, foundBy(entry, photo, run), captionOf(entry, photo, run))),
      );
      if (!dialog.open) dialog.showModal();
    }

    /* Of all pictures, the tab key reaches one; arrow keys move among them. */
    function focus(number) {
      const buttons = [...list.querySelectorAll("button")];
      const next = Math.max(0, Math.min(buttons.length - 1, number));
      buttons.forEach((button, position) => (button.tabIndex = position === next ? 0 : -1));
      buttons[next]?.focus();
    }

    for (const name of ["kind", "run", "group", "size", "class"]) {
      const values = name === "run" ? data.runs : [...new Set(data.entries.map((entry) => entry[name]))].filter(Boolean);
      const ordered = name === "class" ? values.sort() : values;
      form.elements[name].append(new Option("all", ""), ...ordered.map((value) => new Option(name === "kind" ? KINDS[value] : value, value)));
      form.elements[name].addEventListener("change", filter);
    }
    list.addEventListener("keydown", (event) => {
      const buttons = [...list.querySelectorAll("button")];
      const now = buttons.indexOf(document.activeElement);
      const columns = getComputedStyle(list).gridTemplateColumns.split(" ").length;
      const next = { ArrowRight: now + 1, ArrowLeft: now - 1, ArrowDown: now + columns, ArrowUp: now - columns, Home: 0, End: Infinity }[event.key];
      if (next === undefined) return;
      event.preventDefault();
      focus(next);
    });
    dialog.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (step) open(current + step);
    });
    dialog.querySelectorAll("[data-step]").forEach((button) => button.addEventListener("click", () => open(current + Number(button.dataset.step))));
    dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => focus(current));
    form.hidden = false;
    filter();
  }

  document.querySelectorAll(".failures").forEach(browse);
})();

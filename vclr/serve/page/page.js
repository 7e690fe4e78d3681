/* The page: a photo is chosen, sent, and shown with what was found; the controls drive all panels. */

import {Panel} from "./panel.js";
import {Complaint, send} from "./requests.js";

const find = (id) => document.getElementById(id);
const panels = [...document.querySelectorAll(".panel")].map((element) => new Panel(element));
const tabs = [find("tab-objects"), find("tab-views")];
const maxBytes = Number(document.documentElement.dataset.maxBytes);
let work = new AbortController();  // what is going on for the photo
let file = null, viewsShown = null;  // the photo whose objects, and whose views, are shown

document.body.classList.add("start");

function say(text, isBusy = true) {
  find("status").textContent = text;
  find("status").classList.toggle("busy", isBusy && text !== "");
}

function complain(text) {
  find("complaint").textContent = text;
  find("complaint").hidden = !text;
}

/** Run what a visitor asked for; say what went wrong. */
async function run(task) {
  const {signal} = work;
  try {
    await task(signal);
  } catch (error) {
    if (signal.aborted) return;
    if (!(error instanceof Complaint)) console.error(error);
    say("", false);
    complain(error instanceof Complaint ? error.message : `The page failed: ${error.message}`);
  }
}

function readControls() {
  const most = Number.parseInt(find("most").value, 10);
  const show = {score: Number(find("score").value), most: most > 0 ? most : 1};
  for (const name of ["masks", "boxes", "labels", "repeats"]) show[name] = find(name).checked;
  return show;
}

function followControls() {
  const show = readControls();
  find("score-shown").textContent = show.score.toFixed(2);
  for (const panel of panels) panel.update(show);
}

function choose(chosen) {
  work.abort();
  work = new AbortController();
  complain("");
  run((signal) => lookAt(chosen, signal));
}

async function lookAt(chosen, signal) {
  if (chosen.size > maxBytes) {
    throw new Complaint(`${chosen.name} is too large: at most ${maxBytes / 1e6} MB are accepted.`);
  }
  const started = performance.now();
  say("Sending the photo …");
  const preview = await decode(chosen);
  signal.throwIfAborted();
  if (preview) showPhoto(chosen, preview);
  let answer;
  try {
    answer = await (await send("predict", chosen, say, signal)).json();
  } catch (error) {
    if (!signal.aborted && preview) hidePhoto();
    throw error instanceof Complaint ? new Complaint(`${chosen.name}: ${error.message}`) : error;
  }
  if (!preview || preview.width !== answer.width || preview.height !== answer.height) {
    // The browser cannot read the format, or does not turn it upright.
    const shown = await (await send("photo", chosen, say, signal)).blob();
    showPhoto(chosen, await createImageBitmap(shown));
  }
  file = chosen;
  answer.detectors.forEach(({objects}, index) => panels[index].setObjects(objects));
  const seconds = (performance.now() - started) / 1000;
  say(`${answer.width} × ${answer.height} pixels, answered in ${seconds.toFixed(1)} s`, false);
  if (tabs[1].getAttribute("aria-selected") === "true") await showViews(signal);
}

function decode(chosen) {
  return createImageBitmap(chosen).catch(() => null);
}

function showPhoto(chosen, bitmap) {
  document.body.classList.remove("start");
  file = viewsShown = null;
  document.querySelector(".gallery").replaceChildren();
  find("chosen").textContent = chosen.name;
  find("found").hidden = false;
  const show = readControls();
  for (const panel of panels) {
    panel.show = show;
    panel.setPhoto(bitmap, chosen.name);
  }
}

function hidePhoto() {
  find("found").hidden = true;
  find("chosen").textContent = "";
  file = null;
}

async function showViews(signal) {
  if (!file || viewsShown === file) return;
  const shown = file;
  say("Computing the views …");
  const {views} = await (await send("views", shown, say, signal)).json();
  if (file !== shown) return;
  viewsShown = shown;
  document.querySelector(".gallery").replaceChildren(...views.map(({name, says, picture}) => {
    const figure = document.createElement("figure"), image = new Image(), caption = document.createElement("figcaption");
    const title = document.createElement("b");
    title.textContent = name.replaceAll("_", " ");
    image.src = picture;
    image.alt = `${shown.name}, view ${name}`;
    caption.append(title, `: ${says}`);
    figure.append(image, caption);
    return figure;
  }));
  say(`${views.length} views`, false);
}

function openTab(tab) {
  for (const other of tabs) {
    const isOpen = other === tab;
    other.setAttribute("aria-selected", isOpen);
    other.tabIndex = isOpen ? 0 : -1;
    find(other.getAttribute("aria-controls")).hidden = !isOpen;
  }
  find("controls").hidden = tab !== tabs[0];
  if (tab === tabs[1]) run(showViews);
  else for (const panel of panels) if (panel.photo) panel.draw();
}

for (const tab of tabs) {
  tab.addEventListener("click", () => openTab(tab));
  tab.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
    const other = tabs[1 - tabs.indexOf(tab)];
    openTab(other);
    other.focus();
  });
}
find("controls").addEventListener("input", followControls);
find("controls").addEventListener("submit", (event) => event.preventDefault());
find("file").addEventListener("change", () => {
  if (find("file").files.length) choose(find("file").files[0]);
  find("file").value = "";  // so that the same file can be chosen again
});
addEventListener("paste", (event) => {
  const pasted = [...(event.clipboardData?.files ?? [])];
  if (pasted.length) choose(pasted[0]);
});

/* Whatever is dragged onto the page must not replace it. */
const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
addEventListener("dragover", (event) => {
  event.preventDefault();
  find("drop").hidden = !hasFiles(event);
});
addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) find("drop").hidden = true;
});
addEventListener("drop", (event) => {
  event.preventDefault();
  find("drop").hidden = true;
  const [dropped] = event.dataTransfer?.files ?? [];
  if (dropped) choose(dropped);
  else complain("That is not a file. Save the picture first, then drop its file here.");
});

// The token has become a cookie: it must not stay in the address, from where people copy it.
if (location.search) history.replaceState(null, "", location.pathname);
followControls();

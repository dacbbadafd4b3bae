// The demonstration: one component for the page in the browser and for the widget in a notebook. They differ only in
// their transport: `ask(question, content)` returns a promise of an object, or throws an Error for people to read.

const DEBOUNCE_MS = 150; // a slider keeps changing while it is dragged
const DARKEST = 0.8; // how far a picture is darkened where the model does not look
const SHOWN_UPLOADS = 4;
const PART_BYTES = 1_000_000; // messages to a kernel are limited to a few megabytes
let instances = 0;

const percent = new Intl.NumberFormat("en", { style: "percent", maximumSignificantDigits: 2 }).format;
const rounded = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 }).format;

/** Make an element. Texts become text nodes, so nothing in them is ever read as markup. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name in element && name !== "role") element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** Where the largest weight is, in words. */
function placeOf(weights) {
  const columns = weights[0].length;
  const all = weights.flat();
  const index = all.indexOf(Math.max(...all));
  const third = (at, count) => Math.min(2, Math.floor((3 * (at + 0.5)) / count));
  const down = ["top", "", "bottom"][third(Math.floor(index / columns), weights.length)];
  const across = ["left", "", "right"][third(index % columns, columns)];
  return `${down} ${across}`.trim() || "middle";
}

/** Draw a picture that is bright where the weights are large, and dark elsewhere. */
function drawLit(canvas, image, weights) {
  const context = canvas.getContext("2d");
  const largest = Math.max(...weights.flat());
  const across = (x) => Math.round((x * canvas.width) / weights[0].length);
  const down = (y) => Math.round((y * canvas.height) / weights.length);
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  weights.forEach((row, y) => row.forEach((weight, x) => {
    context.fillStyle = `rgb(20 20 24 / ${DARKEST * (1 - weight / largest)})`;
    context.fillRect(across(x), down(y), across(x + 1) - across(x), down(y + 1) - down(y));
  }));
}

function mountDemo(root, ask, { dropTarget = root, headingLevel = 2 } = {}) {
  const prefix = `caption-demo-${++instances}`;
  const heading = (text) => make(`h${headingLevel}`, {}, text);
  const chosen = { picture: undefined, model: undefined, method: undefined, temperature: 1, beams: 3, seed: 1 };
  const names = new Map(); // of pictures, by id
  let overview;
  let wholePicture = ""; // what is written under the picture while no word is pressed
  let asked = 0; // the number of the newest question: answers to older ones are ignored
  let timer;

  // The parts that change

  const note = make("p", { className: "note", role: "note", hidden: true });
  const error = make("p", { className: "error", role: "alert" });
  const announcement = make("p", { className: "unseen", role: "status", "aria-live": "polite" });
  const tiles = make("div", { className: "tiles" });
  const methods = make("fieldset", {}, make("legend", {}, "How words are chosen"));
  const models = make("fieldset", {}, make("legend", {}, "Model"));
  const image = make("img", { alt: "", width: 299, height: 299 });
  const overlay = make("canvas", { className: "overlay", width: 299, height: 299, hidden: true, "aria-hidden": "true" });
  const pictureText = make("figcaption");
  const busyText = make("span");
  const busy = make("p", { className: "busy" }, busyText, make("span", { className: "slow" }, " This is taking longer than usual."));
  const sentence = make("p", { className: "sentence", dir: "auto" });
  const doubts = make("p", { className: "doubts", role: "note", hidden: true });
  const probability = make("p", { className: "probability" });
  const otherList = make("ol");
  const others = make("div", { className: "others" }, make("p", {}, "The other captions it followed to the end, ranked by probability and length:"), otherList);
  const peopleList = make("ul");
  const people = make("details", { className: "people" }, make("summary", {}, "What people would say"), peopleList);
  const steps = make("ol", { className: "steps" });
  const stepsText = make("p");
  const stepsPart = make("section", { className: "word-by-word", hidden: true }, heading("Word by word"), stepsText, steps);

  // Putting them together

  const fileInput = make("input", {
    type: "file", id: `${prefix}-file`, className: "unseen", accept: "image/jpeg,image/png,image/webp,image/bmp,image/gif",
    "aria-describedby": `${prefix}-hint`,
  });
  const dropHint = make("span", { className: "hint", id: `${prefix}-hint` });
  const drop = make("div", { className: "drop" }, fileInput,
    make("label", { htmlFor: fileInput.id, className: "button" }, "Choose a picture"), " or drop one here", dropHint);
  const pictures = make("fieldset", { className: "pictures" }, make("legend", {}, "Picture"), drop, error, tiles);
  const form = make("form", { className: "choices" }, pictures, methods, models);
  const figure = make("figure", {}, make("div", { className: "frame" }, image, overlay), pictureText);
  const words = make("div", { className: "words" }, sentence, doubts, probability, others, people, busy);
  const result = make("section", { className: "result", "aria-label": "Caption", hidden: true }, heading("Caption"), figure, words, stepsPart);

  // Choosing a picture

  function addTile(id, name, thumbnail, alt) {
    const radio = make("input", { type: "radio", name: `${prefix}-picture`, value: id });
    const tile = make("label", { className: "tile", title: name }, radio, make("img", { src: thumbnail, alt }));
    radio.addEventListener("change", () => pick(radio));
    names.set(id, name);
    tiles.append(tile);
    return tile;
  }

  function pick(radio) {
    radio.checked = true;
    chosen.picture = radio.value;
    caption();
  }

  async function take(file) {
    const limit = overview.limits.bytes;
    if (file.size > limit) {
      error.textContent = `${file.name} is too large: ${(file.size / 1e6).toFixed(1)} MB. At most ${limit / 1e6} MB can be read.`;
      return;
    }
    error.textContent = "";
    try {
      const [{ id, thumbnail }, isNewest] = await askAndWait(`Reading ${file.name} …`, "add", file);
      const tile = addTile(id, file.name, thumbnail, `Your picture ${file.name}`);
      tile.classList.add("own");
      tiles.prepend(tile);
      tiles.scrollTo({ left: 0 });
      [...tiles.querySelectorAll(".own")].slice(SHOWN_UPLOADS).forEach((old) => old.remove());
      if (isNewest) pick(tile.firstChild);
    } catch (problem) {
      const reason = problem.message.replace(/\.$/, "");
      error.textContent = `${file.name} cannot be used: ${reason}. Choose a JPEG, PNG, WebP, BMP or GIF file.`;
      result.hidden = chosen.picture === undefined; // nothing to show yet
    }
  }

  function listenForFiles() {
    fileInput.addEventListener("change", () => {
      if (fileInput.files.length) take(fileInput.files[0]);
      fileInput.value = ""; // so that the same file can be chosen again
    });
    let dragDepth = 0; // an element is left only after one inside it has been entered
    const onDrag = (name, depth, action = () => {}) => dropTarget.addEventListener(name, (event) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault(); // or the browser would open the file instead of the page
      event.stopPropagation();
      dragDepth = Math.max(0, depth(dragDepth));
      root.classList.toggle("dragging", dragDepth > 0);
      action(event.dataTransfer);
    });
    onDrag("dragenter", (depth) => depth + 1);
    onDrag("dragleave", (depth) => depth - 1);
    onDrag("dragover", (depth) => depth, (data) => { data.dropEffect = "copy"; });
    onDrag("drop", () => 0, ({ files }) => files.length && take(files[0]));
  }

  // Choosing how words are chosen, and by which model

  function addChoice(fieldset, name, value, title, hint, onChange, ...more) {
    const id = `${prefix}-${name}-${fieldset.children.length}`;
    const radio = make("input", { type: "radio", name: `${prefix}-${name}`, value, checked: value === chosen[name], "aria-describedby": id });
    const details = make("div", { className: "more", hidden: !radio.checked }, ...more);
    radio.addEventListener("change", () => {
      chosen[name] = value;
      fieldset.querySelectorAll(".more").forEach((other) => { other.hidden = other !== details; });
      onChange();
      caption();
    });
    fieldset.append(make("div", { className: "choice" }, make("label", {}, radio, ` ${title}`), make("span", { className: "hint", id }, hint), details));
  }

  function slider(name, text, [min, max], step, digits) {
    const input = make("input", { type: "range", id: `${prefix}-${name}`, min, max, step, value: chosen[name] });
    const output = make("output", { htmlFor: input.id });
    const update = () => {
      chosen[name] = Number(input.value);
      output.textContent = chosen[name].toFixed(digits);
      input.setAttribute("aria-valuetext", output.textContent);
    };
    update();
    input.addEventListener("input", () => { update(); caption(DEBOUNCE_MS); });
    return make("div", { className: "slider" }, make("label", { htmlFor: input.id }, text), input, output);
  }

  function addMethods({ temperature, beams }) {
    const again = make("button", { type: "button" }, "Draw again");
    again.addEventListener("click", () => { chosen.seed += 1; caption(); });
    const add = (...choice) => addChoice(methods, "method", ...choice);
    add("greedy", "Greedy", "always the most probable word", () => {});
    add("sample", "Temperature", "draw each word by its probability", () => {},
      slider("temperature", "Temperature", temperature, 0.1, 1),
      make("p", { className: "hint" }, "Below 1 the choice is more cautious, above 1 more daring."), again);
    add("beam", "Beam search", "follow the best few captions at once", () => {}, slider("beams", "Captions", beams, 1, 0));
  }

  function addModels(list) {
    const showNote = (model) => {
      note.textContent = model.note;
      note.hidden = !model.note;
    };
    chosen.model = list[0].name;
    for (const model of list) {
      addChoice(models, "model", model.name, model.name, model.looks ? "shows where it looks" : "", () => showNote(model));
    }
    models.hidden = list.length < 2;
    showNote(list[0]);
  }

  // Asking

  /** Ask, and show that an answer is on its way; returns the answer, and whether it is to the newest question. */
  async function askAndWait(text, question, content) {
    const number = ++asked;
    busyText.textContent = text;
    result.hidden = false;
    result.setAttribute("aria-busy", "true");
    try {
      return [await ask(question, content), number === asked];
    } finally {
      if (number === asked) result.removeAttribute("aria-busy");
    }
  }

  function caption(delay = 0) {
    clearTimeout(timer);
    error.textContent = "";
    if (chosen.picture === undefined) return;
    timer = setTimeout(async () => {
      const request = { ...chosen };
      try {
        const [answer, isNewest] = await askAndWait("Looking …", "caption", request);
        if (isNewest) await show(answer, request);
      } catch (problem) {
        error.textContent = problem.message;
      }
    }, delay);
  }

  // Showing the answer

  async function show(answer, request) {
    const sentences = overview.examples.find((example) => example.id === request.picture)?.people ?? [];
    image.src = answer.square;
    image.alt = sentences.length ? `Drawing. People say: ${sentences[0]}` : names.get(request.picture);
    await image.decode().catch(() => {});
    wholePicture = `${names.get(request.picture)}, as the network sees it: the square in the middle, `
      + `${image.naturalWidth} × ${image.naturalHeight} pixels.`;
    pictureText.textContent = wholePicture;
    showSentence(answer);
    const [[text, chance], ...rest] = answer.captions;
    const odds = chance < 0.05 && chance > 0 ? `, or 1 in\u00a0${rounded(1 / chance)}` : "";
    const cut = answer.finished ? "" : ` It was cut off after ${answer.steps.length} words.`;
    probability.textContent = `Probability of exactly this sentence: ${percent(chance)}${odds}.${cut}`;
    doubts.textContent = `Do not rely on this caption: ${answer.doubts.join(", and ")}.`;
    doubts.hidden = !answer.doubts.length;
    fill(others, otherList, rest.map(([other, itsChance]) => [other, make("span", { className: "share" }, percent(itsChance))]));
    fill(people, peopleList, sentences.map((line) => [line]));
    showSteps(answer, request);
    const warning = doubts.hidden ? "" : `${doubts.textContent} `;
    announcement.textContent = `Caption: ${text}. ${warning}Probability ${percent(chance)}.`;
  }

  function fill(part, list, items) {
    list.replaceChildren(...items.map(([text, ...more]) => make("li", {}, make("span", {}, text), ...more)));
    part.hidden = !items.length;
  }

  function showSentence({ steps: list, attention }) {
    overlay.hidden = true;
    sentence.replaceChildren(...list.filter((step) => step.word !== "END").flatMap((step, index) => {
      const word = attention
        ? make("button", { type: "button", className: "word", "aria-pressed": "false" }, step.word)
        : make("span", { className: "word" }, step.word);
      word.style.setProperty("--place", index);
      if (attention) word.addEventListener("click", () => look(word, attention[index]));
      return [" ", word];
    }));
  }

  function look(word, weights) {
    const wasPressed = word.getAttribute("aria-pressed") === "true";
    sentence.querySelectorAll("button").forEach((other) => other.setAttribute("aria-pressed", other === word && !wasPressed));
    overlay.hidden = wasPressed;
    pictureText.textContent = wasPressed ? wholePicture : `Bright: where it looked when it wrote “${word.textContent}”.`;
    if (wasPressed) return;
    drawLit(overlay, image, weights);
    announcement.textContent = `For “${word.textContent}” it looked mostly at: ${placeOf(weights)}.`;
  }

  function showSteps({ steps: list, attention }, { method, temperature }) {
    const explanation = {
      greedy: "The most probable next words at each step. The first one is taken.",
      sample: `The probabilities from which each word was drawn, at temperature ${temperature.toFixed(1)}.`,
      beam: "The most probable next words at each step of the best caption. Its words need not be the most probable ones.",
    }[method];
    const where = " The small pictures are bright where it looked; press a word of the caption to see it larger.";
    stepsText.textContent = explanation + (attention ? where : "");
    steps.replaceChildren(...list.map((step, index) => card(step, attention?.[index])));
    stepsPart.hidden = false;
  }

  function card({ word, likely }, weights) {
    const bars = likely.map(([other, chance]) => {
      const bar = make("span", { className: "bar" });
      bar.style.setProperty("--share", chance);
      const share = chance > 0 && chance < 0.001 ? "<\u00a00.1%" : percent(chance);
      const item = make("li", {}, make("span", { className: "likely" }, other),
        make("span", { className: "track", "aria-hidden": "true" }, bar), make("span", { className: "share" }, share));
      if (other === word) {
        item.className = "taken";
        item.append(make("span", { className: "unseen" }, " (chosen)"));
      }
      return item;
    });
    const parts = [make("p", { className: "step-word" }, word)];
    if (weights) {
      const label = `It looked mostly at: ${placeOf(weights)}`;
      parts.push(make("canvas", { width: 120, height: 120, role: "img", "aria-label": label }));
      drawLit(parts[1], image, weights);
    }
    return make("li", {}, ...parts, make("ul", {}, ...bars));
  }

  async function start() {
    try {
      overview = await ask("overview");
    } catch (problem) {
      root.replaceChildren(make("p", { className: "error", role: "alert" }, problem.message));
      return;
    }
    root.classList.add("caption-demo");
    root.replaceChildren(note, make("div", { className: "columns" }, form, result), announcement);
    form.addEventListener("submit", (event) => event.preventDefault());
    dropHint.textContent = `JPEG, PNG, WebP, BMP or GIF, at most ${overview.limits.bytes / 1e6}\u00a0MB`;
    others.hidden = people.hidden = true;
    listenForFiles();
    chosen.method = overview.method;
    addMethods(overview.limits);
    addModels(overview.models);
    const [first] = overview.examples.map(({ id, name, thumbnail, people: said }) => addTile(id, name, thumbnail, said[0] ?? name));
    if (first) pick(first.firstChild);
  }

  start();
}

// The transport of the page: its own server

const TOKEN = new URLSearchParams(location.search).get("token") ?? "";

async function askServer(question, content = {}) {
  const body = content instanceof Blob ? content : JSON.stringify(content);
  let response;
  try {
    response = await fetch(`api/${question}`, { method: "POST", headers: { Authorization: `token ${TOKEN}` }, body });
  } catch {
    throw new Error("The program behind this page does not answer. If it has stopped, start it again: say-what-you-see demo.");
  }
  const answer = await response.json().catch(() => ({ error: "The program's answer cannot be read." }));
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

const page = document.getElementById("caption-demo-page");
if (page) mountDemo(page, askServer, { dropTarget: document });

// The transport of the widget: messages to the kernel

function render({ model, el }) {
  const waiting = new Map();

  const onMessage = ({ id, answer, error }) => {
    const { resolve, reject } = waiting.get(id) ?? {}; // none if another view of the same widget has asked
    waiting.delete(id);
    if (error === undefined) resolve?.(answer);
    else reject?.(new Error(error));
  };
  model.on("msg:custom", onMessage);

  async function askKernel(question, content = {}) {
    const id = `${question}-${Math.random()}`;
    const bytes = content instanceof Blob ? await content.arrayBuffer() : undefined;
    const answer = new Promise((resolve, reject) => waiting.set(id, { resolve, reject }));
    if (bytes === undefined) {
      model.send({ id, question, content });
      return answer;
    }
    for (let start = 0; start === 0 || start < bytes.byteLength; start += PART_BYTES) {
      model.send({ id, question, size: bytes.byteLength }, undefined, [bytes.slice(start, start + PART_BYTES)]);
    }
    return answer;
  }

  mountDemo(el, askKernel, { headingLevel: 4 });
  return () => model.off("msg:custom", onMessage);
}

export default { render };

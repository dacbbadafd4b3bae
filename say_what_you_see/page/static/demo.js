// What page and widget show. `ask(question, content)` answers with an object, or throws an Error for people to read.

const DEBOUNCE_MS = 150; // a slider moves on while it is being dragged
const BUSY_AFTER_MS = 250; // quick answers need no "please wait"
const SLOW_AFTER_MS = 8000;
const FAINT = 0.25; // how bright a picture stays where the model does not look
const SHOWN_UPLOADS = 4;
let instances = 0;

/** Make an element. Texts become text nodes, so nothing in them is ever read as markup. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === undefined) continue;
    if (name in element && name !== "list" && name !== "role") element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== undefined));
  return element;
}

/** A probability for people: "62 %", "0.068 %". */
function percent(probability) {
  const value = 100 * probability;
  if (value === 0) return "0\u00a0%";
  if (value >= 99.95) return "100\u00a0%";
  if (value < 1e-6) return "below 0.000001\u00a0%";
  const digits = value >= 10 ? 0 : Math.min(8, 1 - Math.floor(Math.log10(value)));
  return `${value.toFixed(digits)}\u00a0%`;
}

/** The same for a bar, where there is little room. */
function briefly(probability) {
  if (probability >= 0.0995 || probability === 0) return percent(probability);
  return probability < 0.001 ? "<\u00a00.1\u00a0%" : `${(100 * probability).toFixed(1)}\u00a0%`;
}

/** The same as odds, where the percentage is small: ", or 1 in 1,460". */
function odds(probability) {
  if (probability >= 0.05 || probability < 1e-12) return "";
  const inverse = 1 / probability;
  const rounded = Math.round(Number(inverse.toPrecision(3)));
  return `, or 1 in\u00a0${rounded.toLocaleString("en")}`;
}

/** Where the middle of the largest weight is, in words. */
function placeOf(weights) {
  const rows = weights.length;
  const columns = weights[0].length;
  let best = [0, 0];
  weights.forEach((row, y) => row.forEach((value, x) => {
    if (value > weights[best[0]][best[1]]) best = [y, x];
  }));
  const third = (index, count) => Math.min(2, Math.floor((3 * (index + 0.5)) / count));
  const down = ["top", "", "bottom"][third(best[0], rows)];
  const across = ["left", "", "right"][third(best[1], columns)];
  return `${down} ${across}`.trim() || "middle";
}

/** Draw a picture that is bright where the weights are large, and dim and grey elsewhere. */
function drawLit(canvas, image, weights) {
  const { width, height } = canvas;
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0, width, height);
  const pixels = context.getImageData(0, 0, width, height);
  const largest = Math.max(...weights.flat(), 1e-12);
  for (let y = 0; y < height; y++) {
    const row = weights[Math.floor((y * weights.length) / height)];
    for (let x = 0; x < width; x++) {
      const light = row[Math.floor((x * row.length) / width)] / largest;
      const at = 4 * (y * width + x);
      const grey = (pixels.data[at] + pixels.data[at + 1] + pixels.data[at + 2]) / 3;
      for (let i = at; i < at + 3; i++) pixels.data[i] = light * pixels.data[i] + (1 - light) * FAINT * grey;
    }
  }
  context.putImageData(pixels, 0, 0);
}

export function mountDemo(root, ask, { dropTarget = root, headingLevel = 2 } = {}) {
  const prefix = `caption-demo-${++instances}`;
  const heading = (text) => make(`h${headingLevel}`, {}, text);
  const chosen = { picture: undefined, model: undefined, method: "greedy", temperature: 1, beams: 3, seed: 1 };
  const names = new Map(); // of pictures, by id
  let overview;
  let wholePicture = ""; // what is written under the picture while no word is pressed
  let asked = 0; // the number of the newest question: answers to older ones come too late
  let timer;

  // The parts that change

  const note = make("p", { className: "note", role: "note", hidden: true });
  const error = make("p", { className: "error", role: "alert" });
  const announcement = make("p", { className: "unseen", role: "status", "aria-live": "polite" });
  const tiles = make("div", { className: "tiles" });
  const ways = make("div", { className: "ways" });
  const models = make("fieldset", { hidden: true });
  const image = make("img", { alt: "", width: 299, height: 299 });
  const overlay = make("canvas", { className: "overlay", width: 299, height: 299, hidden: true, "aria-hidden": "true" });
  const frame = make("div", { className: "frame" }, image, overlay);
  const pictureText = make("figcaption");
  const sentence = make("p", { className: "sentence", dir: "auto" });
  const probability = make("p", { className: "probability" });
  const others = make("div", { className: "others" });
  const people = make("div", { className: "people" });
  const busy = make("p", { className: "busy", hidden: true }, "Looking …");
  const steps = make("ol", { className: "steps" });
  const stepsText = make("p");
  const stepsPart = make("section", { className: "word-by-word", hidden: true }, heading("Word by word"), stepsText, steps);

  function say(message) {
    error.textContent = message;
  }

  // Choosing a picture

  function addTile(id, name, thumbnail, alt, first = false) {
    const radio = make("input", { type: "radio", name: `${prefix}-picture`, value: id });
    const label = make("label", { className: "tile", title: name }, radio, make("img", { src: thumbnail, alt }));
    radio.addEventListener("change", () => pick(id));
    names.set(id, name);
    if (first) tiles.prepend(label);
    else tiles.append(label);
    return radio;
  }

  function pick(id) {
    chosen.picture = id;
    say("");
    caption();
  }

  async function take(file) {
    const limit = overview.limits.bytes;
    if (file.size > limit) {
      say(`${file.name} is too large: ${(file.size / 1e6).toFixed(1)} MB. At most ${limit / 1e6} MB can be read.`);
      return;
    }
    say("");
    const number = ++asked;
    const stop = wait(`Reading ${file.name} …`);
    try {
      const { id, thumbnail } = await ask("add", file);
      const radio = addTile(id, file.name, thumbnail, `Your picture ${file.name}`, true);
      radio.closest("label").classList.add("own");
      tiles.scrollTo?.({ left: 0 });
      tiles.querySelectorAll(".own").forEach((tile, index) => index >= SHOWN_UPLOADS && tile.remove());
      if (number === asked) {
        radio.checked = true;
        pick(id);
      }
    } catch (problem) {
      const wrong = problem.message.replace(/\.$/, "");
      say(`${file.name} cannot be used: ${wrong}. Choose a JPEG, PNG, WebP, BMP or GIF file.`);
    } finally {
      stop();
    }
  }

  const fileInput = make("input", {
    type: "file", id: `${prefix}-file`, className: "unseen", accept: "image/jpeg,image/png,image/webp,image/bmp,image/gif",
  });
  fileInput.addEventListener("change", () => {
    if (fileInput.files.length) take(fileInput.files[0]);
    fileInput.value = ""; // so that the same file can be chosen again
  });
  const dropText = make("span", { className: "hint", id: `${prefix}-hint` });
  const drop = make("div", { className: "drop" }, fileInput,
    make("label", { htmlFor: fileInput.id, className: "button" }, "Choose a picture"),
    make("span", { className: "or" }, " or drop one here"), dropText);
  fileInput.setAttribute("aria-describedby", dropText.id);

  let dragDepth = 0;
  const carriesFile = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  const showDrag = (depth) => {
    dragDepth = Math.max(0, depth);
    root.classList.toggle("dragging", dragDepth > 0);
  };
  const onDrag = (name, action) => dropTarget.addEventListener(name, (event) => {
    if (!carriesFile(event) || !overview) return;
    event.preventDefault(); // or the browser would open the file in place of the page
    event.stopPropagation();
    action(event);
  });
  onDrag("dragenter", () => showDrag(dragDepth + 1));
  onDrag("dragleave", () => showDrag(dragDepth - 1));
  onDrag("dragover", (event) => { event.dataTransfer.dropEffect = "copy"; });
  onDrag("drop", (event) => {
    showDrag(0);
    if (event.dataTransfer.files.length) take(event.dataTransfer.files[0]);
  });

  // Choosing how words are chosen

  function slider(name, text, range, step, show) {
    const input = make("input", {
      type: "range", id: `${prefix}-${name}`, min: range[0], max: range[1], step, value: chosen[name],
    });
    const output = make("output", { htmlFor: input.id });
    const update = () => {
      chosen[name] = Number(input.value);
      output.textContent = show(chosen[name]);
      input.setAttribute("aria-valuetext", show(chosen[name]));
    };
    update();
    input.addEventListener("input", () => { update(); caption(DEBOUNCE_MS); });
    return make("div", { className: "slider" }, make("label", { htmlFor: input.id }, text), input, output);
  }

  function addWay(method, title, explanation, ...more) {
    const radio = make("input", { type: "radio", name: `${prefix}-method`, value: method, checked: method === chosen.method });
    const text = make("span", { className: "hint", id: `${prefix}-${method}` }, explanation);
    radio.setAttribute("aria-describedby", text.id);
    const details = make("div", { className: "more", hidden: method !== chosen.method }, ...more);
    radio.addEventListener("change", () => {
      chosen.method = method;
      ways.querySelectorAll(".more").forEach((other) => { other.hidden = other !== details; });
      caption();
    });
    ways.append(make("div", { className: "way" }, make("label", {}, radio, ` ${title}`), text, details));
  }

  function addWays({ temperature, beams }) {
    const again = make("button", { type: "button" }, "Draw again");
    again.addEventListener("click", () => { chosen.seed += 1; caption(); });
    addWay("greedy", "Greedy", "always the most probable word");
    addWay("sample", "Temperature", "draw each word by its probability",
      slider("temperature", "Temperature", temperature, 0.1, (value) => value.toFixed(1)),
      make("p", { className: "hint" }, "Below 1 the choice is more cautious, above 1 more daring."), again);
    addWay("beam", "Beam search", "follow the best few captions at once",
      slider("beams", "Captions", beams, 1, (value) => String(value)));
  }

  function addModels(list) {
    models.append(make("legend", {}, "Model"));
    for (const model of list) {
      const radio = make("input", { type: "radio", name: `${prefix}-model`, value: model.name, checked: model === list[0] });
      radio.addEventListener("change", () => useModel(model));
      const hint = model.looks ? make("span", { className: "hint" }, " shows where it looks") : undefined;
      models.append(make("div", { className: "way" }, make("label", {}, radio, ` ${model.name}`), hint));
    }
    models.hidden = list.length < 2;
    useModel(list[0]);
  }

  function useModel(model) {
    chosen.model = model.name;
    note.textContent = model.note;
    note.hidden = !model.note;
    caption();
  }

  // Asking for a caption

  let stopWaiting = () => {};

  function wait(text) {
    stopWaiting(); // for what was asked before: its answer is not wanted any more
    const shown = setTimeout(() => { busy.textContent = text; busy.hidden = false; }, BUSY_AFTER_MS);
    const slow = setTimeout(() => { busy.textContent = `${text} This takes longer than usual.`; }, SLOW_AFTER_MS);
    result.setAttribute("aria-busy", "true");
    const stop = () => {
      clearTimeout(shown);
      clearTimeout(slow);
      if (stop !== stopWaiting) return;
      busy.hidden = true;
      result.removeAttribute("aria-busy");
    };
    stopWaiting = stop;
    return stop;
  }

  function caption(delay = 0) {
    clearTimeout(timer);
    if (chosen.picture === undefined || chosen.model === undefined) return;
    const number = ++asked;
    const wish = { ...chosen };
    timer = setTimeout(async () => {
      const stop = wait("Looking …");
      try {
        const answer = await ask("caption", wish);
        if (number === asked) await show(answer, wish);
      } catch (problem) {
        if (number === asked) say(problem.message);
      } finally {
        stop();
      }
    }, delay);
  }

  // Showing what came of it

  async function show(answer, wish) {
    const example = overview.examples.find((candidate) => candidate.id === wish.picture);
    image.src = answer.square;
    image.alt = example?.people.length ? `Drawing. People say: ${example.people[0]}` : names.get(wish.picture);
    await image.decode().catch(() => {});
    wholePicture = `${names.get(wish.picture)}, as the network sees it: the square in the middle, `
      + `${image.naturalWidth} × ${image.naturalHeight} pixels.`;
    pictureText.textContent = wholePicture;
    const [[text, chance], ...rest] = answer.captions;
    showSentence(answer);
    probability.textContent = `Probability of exactly this sentence: ${percent(chance)}${odds(chance)}.`
      + (answer.finished ? "" : ` It was cut after ${answer.steps.length} words.`);
    showOthers(rest);
    showPeople(example?.people ?? []);
    showSteps(answer, wish);
    announcement.textContent = `Caption: ${text}. Probability ${percent(chance)}.`;
  }

  function showSentence({ steps: words, attention }) {
    const spoken = words.filter((step) => step.word !== "END");
    overlay.hidden = true;
    sentence.replaceChildren(...spoken.flatMap((step, index) => {
      const word = attention
        ? make("button", { type: "button", className: "word", "aria-pressed": "false" }, step.word)
        : make("span", { className: "word" }, step.word);
      word.style.setProperty("--place", index);
      if (attention) word.addEventListener("click", () => look(word, attention[index]));
      return index ? [" ", word] : [word];
    }));
  }

  function look(word, weights) {
    const pressed = word.getAttribute("aria-pressed") === "true";
    sentence.querySelectorAll("button").forEach((other) => other.setAttribute("aria-pressed", "false"));
    word.setAttribute("aria-pressed", String(!pressed));
    overlay.hidden = pressed;
    pictureText.textContent = pressed ? wholePicture : `Bright: where it looked when it wrote “${word.textContent}”.`;
    if (pressed) return;
    drawLit(overlay, image, weights);
    announcement.textContent = `For “${word.textContent}” it looked mostly at: ${placeOf(weights)}.`;
  }

  function showOthers(rest) {
    others.replaceChildren();
    if (!rest.length) return;
    const rows = rest.map(([text, chance]) => make("li", {}, make("span", {}, text), make("span", { className: "share" }, percent(chance))));
    others.append(make("p", {}, "The other captions that it followed to the end:"), make("ol", {}, ...rows));
  }

  function showPeople(sentences) {
    const open = people.querySelector("details")?.open ?? false; // stays as the reader left it
    people.replaceChildren();
    if (!sentences.length) return;
    const list = make("ul", {}, ...sentences.map((text) => make("li", {}, text)));
    people.append(make("details", { open }, make("summary", {}, "What people would say"), list));
  }

  function showSteps({ steps: list, attention }, { method, temperature }) {
    const source = { greedy: "The most probable next words at each step. The first one is taken.",
      sample: `The probabilities from which each word was drawn, at temperature ${Number(temperature).toFixed(1)}.`,
      beam: "The most probable next words at each step of the best caption. Its words need not be the most probable ones.",
    }[method];
    stepsText.textContent = attention
      ? `${source} The small pictures are bright where it looked; press a word of the caption to see it larger.` : source;
    steps.replaceChildren(...list.map((step, index) => card(step, attention?.[index])));
    stepsPart.hidden = false;
  }

  function card({ word, likely }, weights) {
    const bars = likely.map(([other, chance]) => {
      const bar = make("span", { className: "bar" });
      bar.style.setProperty("--share", chance);
      const taken = other === word;
      return make("li", { className: taken ? "taken" : "" }, make("span", { className: "likely" }, other),
        make("span", { className: "track", "aria-hidden": "true" }, bar), make("span", { className: "share" }, briefly(chance)),
        taken ? make("span", { className: "unseen" }, " (chosen)") : undefined);
    });
    const parts = [make("p", { className: "step-word" }, word)];
    if (weights) {
      const canvas = make("canvas", { width: 120, height: 120, role: "img" });
      canvas.setAttribute("aria-label", `It looked mostly at: ${placeOf(weights)}`);
      drawLit(canvas, image, weights);
      parts.push(canvas);
    }
    return make("li", {}, ...parts, make("ul", {}, ...bars));
  }

  // Putting it together

  const pictures = make("fieldset", { className: "pictures" }, make("legend", {}, "Picture"), drop, error, tiles);
  const choosing = make("fieldset", {}, make("legend", {}, "How words are chosen"), ways);
  const form = make("form", { className: "choices" }, pictures, choosing, models);
  form.addEventListener("submit", (event) => event.preventDefault());
  const words = make("div", { className: "words" }, busy, sentence, probability, others, people);
  const result = make("section", { className: "result" }, heading("Caption"), make("figure", {}, frame, pictureText), words, stepsPart);
  result.setAttribute("aria-label", "Caption");

  async function start() {
    try {
      overview = await ask("overview");
    } catch (problem) {
      root.replaceChildren(make("p", { className: "error", role: "alert" }, problem.message));
      return;
    }
    root.classList.add("caption-demo");
    root.replaceChildren(note, make("div", { className: "columns" }, form, result), announcement);
    dropText.textContent = `JPEG, PNG, WebP, BMP or GIF, at most ${overview.limits.bytes / 1e6}\u00a0MB`;
    const radios = overview.examples.map(({ id, name, thumbnail, people: said }) => addTile(id, name, thumbnail, said[0] ?? name));
    addWays(overview.limits);
    if (radios.length) {
      radios[0].checked = true;
      chosen.picture = radios[0].value;
    }
    addModels(overview.models);
  }

  start();
}

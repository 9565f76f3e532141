/** What all processes wrote. */
import { poll } from "./poll.js";
import { link } from "./table.js";
import { make } from "./widget/dom.js";
import { clock, plural } from "./widget/format.js";

const LEVELS = ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"];
const MOST = 2000;
/** Letters of a process's name, at most. */
const LONGEST = 40;
const process = make("select", { "aria-label": "Process" }, make("option", { value: "" }, "All processes"));
const level = make("select", { "aria-label": "Level" }, make("option", { value: "0" }, "All levels"),
  ...LEVELS.slice(1, 4).map((name) => make("option", { value: String(LEVELS.indexOf(name)) }, `${name.toLowerCase()} and above`)));
const search = make("input", { type: "search", placeholder: "Search", "aria-label": "Search in the logs" });
const follow = make("input", { type: "checkbox", checked: true });
const note = make("span", { class: "note" });
const box = make("div", { class: "card log", role: "log", tabindex: "0", "aria-label": "Log lines" });
document.getElementById("content").append(
  make("div", { class: "tools" }, process, level, search, make("label", {}, follow, " Follow"), note), box);

let lines = [];
let shown = "";

const weight = (line) => {
  const named = LEVELS.indexOf(line.source.toUpperCase());
  if (named >= 0) return named;
  // stderr has no level, but the lines that a logger writes there begin with its name.
  const found = LEVELS.findLastIndex((name) => line.text.slice(0, 120).includes(name));
  return found >= 0 ? found : 1;
};

function show() {
  const words = search.value.toLowerCase();
  const found = lines.filter((line) =>
    (!process.value || line.process === process.value) && weight(line) >= Number(level.value) && line.text.toLowerCase().includes(words));
  const last = found.slice(-MOST);
  const mark = JSON.stringify([found.length, last.at(-1), process.value, level.value, words]);
  if (mark === shown) return;
  shown = mark;
  note.textContent = plural(found.length, "line");
  // As wide as the longest name here, and no wider than a third of a page.
  box.style.setProperty("--name", String(Math.min(LONGEST, Math.max(0, ...last.map((line) => line.process.length)))));
  box.replaceChildren(...last.map((line) =>
    make("div", { class: `line level-${weight(line)}` },
      make("time", {}, clock(line.time)), make("span", { class: "process" }, line.process),
      make("span", { class: "text" }, line.text, ...(line.key ? [" ", link("info", { key: line.key }, line.key)] : [])))));
  if (!found.length) box.append(make("p", { class: "empty" }, lines.length ? "Nothing fits." : "Nothing was written yet."));
  if (follow.checked) box.scrollTop = box.scrollHeight;
}

for (const input of [process, level, search, follow]) input.addEventListener("input", show);
poll("logs.json", 2000, (found) => {
  lines = found.lines;
  const names = new Set([...process.options].map((option) => option.value));
  for (const name of found.processes) if (!names.has(name)) process.append(make("option", { value: name }, name));
  show();
}, (error) => {
  note.textContent = error.message;
});

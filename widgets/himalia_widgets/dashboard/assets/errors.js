/** Failed calls by cause. */
import { poll } from "./poll.js";
import { facts, link } from "./table.js";
import { make } from "./widget/dom.js";
import { clock, plural } from "./widget/format.js";

const content = document.getElementById("content");
let shown = "";
const list = (items) => items.flatMap((item, at) => (at ? [", ", item] : [item]));

function card(error) {
  const [first, ...rest] = error.text.trim().split("\n");
  const frames = error.frames.map((frame) =>
    make("li", {}, make("code", {}, frame.function), " ", make("span", { class: "note" }, `${frame.filename}:${frame.line}`)),
  );
  const pairs = [
    ["Function", link("tasks", { function: error.function }, error.function)],
    ["Newest task", link("info", { key: error.key }, error.key)],
    ["Attempts", String(error.attempts)],
    ["Workers", make("span", {}, ...list(error.workers.map((name) => link("worker", { name }, name))))],
    ["Inputs", error.inputs.length ? make("span", {}, ...list(error.inputs.map((key) => link("info", { key }, key)))) : "none"],
  ];
  return make("article", { class: "card error" },
    make("h2", {}, make("span", { class: "times" }, plural(error.count, "call")), ` ${first}`),
    make("p", { class: "note" }, `${error.kind}, last at ${clock(error.last)}`),
    ...(frames.length ? [make("ol", { class: "frames" }, ...frames)] : []),
    ...(rest.length ? [make("pre", {}, rest.join("\n"))] : []),
    facts(pairs, "facts"));
}

poll("errors.json", 1000, (found) => {
  const text = JSON.stringify(found.errors);
  if (text === shown) return; // a selection in it stays
  shown = text;
  content.replaceChildren(...(found.errors.length ? found.errors.map(card) : [make("p", { class: "card empty" }, "No call has failed.")]));
});

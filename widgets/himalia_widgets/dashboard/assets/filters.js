/** Which function, and which time, the plots of a page show: they are drawn for what the address says. */
import { ask } from "./poll.js";
import { make } from "./widget/dom.js";

const content = document.getElementById("content");
const given = new URLSearchParams(location.search);
const sampled = content.dataset.page === "profile";
const choose = make("select", { name: "function", "aria-label": "Function" }, make("option", { value: "" }, "All functions"));
const times = make("select", { name: "seconds", "aria-label": "Time range" },
  ...[["", "All the time"], ["30", "Last 30 s"], ["120", "Last 2 min"], ["600", "Last 10 min"]].map(([value, text]) =>
    make("option", { value, selected: value === (given.get("seconds") ?? "") }, text)));
const form = make("form", { class: "tools" }, choose, ...(sampled ? [times] : []),
  make("input", { type: "hidden", name: "theme", value: document.documentElement.dataset.theme }));
form.addEventListener("input", () => form.submit());
content.append(form);

ask(`functions.json${sampled ? "?sampled=1" : ""}`).catch(() => ({ submitted: [], sampled: [] })).then((found) => {
  const chosen = given.get("function") ?? "";
  const names = sampled ? found.sampled : found.submitted;
  // What the address asks for stays chosen, also before anything is known of it.
  if (chosen && !names.includes(chosen)) names.unshift(chosen);
  for (const name of names) choose.append(make("option", { value: name, selected: name === chosen }, name || "(no name)"));
});

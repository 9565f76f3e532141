/** The table of two runs: what each function took in one and in the other. */
import { ask } from "./poll.js";
import { Table } from "./table.js";
import { make } from "./widget/dom.js";
import { bytes, count, duration, percent } from "./widget/format.js";

const SAME = 0.02; // a relative difference that isn't worth a colour

/** A number of both runs; `less` is whether less is better. */
function pair(field, write, less) {
  const value = (row) => row[field][1] - row[field][0];
  const cell = (row) => {
    const [one, other] = row[field];
    if (one === other) return make("span", {}, write(one));
    const change = one ? other / one - 1 : 0;
    const kind = less && one && Math.abs(change) > SAME ? (change < 0 ? "better" : "worse") : null;
    const note = one && other && Math.abs(change) > SAME ? ` (${change > 0 ? "+" : "−"}${percent(Math.abs(change))})` : "";
    return make("span", {}, `${write(one)} → `, make("b", { class: kind }, write(other)), note);
  };
  return { value, cell, number: true };
}

const seconds = (value) => (value ? duration(value) : "–");
const table = new Table(
  [
    { title: "Function", value: (row) => row.name },
    { title: "Calls", ...pair("calls", count, false) },
    { title: "Failed", ...pair("failed", count, true) },
    { title: "Compute in all", ...pair("compute", seconds, true) },
    { title: "Median duration", ...pair("median", seconds, true) },
    { title: "Transfers", ...pair("transfer", seconds, true) },
    { title: "Results", ...pair("nbytes", bytes, false) },
  ],
  "Neither run has calls.",
);
const note = make("p", { class: "note" });
document.getElementById("content").append(note, table.el);
ask("compare.json").then((found) => {
  const [a, b] = found.titles;
  const left = found.left_out ? `, and ${count(found.left_out)} functions more` : "";
  note.textContent = `A is ${a} (${found.lengths[0]}), B is ${b} (${found.lengths[1]}); each cell says A → B${left}.`;
  table.show(found.rows);
}, (error) => {
  note.textContent = String(error.message);
});

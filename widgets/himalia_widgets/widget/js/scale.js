/** The tab that asks for more or fewer workers, and says why those asked for aren't there. */
import { Bar, make, write } from "./dom.js";
import { bytes, clock, count, plural } from "./format.js";
import { StatusLine } from "./status.js";

const GIB = 2 ** 30;

/**
 * How many workers are here of those that were asked for.
 * @param {number} target
 * @param {number} arrived
 */
export function describe(target, arrived) {
  const requested = plural(target, "requested worker");
  if (arrived < target) return `${count(arrived)} of ${requested} here, ${count(target - arrived)} missing.`;
  if (arrived > target) {
    const leaving = target ? "the others leave when their" : arrived === 1 ? "it leaves when its" : "they leave when their";
    return `${plural(arrived, "worker")} here, ${count(target)} requested: ${leaving} calls have ended.`;
  }
  return target === 0 ? "No workers are requested." : target === 1 ? `The ${requested} is here.` : `All ${requested} are here.`;
}

export class Scale {
  /** @param {import("./store.js").Store} store */
  constructor(store) {
    this.store = store;
    this.isTouched = false;
    this.status = new StatusLine();
    this.amount = make("input", { type: "number", min: "0", step: "any", "aria-label": "Amount", oninput: () => this.touch() });
    this.unit = make("select", { "aria-label": "Unit", onchange: () => this.changeUnit() },
      make("option", { value: "workers" }, "workers"), make("option", { value: "cores" }, "cores"), make("option", { value: "memory" }, "GiB of memory"));
    this.button = make("button", { type: "submit", class: "hw-main" }, "Scale");
    this.means = make("span", { class: "hw-note" });
    this.why = make("p", { class: "hw-note" });
    this.bar = new Bar("hw-done", "hw-waiting");
    this.there = make("p", { class: "hw-strong" });
    this.events = make("ul", { class: "hw-events" });
    const form = make("form", { class: "hw-tools", onsubmit: (/** @type {Event} */ event) => this.apply(event) }, this.amount, this.unit, this.button, this.means);
    this.el = make("div", { class: "hw-scale" }, form, this.why, this.status.el, this.there, this.bar.el, this.events);
    this.update();
  }

  touch() {
    this.isTouched = true;
    this.update();
  }

  changeUnit() {
    this.isTouched = false;
    this.update();
  }

  /** Workers that the form asks for; NaN if it doesn't. */
  get workers() {
    if (this.amount.value === "") return NaN;
    const amount = Number(this.amount.value);
    // + 0: rounding up what is just below 0 gives −0, which is written with its sign
    // − 1e-9: what is a whole number but for rounding mustn't ask for one worker more.
    return amount < 0 ? NaN : Math.ceil(amount / this.size - 1e-9) + 0;
  }

  /** What one worker has of the chosen unit. */
  get size() {
    const { threads, memory } = this.store.scale;
    return { workers: 1, cores: threads || 1, memory: (memory || 0) / GIB || 1 }[this.unit.value] ?? 1;
  }

  update() {
    const scale = this.store.scale;
    const { can, reason, requested = 0, arrived = 0, threads = 0, memory = 0, missing = [], events = [] } = scale;
    this.unit.options[2].disabled = !memory;
    const target = Math.max(requested, 0);
    // What somebody types isn't written over by the next push.
    if (!this.isTouched) this.amount.value = String(Number((target * this.size).toFixed(1)));
    for (const control of [this.amount, this.unit, this.button]) control.disabled = !can;
    if (Number.isNaN(this.workers)) this.button.disabled = true;
    const wanted = this.workers;
    const each = memory ? `${plural(threads, "thread")} and ${bytes(memory)} each` : `${plural(threads, "thread")} each`;
    write(this.means, Number.isNaN(wanted) ? "" : threads ? `= ${plural(wanted, "worker")} with ${each}` : `= ${plural(wanted, "worker")}`);
    this.why.hidden = Boolean(can);
    write(this.why, can ? "" : reason ?? "Waiting for the cluster.");
    const lacking = Math.max(0, target - arrived);
    write(this.there, describe(target, arrived));
    this.bar.show(arrived / Math.max(target, arrived, 1), lacking / Math.max(target, arrived, 1));
    const lines = [...missing.map((text) => ["", text]), ...events.map(([time, text]) => [clock(time), text])];
    const key = JSON.stringify(lines);
    if (key === this.drawn) return;
    this.drawn = key;
    this.events.replaceChildren(...lines.map(([time, text]) => make("li", { class: time ? null : "hw-missing" }, make("time", {}, time), text)));
  }

  /** @param {Event} event */
  apply(event) {
    event.preventDefault();
    const workers = this.workers;
    if (Number.isNaN(workers)) return;
    this.isTouched = false;
    this.store.ask("scale", { workers }, this.status.follow(`Scaling to ${plural(workers, "worker")}`, () => `Asked for ${plural(workers, "worker")}.`));
  }
}

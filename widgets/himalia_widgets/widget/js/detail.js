/** All that is known of one task, in plain rows; opened by a click on its bar. */
import { make, write } from "./dom.js";
import { bytes, clock } from "./format.js";
import { StatusLine } from "./status.js";

export class Detail {
  /** @param {import("./store.js").Store} store */
  constructor(store) {
    this.store = store;
    this.status = new StatusLine();
    this.title = make("h4", { class: "hw-code" });
    this.why = make("p", { class: "hw-why" });
    this.facts = make("dl", { class: "hw-facts" });
    this.closer = make("button", { type: "button", class: "hw-plain", "aria-label": "Close details", onclick: () => this.close() }, "×");
    this.el = make("section", { class: "hw-detail", "aria-label": "Task", hidden: true, onkeydown: (/** @type {any} */ event) => event.key === "Escape" && this.close() },
      make("div", { class: "hw-detail-head" }, this.title, this.closer), this.status.el, this.why, this.facts);
  }

  /** @param {{key: string, group: string}} what */
  open(what) {
    this.el.hidden = false;
    const name = what.key || what.group || "";
    this.name = name;
    write(this.title, name);
    write(this.why, "");
    this.facts.replaceChildren();
    const follow = this.status.follow("Asking the scheduler", () => "");
    this.store.ask("describe", what, (stage, value) => {
      if (this.name !== name) return; // another bar was clicked meanwhile
      follow(stage, value);
      if (stage === "done") this.show(value);
    });
  }

  /** @param {Record<string, any>} answer */
  show(answer) {
    write(this.title, String(answer.key ?? this.name));
    write(this.why, String(answer.why ?? ""));
    const rows = Object.entries(answer.facts ?? {}).filter(([, value]) => !isEmpty(value));
    this.facts.replaceChildren(...rows.map(([name, value]) => make("div", {}, make("dt", {}, name.replaceAll("_", " ")), make("dd", {}, tell(name, value)))));
  }

  close() {
    this.el.hidden = true;
    this.name = "";
  }
}

/** @param {any} value */
function isEmpty(value) {
  return !value || (typeof value === "object" && Object.keys(value).length === 0);
}

/**
 * A value in words; what it is, is in its name.
 * @param {string} name
 * @param {any} value
 * @returns {string}
 */
function tell(name, value) {
  if (typeof value === "number" && /bytes|memory|moved/.test(name)) return bytes(value);
  if (typeof value === "number" && value > 1e9) return clock(value);
  if (typeof value === "number") return String(Number(value.toPrecision(6)));
  if (Array.isArray(value)) return value.map((item) => tell("", item)).join(", ");
  if (value && typeof value === "object") return Object.entries(value).map(([key, item]) => `${key}: ${tell(key, item)}`).join("; ");
  return String(value);
}

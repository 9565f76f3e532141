/** A line that says how an action goes; errors stay until they are dismissed or the next action begins. */
import { make, write } from "./dom.js";

export class StatusLine {
  constructor() {
    this.text = make("span", {});
    this.button = make("button", { type: "button", class: "hw-plain", "aria-label": "Dismiss", onclick: () => this.clear() }, "×");
    this.el = make("div", { class: "hw-status-line", role: "status", hidden: true }, this.text, this.button);
  }

  /**
   * Return what `Store.ask` tells how it goes.
   * @param {string} doing
   * @param {(value: any) => string} done The text once it is done; empty: nothing needs to be said.
   */
  follow(doing, done) {
    return (/** @type {string} */ stage, /** @type {any} */ value) => {
      if (stage === "waiting") this.show("waiting", `${doing}: waits for the running cell.`);
      else if (stage === "asked") this.show("asked", `${doing} …`);
      else if (stage === "failed") this.show("failed", `${doing} failed: ${value}`);
      else this.show("done", done(value));
    };
  }

  /**
   * @param {string} kind
   * @param {string} text
   */
  show(kind, text) {
    this.el.className = `hw-status-line hw-${kind}`;
    this.el.hidden = !text;
    write(this.text, text);
  }

  clear() {
    this.show("done", "");
  }
}

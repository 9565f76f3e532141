/** A tab list as the ARIA practices have it: arrow keys, Home and End move between tabs, and open them. */
import { make, mark } from "./dom.js";

export class Tabs {
  /**
   * @param {string} id Prefix of element ids, unique in the page.
   * @param {{id: string, label: string, el: HTMLElement}[]} tabs
   * @param {(id: string) => void} opened
   */
  constructor(id, tabs, opened) {
    this.opened = opened;
    this.tabs = tabs.map((tab) => ({
      id: tab.id,
      button: make("button", { type: "button", role: "tab", id: `${id}-tab-${tab.id}`, "data-tab": tab.id, "aria-controls": `${id}-panel-${tab.id}`, onclick: () => this.open(tab.id) }, tab.label),
      panel: make("div", { role: "tabpanel", id: `${id}-panel-${tab.id}`, "aria-labelledby": `${id}-tab-${tab.id}`, class: "hw-panel", hidden: true }, tab.el),
    }));
    const list = make("div", { role: "tablist", class: "hw-tabs", "aria-label": "Views of the cluster", onkeydown: (/** @type {KeyboardEvent} */ event) => this.move(event) }, ...this.tabs.map((tab) => tab.button));
    this.el = make("div", {}, list, ...this.tabs.map((tab) => tab.panel));
  }

  /** @param {string} id */
  open(id) {
    this.current = id;
    for (const tab of this.tabs) {
      const isOpen = tab.id === id;
      mark(tab.button, "aria-selected", String(isOpen));
      mark(tab.button, "tabindex", isOpen ? "0" : "-1");
      tab.panel.hidden = !isOpen;
    }
    this.opened(id);
  }

  /** @param {KeyboardEvent} event */
  move(event) {
    const at = this.tabs.findIndex((tab) => tab.id === this.current);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: this.tabs.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    event.stopPropagation(); // the notebook would move to another cell
    const tab = this.tabs[(to + this.tabs.length) % this.tabs.length];
    this.open(tab.id);
    tab.button.focus();
  }
}

/** Tables that sort by a click on a column's head; cells are texts or elements, never markup. */
import { make } from "./widget/dom.js";
import { bytes, natural } from "./widget/format.js";

/**
 * @typedef {{title: string, value: (row: any) => any, cell?: (row: any) => any, number?: boolean}} Column
 */

export class Table {
  /**
   * @param {Column[]} columns
   * @param {string} empty What is said without rows.
   */
  constructor(columns, empty) {
    this.columns = columns;
    /** Called with the rows in the order in which they are about to be shown. */
    this.onOrder = (/** @type {any[]} */ rows) => {};
    this.empty = empty;
    this.by = -1;
    this.up = true;
    this.rows = [];
    this.heads = columns.map((column, at) =>
      make("th", { scope: "col", class: column.number ? "number" : null }, make("button", { type: "button", onclick: () => this.sort(at) }, column.title)),
    );
    this.body = make("tbody");
    this.el = make("div", { class: "card scroll" }, make("table", {}, make("thead", {}, make("tr", {}, ...this.heads)), this.body));
  }

  /** @param {number} at */
  sort(at) {
    // Of numbers the largest first: that is what one looks for.
    this.up = this.by === at ? !this.up : !this.columns[at].number;
    this.by = at;
    this.heads.forEach((head, index) => {
      if (index === at) head.setAttribute("aria-sort", this.up ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
    });
    this.show(this.rows);
  }

  /** @param {any[]} rows */
  show(rows) {
    this.rows = rows;
    const column = this.columns[this.by];
    // A copy: rows that are equal by a column stay in the order in which they came.
    const ordered = column ? [...rows].sort((a, b) => (this.up ? 1 : -1) * compare(column.value(a), column.value(b))) : rows;
    this.onOrder(ordered);
    const lines = ordered.map((row) =>
      make("tr", {}, ...this.columns.map((one) => make("td", { class: one.number ? "number" : null }, one.cell ? one.cell(row) : String(one.value(row))))),
    );
    if (!lines.length) lines.push(make("tr", {}, make("td", { colspan: this.columns.length, class: "empty" }, this.empty)));
    this.body.replaceChildren(...lines);
  }
}

/**
 * @param {any} a
 * @param {any} b
 */
function compare(a, b) {
  return typeof a === "number" && typeof b === "number" ? a - b : natural(String(a), String(b));
}

/**
 * A link to another page of the dashboard.
 * @param {string} page
 * @param {Record<string, string>} query
 * @param {string} text
 */
export function link(page, query, text) {
  const theme = document.documentElement.dataset.theme ?? "light";
  return make("a", { href: `${page}?${new URLSearchParams({ ...query, theme })}`, title: text.length > 60 ? text.slice(0, 1000) : null }, text);
}

/**
 * A bar with a number beside it.
 * @param {number} part
 * @param {string} text
 */
export function meter(part, text) {
  const bar = make("span", { class: part > 0.8 ? "fill warm" : "fill" });
  bar.style.inlineSize = `${Math.min(1, Math.max(0, part)) * 100}%`;
  return make("span", { class: "meter" }, make("span", { class: "track", "aria-hidden": "true" }, bar), make("span", {}, text));
}

/**
 * How much is used, of what may be; without a limit (0), how much.
 * @param {number} used
 * @param {number} limit
 */
export function bytesOf(used, limit) {
  return limit ? `${bytes(used)} / ${bytes(limit)}` : bytes(used);
}

/**
 * Pairs of a name and what it is.
 * @param {[string, any][]} pairs
 * @param {string} [kind] CSS classes.
 */
export function facts(pairs, kind = "card facts") {
  return make("dl", { class: kind }, ...pairs.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
}

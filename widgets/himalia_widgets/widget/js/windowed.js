/**
 * A long list of which only the rows in sight exist as elements.  Rows are reused, so focus stays where it is.
 */
import { make, onceAFrame } from "./dom.js";

export class Windowed {
  /**
   * @param {HTMLElement} scroller What scrolls.
   * @param {HTMLElement} body What the rows are put into.
   * @param {{height: number, tag: string, make: () => any, fill: (row: any, index: number) => void}} rows
   *   `make` returns an object with an `el`; all rows are equally high (px).
   */
  constructor(scroller, body, rows) {
    Object.assign(this, { scroller, body, rows, count: 0 });
    /** @type {any[]} */
    this.pool = [];
    this.above = make(rows.tag, { class: "hw-spacer", "aria-hidden": "true" });
    this.below = make(rows.tag, { class: "hw-spacer", "aria-hidden": "true" });
    body.append(this.above, this.below);
    this.draw = onceAFrame(() => this.drawNow());
    scroller.addEventListener("scroll", this.draw, { passive: true });
  }

  /**
   * @param {number} count Rows there are now.
   * @param {boolean} [toEnd] Whether to scroll to the last one.
   */
  show(count, toEnd = false) {
    this.count = count;
    this.toEnd = toEnd;
    this.draw();
  }

  drawNow() {
    const { height } = this.rows;
    if (this.toEnd) {
      this.below.style.height = `${this.count * height}px`; // room to scroll to
      this.scroller.scrollTop = this.count * height;
    }
    // A list that is hidden has no height; some rows are filled all the same, for when it is shown.
    const room = Math.ceil((this.scroller.clientHeight || 300) / height) + 2;
    const first = Math.max(0, Math.min(Math.floor(this.scroller.scrollTop / height) - 1, this.count - room));
    const shown = Math.min(room, this.count - first);
    while (this.pool.length < shown) {
      const row = this.rows.make();
      this.pool.push(row);
      this.below.before(row.el);
    }
    this.pool.forEach((row, index) => {
      row.el.hidden = index >= shown;
      if (index < shown) this.rows.fill(row, first + index);
    });
    this.above.style.height = `${first * height}px`;
    this.below.style.height = `${Math.max(0, this.count - first - shown) * height}px`;
  }
}

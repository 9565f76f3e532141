/**
 * Elements, made so that no text can become markup: strings become text nodes, attributes go through setAttribute.
 */

/**
 * Make an element.
 * @param {string} tag
 * @param {Record<string, any>} [props] Attributes; `on…` are listeners; null, undefined and false are left out.
 * @param {...(Node|string)} children
 * @returns {any}
 */
export function make(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children);
  return node;
}

/**
 * Set an element's text, touching the page only if it differs.
 * @param {Element} node
 * @param {string} text
 */
export function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/**
 * Set or remove an attribute, touching the page only if it differs.
 * @param {Element} node
 * @param {string} name
 * @param {string|null} value
 */
export function mark(node, name, value) {
  if (value === null) node.removeAttribute(name);
  else if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

/**
 * Return the link if it leads to a page, or nothing: `javascript:` and the like don't.
 * @param {string} link
 */
export function safeLink(link) {
  return /^(https?:\/\/|\/(?!\/))/.test(link) ? link : "";
}

/** A bar of segments in a track; the parts are fractions of the whole. */
export class Bar {
  /** @param {string[]} kinds CSS classes of the segments. */
  constructor(...kinds) {
    this.parts = kinds.map((kind) => make("span", { class: `hw-part ${kind}` }));
    this.el = make("span", { class: "hw-bar", "aria-hidden": "true" }, ...this.parts);
  }

  /** @param {number[]} fractions */
  show(...fractions) {
    let left = 1;
    this.parts.forEach((part, index) => {
      const share = Math.max(0, Math.min(left, fractions[index] || 0));
      left -= share;
      part.style.inlineSize = `${(share * 100).toFixed(1)}%`;
    });
  }
}

/**
 * Return a function that runs `work` once, at the next drawing of the page, however often it is called before.
 * @param {() => void} work
 */
export function onceAFrame(work) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      work();
    });
  };
}

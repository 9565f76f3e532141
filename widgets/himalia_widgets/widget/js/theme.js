/** Whether the page is dark, judged by its text: every front end has its own way to say so, but all have text. */

/** @param {Element} el */
export function isDark(el) {
  const [red, green, blue] = (getComputedStyle(el).color.match(/[\d.]+/g) ?? ["0", "0", "0"]).map(Number);
  return 0.299 * red + 0.587 * green + 0.114 * blue > 140;
}

/**
 * Call `change` whenever the page may have changed its theme; return what ends that.
 * @param {() => void} change
 */
export function watchTheme(change) {
  const later = () => [0, 150, 600].forEach((wait) => setTimeout(change, wait)); // style sheets are loaded after the switch
  const observer = new MutationObserver(later);
  for (const node of [document.documentElement, document.body]) {
    observer.observe(node, { attributes: true, attributeFilter: ["class", "style", "theme", "data-jp-theme-name", "data-vscode-theme-id"] });
  }
  const system = matchMedia("(prefers-color-scheme: dark)");
  system.addEventListener("change", later);
  return () => {
    observer.disconnect();
    system.removeEventListener("change", later);
  };
}

/**
 * Replace the colours of one theme in a plot by those of another.
 * @param {string} item JSON
 * @param {string[]} from
 * @param {string[]} to
 */
export function dress(item, from, to) {
  const colors = new Map(from.map((color, index) => [color, to[index]]));
  return item.replace(/"#[0-9a-f]{6}"/g, (quoted) => `"${colors.get(quoted.slice(1, -1)) ?? quoted.slice(1, -1)}"`);
}

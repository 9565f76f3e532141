/* Runs before anything is drawn: which theme, and whether the server drew the plots in it. */
(() => {
  const root = document.documentElement;
  let kept = null;
  try {
    kept = localStorage.getItem("himalia-theme");
  } catch {
    // a page without storage follows the system
  }
  const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  const theme = kept === "dark" || kept === "light" ? kept : system;
  root.dataset.theme = theme;
  if (root.hasAttribute("data-plots") && root.dataset.drawn !== theme) {
    const url = new URL(location.href);
    url.searchParams.set("theme", theme);
    location.replace(url);
  }
})();

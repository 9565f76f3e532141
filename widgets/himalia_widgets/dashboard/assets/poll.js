/** Asking the dashboard again and again, while somebody looks. */

/**
 * @param {string} path
 * @returns {Promise<any>}
 */
export async function ask(path) {
  const response = await fetch(path, { headers: { Accept: "application/json" } });
  if (!response.ok) throw new Error(`${path.split("?")[0]}: ${response.status}`);
  const found = await response.json();
  if (found.error && typeof found.error === "string") throw new Error(found.error);
  return found;
}

/**
 * Ask now and every so many milliseconds.
 * @param {string | (() => string)} path
 * @param {number} every
 * @param {(found: any) => void} show
 * @param {(error: Error) => void} [fail]
 */
export function poll(path, every, show, fail = () => {}) {
  const once = async () => {
    if (!document.hidden) {
      try {
        show(await ask(typeof path === "function" ? path() : path));
      } catch (error) {
        fail(/** @type {Error} */ (error));
      }
    }
    // After the answer, so that a slow dashboard isn't asked twice at a time.
    setTimeout(once, every);
  };
  once();
}

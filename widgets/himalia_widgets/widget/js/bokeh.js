/**
 * BokehJS, brought by the kernel (bokehjs.py) and kept away from `window.Bokeh`, which belongs to the user's own plots.
 */

/** @type {Record<string, Promise<any>>} by version, shared by all widgets of a page */
const libraries = (globalThis.__himalia_bokeh ??= {});

/**
 * @param {any} model
 * @returns {Promise<any>} Bokeh
 */
export async function loadBokeh(model) {
  const id = model.get("library").slice("IPY_MODEL_".length);
  const library = await model.widget_manager.get_model(id);
  const version = library.get("version");
  libraries[version] ??= unpackBokeh(library.get("code")).catch((error) => {
    // So that another view may try again.
    delete libraries[version];
    throw error;
  });
  return libraries[version];
}

/** @param {DataView} code gzip */
async function unpackBokeh(code) {
  const stream = new Blob([code]).stream().pipeThrough(new DecompressionStream("gzip"));
  const source = await new Response(stream).text();
  // The bundle hangs itself onto `this`, which is `root` here and would be the page's window in a script element.
  const root = {};
  try {
    new Function(source).call(root);
  } catch (error) {
    if (!(error instanceof EvalError)) throw error;
    throw new Error("This page forbids plots that come from the kernel (its Content-Security-Policy lacks unsafe-eval).");
  }
  return root.Bokeh;
}

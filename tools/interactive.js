// Draw every interactive figure of a page, as wide as its column and in the colours of the page.
(() => {
  "use strict";
  const FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif";
  const NARROW = 560;      // pixels: from here down, views that stand side by side stand one below the other

  const dark = () => [document.documentElement, document.body].some((e) => e.classList.contains("quarto-dark"));

  const theme = () => {
    const [ink, soft, grid] = dark() ? ["#f0f0f0", "#cfcfcf", "#505050"] : ["#222222", "#444444", "#dddddd"];
    const guide = { labelColor: soft, titleColor: ink, labelFontSize: 12, titleFontSize: 12, titleFontWeight: "normal" };
    return {
      background: null, font: FONT, aria: false, padding: 2,
      axis: { ...guide, gridColor: grid, domainColor: soft, tickColor: soft }, legend: guide,
      header: { labelColor: ink, titleColor: ink }, title: { color: ink, fontSize: 13, fontWeight: "normal", anchor: "start" },
      view: { stroke: null }, text: { color: ink, fontSize: 12 }, rule: { color: soft },
    };
  };

  // A view fills the room that it is given; a square stays one, and grows to its own size at most.
  const widen = (view, room) => {
    if (view.width && view.width === view.height) view.height = room = Math.max(Math.min(room, view.width), 100);
    view.width = Math.max(room, 100);
  };
  const fit = (spec, room, margins) => {
    if (spec.concat) {
      const n = spec.columns = room < NARROW ? 1 : Math.min(spec.columns || spec.concat.length, spec.concat.length);
      const whole = spec.concat.slice(0, n).reduce((sum, view) => sum + view.width, 0);
      for (const view of spec.concat) widen(view, Math.floor(n === 1 ? room : (room - 20) * view.width / whole) - margins);
    } else {
      widen(spec, room);
      spec.autosize = { type: "fit", contains: "padding" };
    }
  };

  const figures = [...document.querySelectorAll("figure.interactive")].map((figure) => ({
    spec: figure.querySelector("script.vega-lite").textContent,
    drawing: figure.querySelector(".drawing"), controls: figure.querySelector(".controls"), view: null, width: 0, last: Promise.resolve(),
    margins: 75,      // pixels beside each view, for axes and titles, which are no part of its width where views are put together
  }));

  const draw = async (figure) => {
    const spec = JSON.parse(figure.spec), old = figure.view;
    figure.width = figure.drawing.clientWidth;
    if (!figure.width) return;      // not laid out yet
    fit(spec, figure.width, figure.margins);
    for (const param of spec.params || []) if (old && param.bind) param.value = old.signal(param.name);      // where the reader has put it
    if (old) old.finalize();
    figure.controls.replaceChildren();
    const canvas = document.createElement("div");
    canvas.ariaHidden = "true";      // what is in it is said by the label of the drawing
    figure.drawing.replaceChildren(canvas);
    const options = { mode: "vega-lite", renderer: "svg", actions: false, defaultStyle: false, bind: figure.controls, config: theme() };
    figure.view = (await vegaEmbed(canvas, spec, options)).view;
    // the drawing as a whole is described; that each of its marks is one says nothing
    for (const e of canvas.querySelectorAll("svg [role]")) for (const name of ["role", "aria-roledescription", "aria-label"]) e.removeAttribute(name);
    const over = Math.ceil(canvas.firstElementChild.getAttribute("width") - figure.width);
    if (spec.concat && over > 0 && figure.margins < 200) {
      figure.margins += over;
      await draw(figure);
    }
  };
  const redraw = (figure) => { figure.last = figure.last.then(() => draw(figure)); };

  let was = dark();
  const toggled = new MutationObserver(() => { if (dark() !== was) { was = dark(); figures.forEach(redraw); } });
  for (const e of [document.documentElement, document.body]) toggled.observe(e, { attributes: true, attributeFilter: ["class"] });
  const resized = new ResizeObserver(() => figures.forEach((f) => { if (f.drawing.clientWidth !== f.width) redraw(f); }));      // the first time, from no width to one
  figures.forEach((f) => resized.observe(f.drawing));
})();

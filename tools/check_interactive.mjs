// Whether the interactive figures of the built site work, asked of a browser: each draws, each of its controls has a label
// and changes it, it fits its column, it is drawn anew in the dark, and nothing comes from the network.
// checkInteractive(browser, folder) is for any check that has a browser of puppeteer's; by itself: node tools/check_interactive.mjs
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const FIGURE = "figure.interactive";
const waitDrawn = (page) => page.waitForFunction((f) => [...document.querySelectorAll(f)].every((e) => e.querySelector(".drawing svg")), { timeout: 20000 }, FIGURE);
const drawings = (page) => page.$$eval(`${FIGURE} .drawing`, (all) => all.map((e) => e.innerHTML));

// Press a key in a slider or take another entry of a menu, as a reader does, and say whether the drawing changed.
const changes = async (page, figure, control) => {
  const drawing = () => figure.$eval(".drawing", (e) => e.innerHTML);
  const before = await drawing();
  const kind = await control.evaluate((e) => e.type);
  if (kind.startsWith("select")) await control.evaluate((e) => { e.selectedIndex = (e.selectedIndex + 1) % e.length; e.dispatchEvent(new Event("change", { bubbles: true })); });
  else {
    await control.focus();
    const atEnd = await control.evaluate((e) => +e.value >= +e.max);
    for (let i = 0; i < 3; i++) await page.keyboard.press(atEnd ? "ArrowLeft" : "ArrowRight");
  }
  for (let i = 0; i < 40; i++) {
    if (await drawing() !== before) return true;
    await new Promise((done) => setTimeout(done, 50));
  }
  return false;
};

const labelled = (control) => control.evaluate((e) => [...e.labels].some((label) => label.querySelector(".vega-bind-name")?.textContent.trim()));      // not its value alone
const tooWide = (page) => page.$$eval(`${FIGURE} .drawing`, (all) => all.map((e) => e.scrollWidth - e.clientWidth > 1 || +e.querySelector("svg").getAttribute("width") > e.clientWidth + 1
  || e.querySelector("svg").getBoundingClientRect().width < Math.min(300, .8 * e.clientWidth)));      // a drawing that was scaled down has letters too small

export const checkPage = async (browser, address) => {
  const problems = [], page = await browser.newPage();
  page.on("pageerror", (e) => problems.push(`error: ${e.message}`));
  page.on("console", (m) => { if (["error", "warn", "warning"].includes(m.type())) problems.push(`${m.type()} in the console: ${m.text()}`); });
  page.on("request", (r) => { if (/^https?:/.test(r.url()) && !r.url().startsWith(new URL(address).origin)) problems.push(`loads ${r.url()}`); });
  try {
    for (const width of [1280, 400]) {
      await page.setViewport({ width, height: 900 });
      await page.goto(address, { waitUntil: "load" });
      await waitDrawn(page);
      for (const [i, wide] of (await tooWide(page)).entries()) if (wide) problems.push(`figure ${i + 1} does not fit a window of ${width} pixels`);
    }
    for (const [i, figure] of (await page.$$(FIGURE)).entries()) {
      const controls = await figure.$$("input, select");
      if (!controls.length) problems.push(`figure ${i + 1} has no control`);
      for (const [k, control] of controls.entries()) {
        if (!await labelled(control)) problems.push(`figure ${i + 1}: control ${k + 1} has no label`);
        if (!await changes(page, figure, control)) problems.push(`figure ${i + 1}: control ${k + 1} changes nothing`);
      }
    }
    const values = () => page.$$eval(`${FIGURE} input, ${FIGURE} select`, (all) => all.map((e) => e.value).join());
    const light = await drawings(page), set = await values();
    await page.evaluate(() => document.body.classList.toggle("quarto-dark", !document.documentElement.classList.contains("quarto-dark")));
    await page.waitForFunction((f, n) => document.querySelectorAll(`${f} .drawing`)[n - 1].innerHTML, {}, FIGURE, light.length);
    for (let i = 0; i < 40 && (await drawings(page)).some((d, k) => d === light[k] || !d.includes("<svg")); i++) await new Promise((done) => setTimeout(done, 50));
    for (const [i, d] of (await drawings(page)).entries()) if (d === light[i]) problems.push(`figure ${i + 1} looks the same on a dark page`);
    if (await values() !== set) problems.push("the controls moved when the page turned dark");
  } catch (e) { problems.push(String(e)); }
  await page.close();
  return problems;
};

// Problems by page of every page in `folder` that has an interactive figure; `base` is where it is served, or else files are read.
export const checkInteractive = async (browser, folder, base = pathToFileURL(resolve(folder) + "/").href) => {
  const found = {};
  for (const name of readdirSync(folder).filter((n) => n.endsWith(".html")).sort())
    if (readFileSync(join(folder, name), "utf8").includes('class="vega-lite"')) found[name] = await checkPage(browser, new URL(name, base).href);
  return found;
};

if (process.argv[1] && fileURLToPath(import.meta.url) === resolve(process.argv[1])) {
  const root = dirname(dirname(fileURLToPath(import.meta.url)));
  const chromium = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find((p) => p && existsSync(p));
  let puppeteer;
  try { puppeteer = createRequire(join(process.env.PUPPETEER || join(root, "tools"), "x.js"))("puppeteer-core"); } catch { /* said below */ }
  if (!puppeteer || !chromium) { console.log("not checked: needs puppeteer-core (npm) in tools/node_modules and Chromium, whose path may be in CHROMIUM"); process.exit(77); }
  const browser = await puppeteer.launch({ executablePath: chromium, headless: true, args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking"] });
  const found = await checkInteractive(browser, join(root, "_docs"));
  await browser.close();
  for (const [page, problems] of Object.entries(found)) for (const p of problems) console.log(`${page}: ${p}`);
  const bad = Object.values(found).flat().length;
  if (!bad) console.log(`${Object.keys(found).length} pages: every interactive figure draws, fits, follows its controls and the page's colours`);
  process.exit(bad ? 1 : 0);
}

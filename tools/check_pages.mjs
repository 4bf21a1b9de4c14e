// Open every page of _docs/ in Chromium, at three widths and in both colour schemes. Fail on an error in the console, a request
// that fails or leaves the machine, a page wider than its window, a formula that is cut, what scrolls and cannot be reached by the
// keyboard, a violation of axe-core's rules, or a page that is too heavy.
//
//     node tools/check_pages.mjs [--screenshots] [PAGE.html...]
//
// --screenshots puts a picture of each page, at the narrowest and the widest, into tools/screenshots/ to look at.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync } from 'node:fs'
import { createServer } from 'node:http'
import { delimiter, dirname, extname, join, normalize } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { checkInteractive } from './check_interactive.mjs'
import { axe, cutFormulas, focusFirst, overflow, unreachable } from './in_page.mjs'

const HERE = dirname(fileURLToPath(import.meta.url)), DOCS = join(HERE, '..', '_docs'), SHOTS = join(HERE, 'screenshots'), MODULES = join(HERE, 'node_modules')
const WIDTHS = [400, 1400, 1600], OUTER = [400, 1600], NARROW = 600, COLOUR_RULES = ['color-contrast', 'link-in-text-block'], SCHEMES = ['light', 'dark'], AT_ONCE = 2
const ASKED = process.argv.slice(2), SHOOT = ASKED.includes('--screenshots')
const kB = 1000, HEAVIEST = 2000 * kB, HEAVIEST_HOME = 500 * kB
const PACKED = '@sparticuz/chromium@143.0.4'        // a Chromium in an npm package, for where none is installed
const TYPES = { '.html': 'text/html', '.css': 'text/css', '.js': 'text/javascript', '.json': 'application/json', '.svg': 'image/svg+xml', '.png': 'image/png', '.gif': 'image/gif', '.woff': 'font/woff', '.woff2': 'font/woff2', '.xml': 'text/xml' }

function npm(...args) { execFileSync('npm', [...args, '--silent', '--no-audit', '--no-fund', '--prefix', HERE], { stdio: ['ignore', 'inherit', 'inherit'] }) }

function installTools() {
  const wanted = JSON.parse(readFileSync(join(HERE, 'package.json'))).dependencies
  const there = name => existsSync(join(MODULES, name)) && JSON.parse(readFileSync(join(MODULES, name, 'package.json'))).version === wanted[name]
  if (!Object.keys(wanted).every(there)) npm('ci')
}

async function findChromium() {
  const names = ['chromium', 'chromium-browser', 'google-chrome']
  const places = names.flatMap(name => process.env.PATH.split(delimiter).map(folder => join(folder, name)))
  const found = process.env.CHROMIUM || places.find(existsSync)
  if (found) return { executablePath: found, args: [], headless: true }
  try {
    npm('install', '--no-save', PACKED)
    const packed = (await import(pathToFileURL(join(MODULES, '@sparticuz', 'chromium', 'build', 'esm', 'index.js')))).default
    return { executablePath: await packed.executablePath(), args: packed.args, headless: 'shell' }
  } catch (error) {
    console.log(`pages: skipped, no browser opened them: none of ${names.join(', ')} is on the PATH, and ${PACKED} does not install or unpack (${String(error).split('\n')[0]})`)
    process.exit(0)
  }
}

function serve() {
  const server = createServer((request, response) => {
    let path = join(DOCS, normalize(decodeURIComponent(new URL(request.url, 'http://localhost').pathname)))
    if (existsSync(path) && statSync(path).isDirectory()) path = join(path, 'index.html')
    const body = existsSync(path) ? readFileSync(path) : null
    if (body) response.writeHead(200, { 'content-type': TYPES[extname(path)] ?? 'application/octet-stream', 'content-length': body.length, 'cache-control': 'max-age=600' })
    else response.writeHead(404)
    response.end(body)
  })
  return new Promise(done => server.listen(0, '127.0.0.1', () => done(server)))
}

// What is asked of a page in one colour scheme. axe-core's rule about what scrolls wants the formulas as they are, and at each
// width. Its other rules do without the painted half of the formulas, thousands of elements in the colour of the text around
// them, which screen readers skip. Between the schemes only colours differ, so that in the second the rules about colours are
// enough, and the colours of code do not differ between the widths.
async function examine(page, scheme, axeSource, problem, shoot) {
  // The page's script answers a change one frame later, so only what is still so after a while is a problem.
  const ask = async (where, question, ...about) => {
    const once = () => page.evaluate(question, ...about)
    let found = await once()
    for (let i = 0; found.length && i < 3; i++) {
      await new Promise(done => setTimeout(done, 200))
      const again = await once()
      found = found.filter(what => again.includes(what))
    }
    for (const what of found) problem(where, what)
  }
  const dark = scheme !== SCHEMES[0]
  await page.evaluate(axeSource)
  for (const width of dark ? [] : WIDTHS) {      // the schemes differ in colours, and not in layout
    const where = `${scheme}, ${width} px`
    await page.setViewport({ width, height: 900 })
    await page.evaluate(unfold, width)
    await ask(where, overflow)
    await ask(where, cutFormulas, width < NARROW)
    await ask(where, unreachable)
    await ask(where, axe, ['scrollable-region-focusable'], [])
    if (width < NARROW) await scrollByKey(page, where, problem)
  }
  for (const width of SHOOT ? OUTER : []) {
    await page.setViewport({ width, height: 900 })
    await page.evaluate(unfold, width)
    await shoot(width)
  }
  await page.evaluate(() => document.querySelectorAll('.katex-html').forEach(e => e.remove()))
  for (const width of OUTER) {
    await page.setViewport({ width, height: 900 })
    const whole = (width < NARROW) !== dark      // code: once in each scheme
    await ask(`${scheme}, ${width} px`, axe, dark ? COLOUR_RULES : null, whole ? [] : ['main pre'])
  }
}

// Unfold what is folded, and wait until the window has its width and the page's script has seen both.
async function unfold(width) {
  const frame = () => new Promise(requestAnimationFrame)
  for (let i = 0; innerWidth !== width && i < 100; i++) await frame()
  document.querySelectorAll('details').forEach(d => { d.open = true })
  await frame()
  await frame()
  await new Promise(done => setTimeout(done, 30))
}

async function scrollByKey(page, where, problem) {
  await page.keyboard.press('Tab')       // so that the focus is shown as to who uses the keyboard
  const unseen = await page.evaluate(focusFirst)
  if (!unseen) return
  unseen.forEach(what => problem(where, what))
  await page.keyboard.press('ArrowRight')
  const moved = () => page.evaluate(() => document.activeElement.scrollLeft > 0)
  for (let i = 0; i < 100 && !await moved(); i++) await new Promise(done => setTimeout(done, 50))
  if (!await moved()) {
    problem(where, 'an arrow key does not scroll '
      + await page.evaluate(() => document.activeElement.outerHTML.slice(0, 90)))
  }
  await page.evaluate(() => { document.activeElement.scrollLeft = 0 })
}

async function look(browser, origin, name, axeSource) {
  const found = [], problem = (where, what) => found.push(`${name} (${where}): ${what}`)
  const page = await browser.newPage()
  let bytes = 0, timing = null, late = '', scheme = SCHEMES[0]
  page.on('console', message => { if (message.type() === 'error') problem(scheme, `console: ${message.text()} ${message.location()?.url ?? ''}`) })
  page.on('pageerror', error => problem(scheme, `error: ${error.message}`))
  page.on('requestfailed', request => problem(scheme, `${request.url()} failed: ${request.failure()?.errorText}`))
  page.on('response', response => {
    if (response.status() >= 400) problem(scheme, `${response.url()} answers ${response.status()}`)
    if (scheme === SCHEMES[0]) bytes += Number(response.headers()['content-length'] ?? 0)
  })
  try {
    await page.emulateMediaFeatures([{ name: 'prefers-reduced-motion', value: 'reduce' }, { name: 'prefers-color-scheme', value: scheme }])
    for (scheme of SCHEMES) {
      await page.setViewport({ width: WIDTHS[0], height: 900 })
      await page.emulateMediaFeatures([{ name: 'prefers-reduced-motion', value: 'reduce' }, { name: 'prefers-color-scheme', value: scheme }])
      await page.goto(`${origin}/${name}`, { waitUntil: 'load' })
      await page.evaluate(() => document.fonts.ready.then(() => new Promise(done => setTimeout(done, 100))))
      timing ??= await page.evaluate(() => { const n = performance.getEntriesByType('navigation')[0]; return { interactive: Math.round(n.domInteractive), loaded: Math.round(n.loadEventEnd) } })
      const shoot = async width => {
        const height = Math.min(await page.evaluate(() => document.documentElement.scrollHeight), 5000)
        await page.screenshot({ path: join(SHOTS, `${name.replace('.html', '')}-${scheme}-${width}.jpg`), type: 'jpeg', quality: 50, clip: { x: 0, y: 0, width, height }, captureBeyondViewport: true })
      }
      await examine(page, scheme, axeSource, problem, shoot)
    }
    const limit = name === 'index.html' ? HEAVIEST_HOME : HEAVIEST
    if (bytes > limit) problem('weight', `${Math.round(bytes / kB)} kB with all it loads, over ${limit / kB} kB`)
  } catch (error) {
    late = error.message
    problem(scheme, `could not be looked at: ${late}`)
  }
  await page.close()
  if (found.length) console.log(found.join('\n'))
  return { name, found, bytes, timing, late }
}

async function main() {
  installTools()
  const chromium = await findChromium()
  const puppeteer = (await import(pathToFileURL(join(MODULES, 'puppeteer-core', 'lib', 'esm', 'puppeteer', 'puppeteer-core.js')))).default
  const axeSource = readFileSync(join(MODULES, 'axe-core', 'axe.min.js'), 'utf8')
  const only = ASKED.filter(word => !word.startsWith('--'))
  const moved = name => readFileSync(join(DOCS, name), 'utf8').includes('<h1>This page has moved</h1>')
  const names = readdirSync(DOCS, { recursive: true }).filter(n => n.endsWith('.html') && (!only.length || only.includes(n)) && !moved(n)).sort()
  rmSync(SHOTS, { recursive: true, force: true })
  if (SHOOT) names.forEach(name => mkdirSync(dirname(join(SHOTS, name)), { recursive: true }))
  const server = await serve(), origin = `http://127.0.0.1:${server.address().port}`
  const launch = () => puppeteer.launch({ protocolTimeout: 60_000, ...chromium, args: [...chromium.args, '--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync',
    '--hide-scrollbars', '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1'] })
  const began = Date.now(), looked = []
  const browsers = []
  try { for (let i = 0; i < Math.min(AT_ONCE, names.length); i++) browsers.push(await launch()) }
  catch (error) {
    console.log(`pages: skipped, no browser opened them: ${chromium.executablePath} does not start (${String(error).split('\n')[0]})`)
    process.exit(0)
  }      // a browser each: of two tabs in one, the hidden one is not painted
  const twice = async (...page) => {        // on a busy machine a page may take longer than the browser waits
    const first = await look(...page)
    return first.late ? look(...page) : first
  }
  const home = names.indexOf('index.html')
  if (home >= 0) looked.push(await twice(browsers[0], origin, ...names.splice(home, 1), axeSource))       // alone, so that its timing is its own
  const worker = async browser => { while (names.length) looked.push(await twice(browser, origin, names.shift(), axeSource)) }
  await Promise.all(browsers.map(worker))
  const figures = only.length ? {} : await checkInteractive(browsers[0], DOCS, `${origin}/`)
  for (const [name, found] of Object.entries(figures)) for (const what of found) console.log(`${name}: ${what}`)
  await Promise.all(browsers.map(browser => browser.close()))
  server.close()
  const found = [...looked.flatMap(page => page.found), ...Object.values(figures).flat()], heaviest = looked.reduce((a, b) => a.bytes > b.bytes ? a : b)
  const index = looked.find(page => page.name === 'index.html')
  if (index) console.log(`home: ${Math.round(index.bytes / kB)} kB with all it loads, interactive after ${index.timing?.interactive} ms, loaded after ${index.timing?.loaded} ms`)
  console.log(`${looked.length} pages at ${WIDTHS.join(', ')} px, ${SCHEMES.join(' and ')}, in ${Math.round((Date.now() - began) / 1000)} s: ${found.length || 'no'} problems; the heaviest is ${heaviest.name}, ${Math.round(heaviest.bytes / kB)} kB`)
  process.exit(found.length ? 1 : 0)
}

await main()

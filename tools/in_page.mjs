// What check_pages.mjs asks of an open page. Each function runs in the page, so it refers to nothing
// outside itself; each returns a list of problems, one line each.

// What sticks out of the window, leaving out what lies in a box that scrolls or clips.
export function overflow() {
  const root = document.documentElement
  const wide = root.clientWidth
  if (root.scrollWidth <= wide) return []
  const held = e => {
    for (let p = e.parentElement; p && p !== document.body; p = p.parentElement) {
      if (getComputedStyle(p).overflowX !== 'visible') return true
    }
    return false
  }
  const sticksOut = e => e.getBoundingClientRect().right > wide + 1 && !held(e)
  const out = [...document.body.querySelectorAll('*')].filter(sticksOut).slice(0, 3)
  const shown = out.map(e => e.outerHTML.slice(0, 90).replace(/\s+/g, ' '))
  return [`${root.scrollWidth} px wide in a window of ${wide}: ` + shown.join(' ... ')]
}

// Formulas of which a part or the number is cut off, or written over. A formula may scroll only
// where mayScroll says so, in a narrow window; those in a table scroll with it.
export function cutFormulas(mayScroll) {
  const found = []
  const holder = formula => {       // the box that scrolls or clips it
    let box = formula.parentElement
    while (box !== document.body && getComputedStyle(box).overflowX === 'visible') {
      box = box.parentElement
    }
    return box
  }
  for (const formula of document.querySelectorAll('main .katex, main math')) {
    if (formula.localName === 'math' && formula.closest('.katex')) continue
    if (!formula.getClientRects().length) continue
    const box = holder(formula)
    const scrolls = ['auto', 'scroll'].includes(getComputedStyle(box).overflowX)
    const parts = formula.localName === 'math' ? [formula] : [...formula.querySelectorAll('.base')]
    const number = formula.querySelector('.tag > .mord')
    const rects = parts.map(e => e.getBoundingClientRect())
    const label = number?.getBoundingClientRect()
    const edge = box.getBoundingClientRect()
    const all = label ? [...rects, label] : rects
    const right = Math.max(...all.map(r => r.right), formula.localName === 'math'
      ? edge.left + formula.scrollWidth : 0) - edge.right
    const left = edge.left - Math.min(...all.map(r => r.left))
    const tex = (formula.querySelector('annotation') ?? formula).textContent.trim().slice(0, 70)
    if (left > 1) found.push(`formula cut at its left by ${Math.round(left)} px: ${tex}`)
    if (right > 1 && !(scrolls && (mayScroll || box.querySelector('table')))) {
      found.push(`formula cut at its right by ${Math.round(right)} px: ${tex}`)
    }
    const under = r => r.left < label.right - 1 && r.right > label.left + 1
      && r.top < label.bottom - 1 && r.bottom > label.top + 1
    if (label && rects.some(under)) found.push(`formula written over by its number: ${tex}`)
  }
  return found
}

// What scrolls sideways in the page's text, and the keyboard does not reach where it scrolls.
export function unreachable() {
  const found = []
  const name = e => e.outerHTML.slice(0, 90).replace(/\s+/g, ' ')
  for (const e of document.querySelectorAll('main *:not(.katex *, math *, svg *)')) {
    const scrolls = e.clientWidth && e.scrollWidth > e.clientWidth + 1
      && ['auto', 'scroll'].includes(getComputedStyle(e).overflowX)
    if (scrolls && e.tabIndex < 0) {
      found.push(`scrolls, and the keyboard does not reach it: ${name(e)}`)
    }
    if (scrolls && !e.getAttribute('aria-label')) found.push(`scrolls, and has no name: ${name(e)}`)
    if (!scrolls && e.hasAttribute('data-scrolls') && e.scrollHeight <= e.clientHeight + 1) {
      found.push(`takes the focus, and does not scroll: ${name(e)}`)
    }
  }
  return found
}

// The first thing that scrolls sideways gets the focus: its outline can be seen, an arrow moves it.
export function focusFirst() {
  const first = [...document.querySelectorAll('main [data-scrolls]')]
    .find(e => e.scrollWidth > e.clientWidth + 30)
  if (!first) return null
  first.focus()
  const { outlineStyle, outlineWidth } = getComputedStyle(first)
  const seen = outlineStyle !== 'none' && parseFloat(outlineWidth) >= 2
  return seen ? [] : [`has the focus, and no outline: ${first.outerHTML.slice(0, 90)}`]
}

// axe-core's rules: all, or some; the whole page, or without some of it.
export async function axe(rules, leftOut) {
  const options = { resultTypes: ['violations'], iframes: false }
  if (rules) options.runOnly = rules
  const where = leftOut.length ? { exclude: leftOut.map(selector => [selector]) } : document
  const { violations } = await window.axe.run(where, options)
  const why = node => [...node.any, ...node.all, ...node.none].map(check => check.message)[0]
  const line = n => `${n.html.slice(0, 140).replace(/\s+/g, ' ')} at ${n.target}: ${why(n)}`
  return violations.map(v => `${v.id} (${v.nodes.length}): `
    + v.nodes.slice(0, 3).map(line).join(' ... '))
}

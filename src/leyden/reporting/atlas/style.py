"""CSS and script of the atlas page, beside the style of the report's pages (`html_style`)."""

CSS = """
.skip { position: absolute; left: -99rem; } .skip:focus { left: 1rem; top: 1rem; background: var(--bg); z-index: 9; }
button, select, input { font: inherit; color: inherit; background: var(--bg); border: 1px solid var(--line);
  border-radius: 4px; padding: .2rem .5rem; } button { cursor: pointer; } button:hover { border-color: var(--link); }
:is(button, select, input, summary, audio, .error):focus-visible { outline: 2px solid var(--link);
  outline-offset: 1px; }
nav { margin: .8rem 0; } nav a { display: inline-block; padding: .15rem 0; }
.filters { position: sticky; top: 0; z-index: 3; display: flex; flex-wrap: wrap; gap: .4rem .9rem; align-items: center;
  padding: .6rem 0; background: var(--bg); border-bottom: 1px solid var(--line); }
.filters label { display: flex; gap: .4rem; align-items: center; color: var(--dim); font-size: .9rem; }
.filters select { max-width: 11rem; } .filters output { color: var(--dim); font-size: .9rem; }
.matrix { width: auto; } .matrix th, .matrix td { border: 0; padding: 1px; text-align: center; font-size: .8rem; }
.matrix th { max-width: 7rem; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; font-weight: 400; }
.matrix thead th { padding-bottom: .3rem; } .matrix tbody th { text-align: right; padding-right: .5rem;
  vertical-align: middle; }
.matrix.many thead th { height: 6.5rem; vertical-align: bottom; } .matrix.many thead th span { display: inline-block;
  writing-mode: vertical-rl; transform: rotate(180deg); max-height: 6.3rem; overflow: hidden; }
.matrix :is(button, span.cell) { display: block; min-width: 2.3rem; width: 100%; padding: .25rem .15rem;
  border-radius: 3px; border: 1px solid transparent; text-align: center; font-variant-numeric: tabular-nums; }
.matrix button { color: var(--fg);
  background: color-mix(in srgb, var(--c1) calc(var(--share) * 55% + 12%), var(--bg)); }
.matrix span.cell { color: var(--dim); } .matrix span.right { background: color-mix(in srgb,
  var(--c0) calc(var(--share) * 45%), var(--bg)); color: var(--fg); }
.matrix button[aria-pressed=true] { border-color: var(--fg); font-weight: 700; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(19rem, 1fr)); gap: .7rem;
  margin: .5rem 0 1rem; }
.cards.texts { grid-template-columns: repeat(auto-fill, minmax(25rem, 1fr)); }
.error { margin: 0; padding: .7rem; display: flex; flex-direction: column; gap: .45rem; min-width: 0;
  scroll-margin-top: 6rem; }
.error h4 { margin: 0; font-weight: 600; } .said { overflow-wrap: anywhere; }
.said .answer { color: var(--warn); font-weight: 600; } .small { font-size: .85rem; color: var(--dim); margin: 0; }
.views { display: flex; flex-wrap: wrap; gap: .4rem; align-items: flex-start; }
.views > img { width: 100%; height: auto; border-radius: 4px; background: var(--soft); }
.views figure { margin: 0; min-width: 0; flex: 2 1 0; } .views .untrained { flex-grow: 1; }
.views figcaption { font-size: .75rem; line-height: 1.3; margin: 0; }
.view { position: relative; overflow: hidden; border-radius: 4px; background: var(--soft);
  aspect-ratio: var(--ratio); }
.view::before { content: ""; position: absolute; inset: 0; background: var(--sample) 0 0 / 100% 100%;
  print-color-adjust: exact; }
.heat .view::before { filter: grayscale(1) contrast(.8); }
.view img { position: absolute; inset: 0; width: 100%; height: 100%; image-rendering: pixelated; }
.untrusted img, .untrusted mark { filter: grayscale(1); opacity: .45; }
.views.pixels > img { width: 10.5rem; max-width: 100%; } .views.photo figure:first-child { flex-basis: 100%; }
.views:is(.pixels, .mel) .view::before, .views:is(.pixels, .mel) > img { image-rendering: pixelated; }
.views.mel figure { flex: 1 1 100%; } .views.mel .view { aspect-ratio: auto; height: 5.5rem; }
.views.mel > img { height: 7rem; } .views.mel .untrained .view { height: 2.5rem; }
.averages { display: flex; flex-wrap: wrap; gap: 1rem; } .averages img { width: 9rem; min-height: 4rem;
  image-rendering: pixelated; background: var(--soft); border-radius: 4px; display: block; }
.averages .wide { flex: 1 1 22rem; }
audio { width: 100%; height: 2.2rem; }
.text { margin: 0; padding: .5rem .6rem; background: var(--soft); border-radius: 4px; white-space: pre-wrap;
  overflow-wrap: anywhere; max-height: 14rem; overflow: auto; font-size: .92rem; }
mark { color: inherit; border-radius: 2px; background: none; }
dl.shares { display: grid; grid-template-columns: max-content 1fr; gap: 0 .6em; margin: .3em 0; font-size: .85em; }
dl.shares dd { margin: 0; white-space: nowrap; }
dl.shares svg { width: 60%; height: .8em; vertical-align: middle; }
dl.shares rect.for { fill: rgb(214 39 40 / .6); }
dl.shares rect.against { fill: rgb(31 97 214 / .6); }
dl.shares path { stroke: currentColor; stroke-width: .4; }
article h5 { margin: .5em 0 .2em; }
mark.for { background: rgb(214 39 40 / calc(var(--h) * .6)); }
mark.against { background: rgb(31 97 214 / calc(var(--h) * .6)); }
.text.untrained { font-size: .75rem; max-height: 4rem; padding: .2rem .6rem; }
.near { list-style: none; margin: 0; padding: 0; display: flex; flex-wrap: wrap; gap: .4rem .7rem; font-size: .85rem; }
.near li { display: flex; gap: .4rem; align-items: center; max-width: 100%; overflow-wrap: anywhere; }
.near audio { width: 8.5rem; height: 1.6rem; }
.near img { width: 2.6rem; image-rendering: pixelated; border-radius: 3px; } .near .same { color: var(--dim); }
section { scroll-margin-top: 1rem; outline: none; } section:target { box-shadow: none; }
details { margin: .4rem 0; } .error details { margin: 0; font-size: .85rem; color: var(--dim); }
summary { cursor: pointer; color: var(--link); }
.command { display: flex; gap: .5rem; align-items: start; margin: .3rem 0; } .command pre { flex: 1; margin: 0; }
.command button { flex: none; } .two { display: flex; flex-wrap: wrap; gap: 0 3rem; } .two > * { min-width: 0; }
.reliability .right { fill: var(--c0); opacity: .55; } .reliability .even { stroke: var(--dim); stroke-dasharray: 5 4; }
td.name { white-space: normal; overflow-wrap: anywhere; min-width: 8rem; }
.drawn img { max-width: min(34rem, 100%); border-radius: 4px; }
@media (max-width: 40rem) { body { padding: 1rem .8rem 3rem; } .cards, .cards.texts { grid-template-columns: 1fr; }
  .matrix :is(button, span.cell) { min-width: 1.6rem; padding: .25rem 0; } .matrix th { max-width: 4.5rem; }
  .filters { position: static; } .filters label { flex: 1 1 45%; justify-content: space-between; } }
"""

# Filters by class, answer, probability and verdict; a click on the matrix sets the first two.
SCRIPT = """
(() => {
const $ = id => document.getElementById(id), all = (what, where = document) => [...where.querySelectorAll(what)];
const controls = ['group', 'answer', 'slice', 'other', 'verdict', 'low', 'high'].map($).filter(Boolean);
const value = id => $(id) ? $(id).value : '';
function shows(item) {
  const is = item.dataset, p = parseFloat(is.p);
  return (!value('group') || is.group === value('group')) && (!value('answer') || is.answer === value('answer'))
    && (!value('slice') || (is.slice || '').split(' ').includes(value('slice')))
    && (!value('other') || is.other === value('other'))
    && (!value('verdict') || is.verdict === value('verdict') || item.tagName === 'TR')
    && !(p < parseFloat(value('low') || 0)) && !(p > parseFloat(value('high') || 1));
}
function apply() {
  const cards = all('.error'), rows = all('#all tbody tr');
  for (const item of [...cards, ...rows]) item.hidden = !shows(item);
  for (const part of all('.group')) part.hidden = !part.querySelector('.error:not([hidden])');
  const seen = list => list.filter(item => !item.hidden).length;
  $('count').textContent = `${seen(cards)} of ${cards.length} samples, ${seen(rows)} of ${rows.length} listed errors`;
  for (const cell of all('.matrix button')) cell.setAttribute('aria-pressed',
    cell.dataset.group === value('group') && cell.dataset.answer === value('answer'));
}
for (const control of controls) control.addEventListener('input', apply);
if ($('reset')) $('reset').addEventListener('click', () => { for (const control of controls)
  control.value = control.defaultValue || ''; apply(); });
for (const cell of all('.matrix button')) cell.addEventListener('click', () => {
  const again = cell.getAttribute('aria-pressed') === 'true';
  $('group').value = again ? '' : cell.dataset.group; $('answer').value = again ? '' : cell.dataset.answer;
  apply(); if (!again) { const first = document.querySelector('.error:not([hidden])') || $('all');
    $('errors').scrollIntoView(); first.focus({ preventScroll: true }); }
});
for (const button of all('.command button')) button.addEventListener('click', () => {
  const text = button.previousElementSibling, range = document.createRange();
  range.selectNodeContents(text); getSelection().removeAllRanges(); getSelection().addRange(range);
  const done = () => { button.textContent = 'copied'; };
  if (navigator.clipboard) navigator.clipboard.writeText(text.textContent).then(done, done);
  else { document.execCommand('copy'); done(); }
});
document.addEventListener('keydown', event => {
  if (event.target.closest('input, select, audio') || event.ctrlKey || event.metaKey || event.altKey) return;
  const step = { j: 1, k: -1 }[event.key], cards = all('.error').filter(card => card.offsetParent);
  if (!step || !cards.length) return;
  const at = cards.indexOf(document.activeElement.closest('.error')) + step;
  const next = cards[Math.min(cards.length - 1, Math.max(0, at))];
  next.focus(); next.scrollIntoView({ block: 'center' });
});
if ($('count')) apply();
})();
"""

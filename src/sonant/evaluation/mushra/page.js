'use strict';
/* One trial after the other: hear the versions of an excerpt, rate each, send the ratings. */

const $ = (id) => document.getElementById(id);

const MEMORY = 'listening-test'; // {rater, session, number} of a test that is not finished, for this tab

const rater = remembered().rater ?? newName();
let player = null;
let session = null;
let trials = [];
let number = 0;
let trial = null; // {stimuli, started, peaks}

function newName() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, '0')).join('');
}

/* A page that is loaded again goes on as the same rater, with the excerpt after the last one rated. */
function remembered() {
  try { return JSON.parse(sessionStorage.getItem(MEMORY)) ?? {}; } catch { return {}; }
}

function remember() {
  try {
    if (number < trials.length) sessionStorage.setItem(MEMORY, JSON.stringify({rater, session, number}));
    else sessionStorage.removeItem(MEMORY);
  } catch { /* a browser that keeps nothing: every load is a new rater */ }
}

function show() {
  $('play').setAttribute('aria-pressed', String(player.playing));
  $('play').textContent = player.playing ? 'Pause' : 'Play';
  $('from').value = (100 * player.from) / player.duration;
  $('to').value = (100 * player.to) / player.duration;
}

function select(index) {
  if (!trial || index > trial.stimuli.length) return;
  player.select(index);
  document.querySelectorAll('.listen').forEach((button, i) => button.setAttribute('aria-pressed', String(i === index)));
  if (index > 0) document.querySelectorAll('#stimuli input')[index - 1].focus();
  player.play();
  show();
}

/* The loudest of each of `count` stretches of a recording, 1 for the loudest of all. */
function peaksOf(buffer, count) {
  const samples = buffer.getChannelData(0);
  const peaks = Array.from({length: count}, (_, x) => {
    let peak = 0;
    const end = Math.floor(((x + 1) * samples.length) / count);
    for (let i = Math.floor((x * samples.length) / count); i < end; i++) peak = Math.max(peak, Math.abs(samples[i]));
    return peak;
  });
  const loudest = Math.max(...peaks) || 1;
  return peaks.map((peak) => peak / loudest);
}

function draw() {
  const canvas = $('wave');
  if (trial) {
    const pen = canvas.getContext('2d');
    const {width, height} = canvas;
    const {duration} = player;
    pen.clearRect(0, 0, width, height);
    pen.fillStyle = '#0072b233';
    pen.fillRect((player.from / duration) * width, 0, ((player.to - player.from) / duration) * width, height);
    pen.fillStyle = '#0072b2';
    trial.peaks.forEach((peak, x) => pen.fillRect(x, (height / 2) * (1 - peak), 1, Math.max(1, height * peak)));
    pen.fillStyle = '#d55e00';
    pen.fillRect((player.position / duration) * width, 0, 3, height);
  }
  requestAnimationFrame(draw);
}

function row(index) {
  const item = document.createElement('li');
  item.className = 'untouched';
  item.innerHTML = `<button type="button" class="listen" aria-pressed="false">${index < 10 ? `<kbd>${index}</kbd>` : index} Play</button>
    <input type="range" min="0" max="100" value="50" step="1" aria-label="Score of version ${index}">
    <output>–</output>`;
  item.querySelector('button').onclick = () => select(index);
  const slider = item.querySelector('input');
  const rate = () => {
    item.className = '';
    item.querySelector('output').textContent = slider.value;
    $('next').disabled = document.querySelector('#stimuli .untouched') !== null;
  };
  slider.oninput = rate;
  slider.onchange = rate;
  slider.onpointerup = rate;
  slider.onpointerdown = () => { if (player.active !== index) select(index); };
  return item;
}

async function present() {
  const {reference, stimuli} = trials[number];
  $('progress').textContent = `Excerpt ${number + 1} of ${trials.length}`;
  $('message').textContent = 'Loading …';
  $('next').disabled = true;
  $('retry').hidden = true;
  $('stimuli').replaceChildren(...stimuli.map((_, i) => row(i + 1)));
  const names = [reference, ...stimuli];
  let buffers;
  try {
    buffers = await Promise.all(names.map((name) => decoded(player.context, `audio/${name}`)));
  } catch (error) {
    $('message').textContent = `The excerpt could not be loaded (${error.message}).`;
    $('retry').hidden = false;
    return;
  }
  buffers.forEach((buffer) => player.add(buffer));
  trial = {stimuli, started: Date.now(), peaks: peaksOf(buffers[0], $('wave').width)};
  show();
  $('reference').setAttribute('aria-pressed', 'true');
  $('message').textContent = '';
}

async function next() {
  if ($('next').disabled) return;
  $('next').disabled = true;
  player.pause();
  const sliders = [...document.querySelectorAll('#stimuli input')];
  const time = Date.now() - trial.started;
  const ratings = trial.stimuli.map((stimulus, i) => ({stimulus, score: Number(sliders[i].value), time}));
  try {
    const answer = await fetch('results', {
      method: 'POST',
      body: JSON.stringify({rater, trial: trials[number].id, ratings}),
    });
    if (!answer.ok) throw new Error(await answer.text());
  } catch (error) {
    $('message').textContent = `The ratings could not be saved (${error.message}). Try again.`;
    $('next').disabled = false;
    return;
  }
  player.clear();
  trial = null;
  number += 1;
  remember();
  if (number < trials.length) return present();
  $('trial').hidden = true;
  $('end').hidden = false;
  $('progress').textContent = '';
}

$('start').onclick = async () => {
  player = new Player(new AudioContext());
  $('welcome').hidden = true;
  $('trial').hidden = false;
  await present();
  requestAnimationFrame(draw);
};
$('play').onclick = () => { player.toggle(); show(); };
$('reference').onclick = () => select(0);
$('next').onclick = next;
$('retry').onclick = present;
$('from').oninput = () => { player.loop((player.duration * $('from').value) / 100, player.to); show(); };
$('to').oninput = () => { player.loop(player.from, (player.duration * $('to').value) / 100); show(); };

document.addEventListener('keydown', (event) => {
  if (!trial || event.ctrlKey || event.metaKey || event.altKey || keyOfElement(event)) return;
  if (playerKey(player, event.key)) show();
  else if (event.key >= '0' && event.key <= '9') select(Number(event.key));
  else if (event.key === 'Enter') next();
  else return;
  event.preventDefault();
});

async function welcome() {
  const before = remembered();
  try {
    const answer = await fetch(`trials?rater=${rater}`);
    if (!answer.ok) throw new Error(await answer.text());
    ({id: session, trials} = await answer.json());
  } catch (error) {
    $('progress').textContent = `The test could not be loaded (${error.message}). Load the page again.`;
    return;
  }
  if (before.session === session) ({number} = before);
  remember();
  $('progress').textContent = number ? `${trials.length - number} of ${trials.length} excerpts left`
    : `${trials.length} excerpts`;
  $('start').disabled = false;
  $('start').focus();
}

welcome();

'use strict';
/* All versions of an excerpt run at once, in step, each behind a gain: switching is a 10 ms crossfade. */

const $ = (id) => document.getElementById(id);
const FADE = 0.01;

const rater = crypto.randomUUID ? crypto.randomUUID()
  : Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, '0')).join('');
let context = null;
let trials = [];
let number = 0;
let trial = null; // {buffers, gains, sources, active, from, to, began, offset, started}

const playing = () => trial !== null && trial.sources.length > 0;

function position() {
  if (!playing()) return trial.offset;
  const length = trial.to - trial.from;
  const elapsed = trial.offset - trial.from + Math.max(0, context.currentTime - trial.began);
  return trial.from + (elapsed % length);
}

function select(index) {
  if (!trial || index > trial.stimuli.length) return;
  trial.active = index;
  trial.gains.forEach((gain, i) => gain.gain.setTargetAtTime(i === index ? 1 : 0, context.currentTime, FADE / 3));
  document.querySelectorAll('.listen').forEach((button, i) => button.setAttribute('aria-pressed', String(i === index)));
  if (index > 0) document.querySelectorAll('#stimuli input')[index - 1].focus();
  if (!playing()) play();
}

function play() {
  context.resume();
  trial.began = context.currentTime + 0.02;
  trial.sources = trial.buffers.map((buffer, i) => {
    const source = new AudioBufferSourceNode(context, {buffer, loop: true, loopStart: trial.from, loopEnd: trial.to});
    source.connect(trial.gains[i]);
    source.start(trial.began, trial.offset);
    return source;
  });
  $('play').setAttribute('aria-pressed', 'true');
  $('play').textContent = 'Pause';
}

function pause() {
  trial.offset = position();
  trial.sources.forEach((source) => source.stop());
  trial.sources = [];
  $('play').setAttribute('aria-pressed', 'false');
  $('play').textContent = 'Play';
}

function loop(from, to) {
  const duration = trial.buffers[0].duration;
  from = Math.max(0, Math.min(from, duration - 0.25));
  to = Math.min(duration, Math.max(to, from + 0.25));
  const wasPlaying = playing();
  if (wasPlaying) pause();
  Object.assign(trial, {from, to, offset: from});
  $('from').value = (100 * from) / duration;
  $('to').value = (100 * to) / duration;
  if (wasPlaying) play();
}

function draw() {
  const canvas = $('wave');
  if (trial) {
    const pen = canvas.getContext('2d');
    const {width, height} = canvas;
    const samples = trial.buffers[0].getChannelData(0);
    const duration = trial.buffers[0].duration;
    pen.clearRect(0, 0, width, height);
    pen.fillStyle = '#0072b233';
    pen.fillRect((trial.from / duration) * width, 0, ((trial.to - trial.from) / duration) * width, height);
    pen.fillStyle = '#0072b2';
    const step = Math.floor(samples.length / width);
    for (let x = 0; x < width; x++) {
      let peak = 0;
      for (let i = x * step; i < (x + 1) * step; i += 8) peak = Math.max(peak, Math.abs(samples[i]));
      pen.fillRect(x, (height / 2) * (1 - peak), 1, Math.max(1, height * peak));
    }
    pen.fillStyle = '#d55e00';
    pen.fillRect((position() / duration) * width, 0, 3, height);
  }
  requestAnimationFrame(draw);
}

async function load(name) {
  const response = await fetch(`audio/${name}`);
  return context.decodeAudioData(await response.arrayBuffer());
}

function row(index) {
  const item = document.createElement('li');
  item.className = 'untouched';
  item.innerHTML = `<button type="button" class="listen" aria-pressed="false"><kbd>${index}</kbd> Play</button>
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
  slider.onpointerdown = () => { if (trial.active !== index) select(index); };
  return item;
}

async function show() {
  const {reference, stimuli} = trials[number];
  $('progress').textContent = `Excerpt ${number + 1} of ${trials.length}`;
  $('message').textContent = 'Loading …';
  $('next').disabled = true;
  $('stimuli').replaceChildren(...stimuli.map((_, i) => row(i + 1)));
  const buffers = await Promise.all([reference, ...stimuli].map(load));
  const gains = buffers.map((_, i) => {
    const gain = new GainNode(context, {gain: i === 0 ? 1 : 0});
    gain.connect(context.destination);
    return gain;
  });
  trial = {buffers, gains, stimuli, sources: [], active: 0, from: 0, to: buffers[0].duration, began: 0,
    offset: 0, started: Date.now()};
  loop(0, trial.to);
  $('reference').setAttribute('aria-pressed', 'true');
  $('message').textContent = '';
}

async function next() {
  if ($('next').disabled) return;
  $('next').disabled = true;
  if (playing()) pause();
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
  trial.gains.forEach((gain) => gain.disconnect());
  trial = null;
  number += 1;
  if (number < trials.length) return show();
  $('trial').hidden = true;
  $('end').hidden = false;
  $('progress').textContent = '';
}

$('start').onclick = async () => {
  context = new AudioContext();
  $('welcome').hidden = true;
  $('trial').hidden = false;
  await show();
  requestAnimationFrame(draw);
};
$('play').onclick = () => (playing() ? pause() : play());
$('reference').onclick = () => select(0);
$('next').onclick = next;
$('from').oninput = () => loop((trial.buffers[0].duration * $('from').value) / 100, trial.to);
$('to').oninput = () => loop(trial.from, (trial.buffers[0].duration * $('to').value) / 100);

document.addEventListener('keydown', (event) => {
  if (!trial || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === ' ') (playing() ? pause : play)();
  else if (event.key >= '0' && event.key <= '9') select(Number(event.key));
  else if (event.key === '[') loop(position(), trial.to);
  else if (event.key === ']') loop(trial.from, position());
  else if (event.key === '\\') loop(0, trial.buffers[0].duration);
  else if (event.key === 'Enter') next();
  else return;
  event.preventDefault();
});

fetch(`trials?rater=${rater}`).then((r) => r.json()).then((session) => {
  trials = session.trials;
  $('progress').textContent = `${trials.length} excerpts`;
  $('start').disabled = false;
  $('start').focus();
});

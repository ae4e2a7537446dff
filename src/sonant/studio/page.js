'use strict';
/* Hand in a recording, have it coded at every bitrate of a model, hear and see what comes out. */

const $ = (id) => document.getElementById(id);
const REFERENCE_BITS = 16;

let models = [];
let player = null;
let microphone = null;
let current = null; // {name, facts, images, round}: `round` changes with every list of versions
let latest = null; // the recording that was handed in last
let dragged = null; // {from, to} while a part is marked

const TICK_HZ = 4000;

const model = () => models[$('model').selectedIndex];
const highest = () => Math.min(model().sample_rate, player.context.sampleRate) / 2;
const say = (text) => { $('message').textContent = text; };
const bytes = (n) => (n < 1e6 ? `${(n / 1e3).toFixed(1)} kB` : `${(n / 1e6).toFixed(2)} MB`);
const bytesUncoded = () => {
  const {seconds, sample_rate, channels} = current.facts;
  return (seconds * sample_rate * channels * REFERENCE_BITS) / 8;
};
const clock = (t) => `${Math.floor(t / 60)}:${(t % 60).toFixed(1).padStart(4, '0')}`;

async function post(url, body) {
  const answer = await fetch(url, {method: 'POST', body});
  if (!answer.ok) throw new Error(await answer.text());
  return answer.json();
}

function row(label, text) {
  const item = document.createElement('li');
  item.innerHTML = '<button type="button" aria-pressed="false" disabled></button><span class="figures"></span><span></span>';
  item.dataset.label = label;
  const key = document.createElement('kbd');
  key.textContent = $('versions').children.length;
  item.querySelector('button').append(key, ` ${label}`);
  item.querySelector('.figures').textContent = text;
  $('versions').append(item);
  return item;
}

/* Let a row be heard once its audio is here. */
async function ready(item, url, round) {
  const buffer = await decoded(player.context, url);
  if (current.round !== round) return;
  const number = player.add(buffer);
  const image = await spectrogram(buffer, $('spectrogram').width, $('spectrogram').height, highest());
  if (current.round !== round) return;
  current.images[number] = image;
  item.dataset.track = number;
  const button = item.querySelector('button');
  button.disabled = false;
  button.onclick = () => hear(item);
}

function hear(item) {
  if (!item?.dataset.track) return;
  player.select(Number(item.dataset.track));
  for (const other of $('versions').children) {
    other.querySelector('button').setAttribute('aria-pressed', String(other === item));
  }
  $('heard').textContent = item.dataset.label;
}

function figures(item, version, bitrate) {
  const {name, facts: {id}} = current;
  item.querySelector('.figures').innerHTML =
    `${bytes(version.bytes)} <span class="small">(1 : ${(bytesUncoded() / version.bytes).toFixed(0)})</span>, `
    + `${version.kbps.toFixed(2)} kbit/s <span class="small">all in</span><br>`
    + `<span class="small">${version.si_snr === null ? '' : `SI-SNR ${version.si_snr.toFixed(1)} dB, `}coded in ${version.encode_seconds.toFixed(2)} s, `
    + `decoded in ${version.decode_seconds.toFixed(2)} s</span>`;
  const stem = name.replace(/\.[^.]*$/, '');
  item.lastElementChild.replaceChildren(...['ecdc', 'flac'].map((ending) => {
    const link = document.createElement('a');
    link.href = `takes/${id}/${version.name}.${ending}`;
    link.download = `${stem}-${bitrate}k.${ending}`;
    link.textContent = ending;
    link.setAttribute('aria-label', `${ending} of ${bitrate} kbit/s`);
    return link;
  }));
}

/* The original and, one after the other, the model's bitrates; playing goes on as it was. */
async function present({position, from, to, playing} = {}) {
  const {facts} = current;
  const round = (current.round = Symbol('round'));
  player.clear();
  current.images = [];
  $('versions').replaceChildren();
  const {coded} = facts;
  const first = row(coded ? 'As decoded' : 'Original', coded
    ? `${bytes(coded.bytes)}, ${coded.actual_kbps.toFixed(2)} kbit/s, ${coded.model}${coded.damage ? `; damaged: ${coded.damage.join('; ')}` : ''}`
    : `${bytes(bytesUncoded())} as 16-bit samples`);
  const {name, bitrates} = model();
  const rows = bitrates.map((bitrate) => row(`${bitrate} kbit/s`, 'waiting'));
  await ready(first, `takes/${facts.id}/original.flac`, round);
  if (current.round !== round) return;
  if (to) player.loop(from, to);
  player.seek(position ?? 0);
  hear(first);
  if (playing) player.play();
  for (const [i, bitrate] of bitrates.entries()) {
    const item = rows[i];
    item.querySelector('.figures').textContent = 'coding …';
    try {
      const query = new URLSearchParams({model: name, bitrate});
      const version = await post(`takes/${facts.id}/versions?${query}`);
      if (current.round !== round) return;
      figures(item, version, bitrate);
      await ready(item, `takes/${facts.id}/${version.name}.flac`, round);
    } catch (error) {
      item.querySelector('.figures').textContent = error.message;
    }
    if (current.round !== round) return;
  }
}

async function handIn(file, name) {
  player ??= new Player(new AudioContext());
  player.pause();
  say(`Reading ${name} …`);
  const mine = (latest = Symbol(name));
  try {
    const facts = await post(`takes?${new URLSearchParams({name})}`, file);
    if (latest !== mine) return;
    current = {name, facts, images: []};
    say(facts.cut ? `Only the first ${facts.seconds.toFixed(0)} s are taken; sonant studio --seconds takes more.` : '');
    const kind = {1: 'mono', 2: 'stereo'}[facts.channels] ?? `${facts.channels} channels`;
    $('title').textContent = name;
    $('facts').textContent = `${clock(facts.seconds)}, ${facts.sample_rate / 1000} kHz, ${kind}`;
    $('take').hidden = false;
    await present();
  } catch (error) {
    if (latest === mine) say(error.message);
  }
}

async function record() {
  $('record').disabled = true;
  try {
    if (microphone) {
      const recorder = microphone;
      microphone = null;
      $('record').textContent = 'Record';
      $('record').setAttribute('aria-pressed', 'false');
      const recording = await recorder.stop();
      $('record').disabled = false;
      await handIn(recording, 'recording.wav');
    } else {
      const recorder = new Microphone();
      await recorder.start();
      microphone = recorder;
      $('record').textContent = 'Stop and code it';
      $('record').setAttribute('aria-pressed', 'true');
    }
  } catch (error) {
    say(`The microphone cannot be used (${error.message}).`);
  } finally {
    $('record').disabled = false;
  }
}

function draw() {
  requestAnimationFrame(draw);
  if (!current || !player.tracks.length) return;
  const canvas = $('spectrogram');
  const pen = canvas.getContext('2d');
  const {clientWidth: width, clientHeight: height} = canvas;
  const x = (time) => (time / player.duration) * width;
  pen.setTransform(canvas.width / width, 0, 0, canvas.height / height, 0, 0);
  pen.clearRect(0, 0, width, height);
  const image = current.images[player.active];
  if (image) pen.drawImage(image, 0, 0, width, height);
  const [from, to] = marked() ?? [player.from, player.to];
  pen.fillStyle = '#000a';
  pen.fillRect(0, 0, x(from), height);
  pen.fillRect(x(to), 0, width, height);
  pen.fillStyle = '#fff';
  pen.font = '12px system-ui, sans-serif';
  for (let hertz = TICK_HZ; hertz < highest(); hertz += TICK_HZ) {
    const y = height * (1 - hertz / highest());
    pen.fillRect(0, y, 6, 1);
    pen.fillText(`${hertz / 1000} kHz`, 10, y + 4);
  }
  pen.fillRect(x(player.position) - 1, 0, 2, height);
  $('time').textContent = `${clock(player.position)} of ${clock(player.duration)}`;
  canvas.setAttribute('aria-valuemax', player.duration.toFixed(1));
  canvas.setAttribute('aria-valuenow', player.position.toFixed(1));
  canvas.setAttribute('aria-valuetext', clock(player.position));
  $('play').textContent = player.playing ? 'Pause' : 'Play';
  const looping = player.from > 0 || player.to < player.duration;
  $('loop').hidden = !looping;
  $('hint').hidden = looping;
}

const timeAt = (event) => {
  const box = $('spectrogram').getBoundingClientRect();
  return Math.max(0, Math.min(1, (event.clientX - box.left) / box.width)) * player.duration;
};

/* The part that is being marked, if it is long enough to be looped. */
function marked() {
  if (!dragged) return null;
  const [from, to] = [dragged.from, dragged.to].sort((a, b) => a - b);
  return to - from >= SHORTEST_LOOP ? [from, to] : null;
}

$('spectrogram').onpointerdown = (event) => {
  if (event.button !== 0) return;
  dragged = {from: timeAt(event), to: timeAt(event)};
  $('spectrogram').setPointerCapture(event.pointerId);
};
$('spectrogram').onpointermove = (event) => { if (dragged) dragged.to = timeAt(event); };
$('spectrogram').onpointercancel = () => { dragged = null; };
$('spectrogram').onpointerup = (event) => {
  if (!dragged) return;
  dragged.to = timeAt(event);
  const [part, {from}] = [marked(), dragged];
  dragged = null;
  if (part) return player.loop(...part);
  if (from < player.from || from >= player.to) player.loop(0, player.duration);
  player.seek(from);
};
$('play').onclick = () => player.toggle();
$('loop').onclick = () => player.whilePaused(() => Object.assign(player, {from: 0, to: player.duration}));
$('record').onclick = record;
$('model').onchange = () => {
  const {position, from, to, playing} = player ?? {};
  if (current) present({position, from, to, playing}).catch((error) => say(error.message));
};
$('file').onchange = () => {
  const [file] = $('file').files;
  if (file) handIn(file, file.name);
  $('file').value = '';
};
$('choose').onclick = () => $('file').click();

document.addEventListener('dragover', (event) => { event.preventDefault(); $('hand-in').classList.add('over'); });
document.addEventListener('dragleave', () => $('hand-in').classList.remove('over'));
document.addEventListener('drop', (event) => {
  event.preventDefault();
  $('hand-in').classList.remove('over');
  const [file] = event.dataTransfer.files;
  if (file) handIn(file, file.name);
});
document.addEventListener('keydown', (event) => {
  if (!current || event.ctrlKey || event.metaKey || event.altKey || keyOfElement(event)) return;
  if (event.key >= '0' && event.key <= '9') hear($('versions').children[Number(event.key)]);
  else if (event.key === 'ArrowLeft') player.seek(player.position - 1);
  else if (event.key === 'ArrowRight') player.seek(player.position + 1);
  else if (event.key === 'Home') player.seek(player.from);
  else if (event.key === 'End') player.seek(player.to);
  else if (!playerKey(player, event.key)) return;
  event.preventDefault();
});

async function begin() {
  const answer = await fetch('models');
  if (!answer.ok) throw new Error(await answer.text());
  models = await answer.json();
  $('model').replaceChildren(...models.map(({name, channels}) =>
    new Option(`${name} (${channels === 1 ? 'mono' : 'stereo'})`)));
  requestAnimationFrame(draw);
}

begin().catch((error) => say(`The models could not be loaded (${error.message}). Reload the page.`));

import {Codec, ecdcFile} from './codec.js';

const $ = (id) => document.getElementById(id);
const MOST_SECONDS = 60;

let model = null; // what site.json says
let codec = null;
let taken = null; // {name, samples, cut}
let round = 0; // counts what was asked for; only the last is shown

function tell(text) {
  $('status').textContent = text;
}

/* What the browser can decode, as mono at the model's rate. */
async function samplesOf(data) {
  const buffer = await new OfflineAudioContext(1, 1, model.sample_rate).decodeAudioData(data);
  const count = Math.min(buffer.length, MOST_SECONDS * model.sample_rate);
  const mono = new Float32Array(count);
  for (let channel = 0; channel < buffer.numberOfChannels; channel++) {
    const part = buffer.getChannelData(channel);
    for (let i = 0; i < count; i++) mono[i] += part[i] / buffer.numberOfChannels;
  }
  return {samples: mono, cut: count < buffer.length};
}

function wavFile(samples) {
  return wav([Int16Array.from(samples, (x) => Math.round(32767 * Math.max(-1, Math.min(1, x))))], model.sample_rate);
}

function show(element, attribute, blob) {
  URL.revokeObjectURL(element[attribute]);
  element[attribute] = URL.createObjectURL(blob);
}

/* Take a recording, of a promise of its bytes, and code it. */
async function take(name, bytes) {
  try {
    const {samples, cut} = await samplesOf(await bytes);
    taken = {name, samples, cut};
  } catch (error) {
    tell(`${name} cannot be read (${error.message}).`);
    return;
  }
  show($('original'), 'src', wavFile(taken.samples));
  await code();
}

/* Code what was taken at the chosen bitrate, and show what came of it. */
async function code() {
  if (!taken || !codec) return;
  const mine = ++round;
  const bitrate = document.querySelector('#bitrates input:checked').value;
  tell('Coding …');
  await new Promise((painted) => setTimeout(painted, 50));
  try {
    const coded = await codeAndDecode(taken, bitrate);
    if (mine === round) showResult(coded);
  } catch (error) {
    if (mine !== round) return;
    $('result').hidden = true;
    tell(`${taken.name} cannot be coded (${error.message}).`);
  }
}

async function codeAndDecode({name, samples, cut}, bitrate) {
  const began = performance.now();
  const codes = await codec.encode(samples, model.codebooks[bitrate]);
  const coded = performance.now();
  const audio = await codec.decode(codes, samples.length);
  const decoded = performance.now();
  const seconds = {coding: (coded - began) / 1000, decoding: (decoded - coded) / 1000};
  return {name, length: samples.length, cut, audio, file: ecdcFile(codes, samples.length, model), seconds};
}

function showResult({name, length, cut, audio, file, seconds}) {
  show($('decoded'), 'src', wavFile(audio));
  show($('save'), 'href', file);
  $('save').download = `${name.replace(/\.[^.]*$/, '')}.ecdc`;
  tell(
    `${cut ? 'The first ' : ''}${(length / model.sample_rate).toFixed(1)} s in ${file.size.toLocaleString('en')} bytes, `
    + `1 : ${Math.round((2 * length) / file.size)} of 16-bit samples; `
    + `coded in ${seconds.coding.toFixed(2)} s, decoded in ${seconds.decoding.toFixed(2)} s.`,
  );
  $('result').hidden = false;
}

let microphone = null;

function listen(recorder) {
  microphone = recorder;
  $('record').textContent = recorder ? 'Stop' : 'Record';
  $('record').setAttribute('aria-pressed', String(recorder !== null));
}

async function record() {
  $('record').disabled = true;
  try {
    if (microphone) {
      const recorder = microphone;
      listen(null);
      const file = await recorder.stop();
      $('record').disabled = false;
      await take('recording.wav', file.arrayBuffer());
    } else {
      const recorder = new Microphone();
      await recorder.start();
      listen(recorder);
    }
  } catch (error) {
    tell(`The microphone cannot be used (${error.message}).`);
  } finally {
    $('record').disabled = false;
  }
}

function offerBitrates() {
  $('bitrates').append(...Object.keys(model.codebooks).sort((a, b) => a - b).map((bitrate) => {
    const label = document.createElement('label');
    const input = Object.assign(document.createElement('input'), {type: 'radio', name: 'bitrate', value: bitrate});
    input.checked = Number(bitrate) === model.default_bitrate;
    input.onchange = code;
    label.append(input, ` ${bitrate}`);
    return label;
  }));
}

try {
  model = await (await fetch('site.json')).json();
  offerBitrates();
  $('file').onchange = ({target: {files: [file]}}) => file && take(file.name, file.arrayBuffer());
  $('record').onclick = record;
  $('example').onclick = () => take('example.flac', fetch('example.flac').then((answer) => answer.arrayBuffer()));
  const runtime = await import(model.runtime);
  runtime.env.wasm.numThreads = 1;
  codec = await Codec.load(runtime, 'model', model);
  tell('Choose a recording, record one, or take the example.');
  await code();
} catch (error) {
  tell(`The model cannot be loaded (${error.message}).`);
}

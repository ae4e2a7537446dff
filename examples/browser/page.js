import {Codec, ecdcFile} from './codec.js';

const $ = (id) => document.getElementById(id);
const MOST_SECONDS = 60;

const model = await (await fetch('site.json')).json();
let codec = null;
let taken = null; // {name, samples, cut}
let round = 0; // of what was asked for; only the last is shown

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

async function take(name, data) {
  try {
    const {samples, cut} = await samplesOf(data);
    taken = {name, samples, cut};
  } catch (error) {
    tell(`${name} cannot be read (${error.message}).`);
    return;
  }
  show($('original'), 'src', wavFile(taken.samples));
  await code();
}

async function code() {
  if (!taken || !codec) return;
  const mine = ++round;
  const {name, samples, cut} = taken;
  const bitrate = document.querySelector('#bitrates input:checked').value;
  tell('Coding …');
  await new Promise((painted) => setTimeout(painted, 50));
  const began = performance.now();
  const codes = await codec.encode(samples, model.codebooks[bitrate]);
  const coded = performance.now();
  const audio = await codec.decode(codes, samples.length);
  const decoded = performance.now();
  if (mine !== round) return;
  const file = ecdcFile(codes, samples.length, model);
  show($('decoded'), 'src', wavFile(audio));
  show($('save'), 'href', file);
  $('save').download = `${name.replace(/\.[^.]*$/, '')}.ecdc`;
  const seconds = samples.length / model.sample_rate;
  tell(
    `${cut ? 'The first ' : ''}${seconds.toFixed(1)} s in ${file.size.toLocaleString('en')} bytes, 1 : ${Math.round((2 * samples.length) / file.size)} of 16-bit samples; `
    + `coded in ${((coded - began) / 1000).toFixed(2)} s, decoded in ${((decoded - coded) / 1000).toFixed(2)} s.`,
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
      await take('recording.wav', await file.arrayBuffer());
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

$('bitrates').append(...Object.keys(model.codebooks).sort((a, b) => a - b).map((bitrate) => {
  const label = document.createElement('label');
  const input = Object.assign(document.createElement('input'), {type: 'radio', name: 'bitrate', value: bitrate});
  input.checked = Number(bitrate) === model.default_bitrate;
  input.onchange = code;
  label.append(input, ` ${bitrate}`);
  return label;
}));
$('file').onchange = async ({target: {files: [file]}}) => file && take(file.name, await file.arrayBuffer());
$('record').onclick = record;
$('example').onclick = async () => take('example.flac', await (await fetch('example.flac')).arrayBuffer());

try {
  const runtime = await import(model.runtime);
  runtime.env.wasm.numThreads = 1;
  codec = await Codec.load(runtime, 'model', model);
  tell('Choose a recording, record one, or take the example.');
  await code();
} catch (error) {
  tell(`The model cannot be loaded (${error.message}).`);
}

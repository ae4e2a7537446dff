'use strict';
/* Record a microphone as it is, without a codec of the browser's in between. */

const TAP = `registerProcessor('tap', class extends AudioWorkletProcessor {
  process([input]) {
    if (input.length) this.port.postMessage(input[0].slice());
    return true;
  }
});`;

class Microphone {
  async start() {
    if (!navigator.mediaDevices) throw new Error('browsers allow it only on https and on localhost');
    this.stream = await navigator.mediaDevices.getUserMedia(
      {audio: {echoCancellation: false, noiseSuppression: false, autoGainControl: false}});
    this.context = new AudioContext();
    const module = URL.createObjectURL(new Blob([TAP], {type: 'text/javascript'}));
    try {
      await this.context.audioWorklet.addModule(module);
      this.blocks = [];
      const tap = new AudioWorkletNode(this.context, 'tap', {numberOfOutputs: 0});
      tap.port.onmessage = ({data}) => this.blocks.push(
        Int16Array.from(data, (v) => Math.round(32767 * Math.max(-1, Math.min(1, v)))));
      this.context.createMediaStreamSource(this.stream).connect(tap);
    } catch (error) {
      await this.close();
      throw error;
    } finally {
      URL.revokeObjectURL(module);
    }
  }

  /* What was recorded, a WAV file. */
  async stop() {
    await this.close();
    return wav(this.blocks, this.context.sampleRate);
  }

  async close() {
    this.stream.getTracks().forEach((track) => track.stop());
    await this.context.close();
  }
}

/* Mono, of blocks of 16-bit samples. */
function wav(blocks, sampleRate) {
  const bytes = blocks.reduce((sum, block) => sum + block.byteLength, 0);
  const head = new DataView(new ArrayBuffer(44));
  const text = (at, word) => [...word].forEach((letter, i) => head.setUint8(at + i, letter.charCodeAt(0)));
  text(0, 'RIFF');
  head.setUint32(4, 36 + bytes, true);
  text(8, 'WAVEfmt ');
  head.setUint32(16, 16, true);
  head.setUint16(20, 1, true);
  head.setUint16(22, 1, true);
  head.setUint32(24, sampleRate, true);
  head.setUint32(28, 2 * sampleRate, true);
  head.setUint16(32, 2, true);
  head.setUint16(34, 16, true);
  text(36, 'data');
  head.setUint32(40, bytes, true);
  return new Blob([head, ...blocks], {type: 'audio/wav'});
}

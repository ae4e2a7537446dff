/* A mono codec as `sonant export --onnx` writes it, in ONNX Runtime Web. */

export class Codec {
  /* `runtime` is the module onnxruntime-web, `folder` where the graphs are, `model` what site.json tells. */
  static async load(runtime, folder, model) {
    const open = (name) => runtime.InferenceSession.create(`${folder}/${name}.onnx`, {executionProviders: ['wasm']});
    const [encoder, decoder] = await Promise.all([open('encoder'), open('decoder')]);
    return new Codec(runtime, open, model, encoder, decoder);
  }

  constructor(runtime, open, model, encoder, decoder) {
    Object.assign(this, {runtime, open, model, encoder, decoder, quantizers: new Map()});
  }

  /* The codes of samples in [-1, 1] at the model's rate: {books, frames, values}, book after book. */
  async encode(samples, books) {
    const audio = new this.runtime.Tensor('float32', samples, [1, samples.length, 1]);
    const {latents} = await this.encoder.run({audio});
    const {codes} = await (await this.quantizer(books)).run({latents});
    return {books, frames: codes.dims[1], values: Uint16Array.from(codes.data, Number)};
  }

  /* `length` samples of what codes stand for. */
  async decode({books, frames, values}, length) {
    const entries = BigInt64Array.from(values, (code, i) => BigInt(code + Math.floor(i / frames) * this.model.bins));
    const tensor = new this.runtime.Tensor('int64', entries, [1, books, frames]);
    const {audio} = await this.decoder.run({entries: tensor});
    return audio.data.subarray(0, length);
  }

  /* Loaded when it is first asked for; one that could not be loaded is tried again. */
  async quantizer(books) {
    if (!this.quantizers.has(books)) this.quantizers.set(books, await this.open(`quantizer_${books}`));
    return this.quantizers.get(books);
  }
}

/* An .ecdc file, version 0 of docs/format.md, which `sonant decode` reads. */
export function ecdcFile({books, frames, values}, length, model) {
  const text = `{"m": "${model.name}", "al": ${length}, "nc": ${books}, "lm": false}`;
  const metadata = new TextEncoder().encode(text);
  const head = new Uint8Array(9);
  head.set(new TextEncoder().encode('ECDC'));
  new DataView(head.buffer).setUint32(5, metadata.length);
  const bits = Math.log2(model.bins);
  const packed = new Uint8Array(Math.ceil((books * frames * bits) / 8));
  let place = 0;
  for (let frame = 0; frame < frames; frame++) {
    for (let book = 0; book < books; book++) {
      const code = values[book * frames + frame];
      for (let bit = 0; bit < bits; bit++, place++) packed[place >> 3] |= ((code >> bit) & 1) << (place & 7);
    }
  }
  return new Blob([head, metadata, packed], {type: 'application/octet-stream'});
}

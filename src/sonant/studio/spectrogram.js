'use strict';
/* A spectrogram as an image: Hann windows, time to the right, 0 Hz at the bottom, 80 dB of range. */

const WINDOW = 1024;
const RANGE_DB = 80;
const COLOURS = [[0, 0, 4], [81, 18, 124], [183, 55, 121], [252, 137, 97], [252, 253, 191]];

/* In place, of a power of two of complex numbers. */
function fft(re, im) {
  const n = re.length;
  for (let i = 1, j = 0; i < n; i++) {
    let bit = n >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) {
      [re[i], re[j]] = [re[j], re[i]];
      [im[i], im[j]] = [im[j], im[i]];
    }
  }
  for (let size = 2; size <= n; size *= 2) {
    const half = size / 2;
    for (let k = 0; k < half; k++) {
      const c = Math.cos((-2 * Math.PI * k) / size);
      const s = Math.sin((-2 * Math.PI * k) / size);
      for (let i = k; i < n; i += size) {
        const j = i + half;
        const x = c * re[j] - s * im[j];
        const y = c * im[j] + s * re[j];
        re[j] = re[i] - x;
        im[j] = im[i] - y;
        re[i] += x;
        im[i] += y;
      }
    }
  }
}

function colour(level) {
  const place = Math.max(0, Math.min(0.9999, level)) * (COLOURS.length - 1);
  const below = Math.floor(place);
  return COLOURS[below].map((value, i) => value + (place - below) * (COLOURS[below + 1][i] - value));
}

/* Up to `highest` Hz; a full-scale sine is the brightest. */
function spectrogram(buffer, width, height, highest) {
  const samples = buffer.getChannelData(0);
  const image = new ImageData(width, height);
  const hann = Float64Array.from({length: WINDOW}, (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / WINDOW));
  const bins = (highest / buffer.sampleRate) * WINDOW;
  const re = new Float64Array(WINDOW);
  const im = new Float64Array(WINDOW);
  for (let x = 0; x < width; x++) {
    const start = Math.round(((x + 0.5) / width) * samples.length - WINDOW / 2);
    for (let i = 0; i < WINDOW; i++) re[i] = hann[i] * (samples[start + i] ?? 0);
    im.fill(0);
    fft(re, im);
    for (let y = 0; y < height; y++) {
      const bin = Math.min(WINDOW / 2, Math.round(((height - 1 - y) / height) * bins));
      const db = 20 * Math.log10(Math.hypot(re[bin], im[bin]) / (WINDOW / 4) + 1e-9);
      image.data.set([...colour(1 + db / RANGE_DB), 255], 4 * (y * width + x));
    }
  }
  return createImageBitmap(image);
}

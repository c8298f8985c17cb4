// A spectrogram of the part of a take that is visible, one short-time Fourier transform per column of pixels.

const WINDOW = 512; // samples, 21 ms
const FLOOR_DB = -75; // below the loudest bin; darker than this is black
const TOP_HZ = 8000; // speech has little above
const HANN = Float32Array.from({ length: WINDOW }, (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / WINDOW));
// From quiet to loud; lightness rises all the way, so that it also reads without colour.
const COLOURS = [[0, 0, 4], [59, 15, 112], [140, 41, 129], [222, 73, 104], [254, 159, 109], [252, 253, 191]];

/** The discrete Fourier transform in place: radix 2, decimation in time (Cooley and Tukey 1965). */
function fft(re, im) {
  const n = re.length;
  for (let i = 1, j = 0; i < n; i++) {
    let bit = n >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) [re[i], re[j], im[i], im[j]] = [re[j], re[i], im[j], im[i]];
  }
  for (let size = 2; size <= n; size *= 2) {
    const half = size / 2;
    for (let k = 0; k < half; k++) {
      const angle = (-2 * Math.PI * k) / size;
      const [c, s] = [Math.cos(angle), Math.sin(angle)];
      for (let i = k; i < n; i += size) {
        const j = i + half;
        const [x, y] = [re[j] * c - im[j] * s, re[j] * s + im[j] * c];
        [re[j], im[j]] = [re[i] - x, im[i] - y];
        [re[i], im[i]] = [re[i] + x, im[i] + y];
      }
    }
  }
}

function colour(share) {
  const at = Math.max(0, Math.min(1, share)) * (COLOURS.length - 1);
  const low = Math.min(COLOURS.length - 2, Math.floor(at));
  return COLOURS[low].map((value, i) => value + (at - low) * (COLOURS[low + 1][i] - value));
}

const PALETTE = Uint8ClampedArray.from({ length: 256 * 4 }, (_, i) => (i % 4 === 3 ? 255 : colour((i >> 2) / 255)[i % 4]));

/** A canvas of this size with the spectrogram of samples `from` to `to` (floats) of a take. */
function spectrogram(samples, from, to, width, height) {
  const columns = [];
  let loudest = 1e-6;
  for (let x = 0; x < width; x++) {
    const first = Math.round(from + ((x + 0.5) / width) * (to - from)) - WINDOW / 2;
    if (first > samples.length) break;
    const re = Float32Array.from(HANN, (gain, i) => gain * (samples[first + i] ?? 0));
    const im = new Float32Array(WINDOW);
    fft(re, im);
    const power = Float32Array.from({ length: WINDOW / 2 }, (_, i) => re[i] * re[i] + im[i] * im[i]);
    for (const value of power) loudest = Math.max(loudest, value);
    columns.push(power);
  }
  const canvas = element("canvas", { width, height });
  const image = new ImageData(width, height);
  for (let y = 0; y < height; y++) {
    const bin = Math.min(WINDOW / 2 - 1, Math.round(((1 - (y + 0.5) / height) * TOP_HZ * WINDOW) / RATE));
    columns.forEach((power, x) => {
      const db = 10 * Math.log10(power[bin] / loudest + 1e-12);
      const shade = Math.max(0, Math.round(255 * (1 - db / FLOOR_DB))) * 4;
      image.data.set(PALETTE.subarray(shade, shade + 4), (y * width + x) * 4);
    });
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

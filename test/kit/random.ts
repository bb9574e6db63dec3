// Chance that can be had again: the seed is the bug report.

/** Numbers from 0 to below 1, the same ones for the same seed: a linear congruential generator, good enough to choose by. */
export function rng(seed: number): () => number {
  let state = seed >>> 0;
  const next = () => { state = (Math.imul(state, 1664525) + 1013904223) >>> 0; return state / 2 ** 32; };
  for (let n = 0; n < 8; n++) next(); // neighbouring seeds begin alike
  return next;
}

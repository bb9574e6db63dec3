// An OCI spec as the text that crun reads. Pure.

/** RLIM_INFINITY is no number of JavaScript's: it would be written as one too large for 64 bits, which crun refuses. */
export function stringifySpec(spec: Readonly<Record<string, unknown>>): string {
  // A quote inside a string is escaped, so only a real key can match.
  return JSON.stringify(spec).replaceAll(/"(hard|soft)":18446744073709552000/g, '"$1":18446744073709551615');
}

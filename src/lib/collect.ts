// V8's collector, asked when we know of garbage that it does not see: what lies outside of its heap, and what comes up while it marks.

/** V8's collector, where the executable was started with --expose-gc; otherwise nothing. */
export function collector(): (options: { type: string; execution: string; flavor?: string }) => void {
  const collect: unknown = Reflect.get(globalThis, 'gc');
  return typeof collect === 'function' ? (options) => { Reflect.apply(collect, undefined, [options]); } : () => {};
}

/** To be told of bytes that were handled: collects the young each time that so many have passed, which takes under a millisecond. */
export function collectAsBytesPass(everyBytes: number): (bytes: number) => void {
  const collect = collector();
  let passed = 0;
  return (bytes) => {
    passed += bytes;
    if (passed < everyBytes) return;
    passed = 0;
    collect({ type: 'minor', execution: 'sync' });
  };
}

// Ports in one cell: neighbours that belong together as a range, published ones with where they lead.

export interface Port { IP?: string; PrivatePort: number; PublicPort?: number; Type: string }

interface Run { first: number; last: number; published: boolean }

/** `443-445/tcp, 0.0.0.0:8080->80/tcp`: ranges of exposed and of equally published ports, then single bindings. */
export function displayPorts(ports: readonly Port[]): string {
  const ranges: string[] = [];
  const bindings: string[] = [];
  const runs = new Map<string, Run>();
  const close = (key: string, run: Run) => ranges.push(rangeText(key, run));
  for (const port of ports.toSorted(inOrder)) {
    const at = port.PrivatePort;
    let key = port.Type;
    if (port.IP !== undefined && port.IP !== '') {
      if (port.PublicPort !== at) {
        bindings.push(`${port.IP}:${port.PublicPort ?? 0}->${at}/${port.Type}`);
        continue;
      }
      key = `${port.IP}/${port.Type}`;
    }
    const run = runs.get(key);
    if (run && at === run.last + 1) {
      run.last = at;
      continue;
    }
    if (run) close(key, run);
    runs.set(key, { first: at, last: at, published: key !== port.Type });
  }
  for (const [key, run] of runs) close(key, run);
  return [...ranges, ...bindings].join(', ');
}

function rangeText(key: string, run: Run): string {
  const slash = key.lastIndexOf('/');
  const span = run.first === run.last ? `${run.first}` : `${run.first}-${run.last}`;
  return run.published ? `${key.slice(0, slash)}:${span}->${span}/${key.slice(slash + 1)}` : `${span}/${key}`;
}

function inOrder(a: Port, b: Port): number {
  return a.PrivatePort - b.PrivatePort || order(a.IP ?? '', b.IP ?? '') || (a.PublicPort ?? 0) - (b.PublicPort ?? 0) || order(a.Type, b.Type);
}

const order = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

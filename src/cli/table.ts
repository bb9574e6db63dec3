// Columns that line up, by the rules of the tables Docker prints, and texts cut to fit them.

/** Gap after the longest cell, and the least width of a column with its gap. */
const PADDING = 3;

/** Aligns cells that end in tabs. A column is as wide as its longest cell among the lines that follow each other and have it. */
export function alignTabs(text: string, minWidth = 10): string {
  const lines = text.split('\n').map((line) => line.split('\t'));
  const widths = lines.map((cells) => cells.map(() => 0));
  measure({ lines, widths, minWidth }, { from: 0, to: lines.length, column: 0 });
  return lines.map((cells, row) => cells.map((cell, column) => {
    const width = widths[row]?.[column] ?? 0;
    return column === cells.length - 1 ? cell : cell + ' '.repeat(Math.max(0, width - characters(cell)));
  }).join('')).join('\n');
}

/** At most `length` characters, the last of which then is `…`. */
export function ellipsis(text: string, length: number): string {
  const runes = Array.from(text);
  return runes.length <= length ? text : `${runes.slice(0, length - 1).join('')}…`;
}

/** Twelve digits of an ID, without its algorithm. */
export const shortId = (id: string): string => id.replace(/^[^:]*:/, '').slice(0, 12);

interface Grid { lines: readonly string[][]; widths: number[][]; minWidth: number }

function measure(grid: Grid, part: { from: number; to: number; column: number }): void {
  const has = (row: number) => (grid.lines[row]?.length ?? 0) - 1 > part.column;
  for (let row = part.from; row < part.to; row++) {
    if (!has(row)) continue;
    const from = row;
    let width = grid.minWidth;
    for (; row < part.to && has(row); row++) width = Math.max(width, characters(grid.lines[row]?.[part.column] ?? '') + PADDING);
    for (let at = from; at < row; at++) {
      const widths = grid.widths[at];
      if (widths) widths[part.column] = width;
    }
    measure(grid, { from, to: row, column: part.column + 1 });
  }
}

const characters = (text: string): number => Array.from(text).length;

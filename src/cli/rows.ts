// Lists as people ask for them: a table, a template per row, or IDs alone.
import { EngineError } from '../lib/errors.ts';
import { Failure, EXIT_TEMPLATE } from './failure.ts';
import { alignTabs } from './table.ts';
import { ROW } from '../wire/template-functions.ts';
import { compileTemplate } from '../wire/template.ts';

export type Row = Readonly<Record<string, unknown>>;

export interface RowsOptions {
  format: string;
  /** The heading of each field of a row. */
  headers: Readonly<Record<string, string>>;
  rows: readonly Row[];
  /** The Go type named by messages about unknown fields. */
  typeName: string;
  /** How a failure of the template is introduced, where it is not the usual way. */
  complaint?: string;
}

/** The text of a list. `table {{.A}}\t{{.B}}` aligns and adds headings; anything else is printed per row. */
export function renderRows(options: RowsOptions): string {
  const isTable = options.format.startsWith('table');
  const source = unescape(isTable ? options.format.slice('table'.length).trim() : options.format.replace(/^[ \t]+|[ \t]+$/g, ''));
  const template = source === 'json' ? '{{json .}}' : source;
  return templateFailures(options.complaint, () => {
    const row = compileTemplate(template, { typeName: options.typeName });
    const lines = options.rows.map((one) => `${row({ ...one, [ROW]: true })}\n`).join('');
    if (!isTable) return lines;
    const head = compileTemplate(template, { headers: true, typeName: options.typeName });
    return alignTabs(`${head({ ...options.headers, Label: (name: unknown) => String(name) })}\n${lines}`);
  });
}

/** The text of one object, as inspect, version and info print it with --format. */
export function renderObject(format: string, data: unknown, typeName: string): string {
  const source = unescape(format);
  let run: (data: unknown) => string;
  try {
    run = compileTemplate(source === 'json' ? '{{json .}}' : source, { typeName });
  } catch (error) {
    if (error instanceof EngineError) throw new Failure(`Template parsing error: ${error.message}`, EXIT_TEMPLATE);
    throw error;
  }
  try {
    return run(data);
  } catch (error) {
    if (error instanceof EngineError) throw new Failure(error.message);
    throw error;
  }
}

function templateFailures(complaint: string | undefined, body: () => string): string {
  try {
    return body();
  } catch (error) {
    if (!(error instanceof EngineError)) throw error;
    const parsing = !error.message.includes('executing');
    throw new Failure(`${complaint === undefined ? 'template parsing error' : parsing ? complaint.replace('execute', 'parse') : complaint}: ${error.message}`);
  }
}

/** In a shell's quotes a tab is typed as backslash and t. */
const unescape = (format: string): string => format.replaceAll('\\t', '\t').replaceAll('\\n', '\n');

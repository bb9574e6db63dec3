// Lists within one word of the command line: comma-separated, with quotes around what holds a comma.

/** Fields of one line of CSV: a field in quotes may hold commas, and doubled quotes. */
export function splitFields(text: string): string[] {
  const fields: string[] = [];
  for (const [, quoted, plain] of text.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g)) fields.push(quoted?.replaceAll('""', '"') ?? plain ?? '');
  return fields;
}

/** The values of a flag that is repeated or takes several at once. */
export const commaList = (values: readonly string[]): string[] => values.flatMap((value) => (value === '' ? [] : splitFields(value)));

/** `key=value` words as an object; a word alone has the empty value. */
export function pairs(list: readonly string[]): Record<string, string> {
  return Object.fromEntries(list.map((text) => {
    const equals = text.indexOf('=');
    return equals < 0 ? [text, ''] : [text.slice(0, equals), text.slice(equals + 1)];
  }));
}

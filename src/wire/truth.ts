// Truth values as Docker's programs read them.

const TRUE: readonly string[] = ['1', 't', 'T', 'TRUE', 'true', 'True'];
const FALSE: readonly string[] = ['0', 'f', 'F', 'FALSE', 'false', 'False'];

/** undefined for any other word. Source: Go's strconv.ParseBool. */
export const parseTruth = (text: string): boolean | undefined => (TRUE.includes(text) ? true : FALSE.includes(text) ? false : undefined);

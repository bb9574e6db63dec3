// Carries out a template (see template-parse.ts) on JSON values: what --format prints.
import { EngineError, unreachable } from '../lib/errors.ts';
import { parseTemplate, type Node, type Operand, type Pipe } from './template-parse.ts';
import { callFunction, showValue, isTrue } from './template-functions.ts';

/** A value of a template: JSON, and for rows of tables functions that act as methods. */
export type Value = unknown;
export interface TemplateOptions {
  /** The Go type of the top value as in messages (`*formatter.ContainerContext`); without it, values are plain maps. */
  typeName?: string;
  /** Headers of a table: text functions leave them as they are. */
  headers?: boolean;
  /** Fields whose values are maps with names that people chose: what they lack is `<no value>` there, and no mistake. */
  openMaps?: ReadonlySet<string>;
}

/** A template made ready once and carried out per row. */
export function compileTemplate(source: string, options: TemplateOptions = {}): (data: Value) => string {
  const nodes = parseTemplate(source);
  return (data) => {
    const run: Run = { out: [], scopes: [new Map([['$', data]])], top: data, options };
    runNodes(run, nodes, data);
    return run.out.join('');
  };
}

interface Run { out: string[]; scopes: Map<string, Value>[]; top: Value; options: TemplateOptions }

function runNodes(run: Run, nodes: readonly Node[], dot: Value): void {
  for (const node of nodes) {
    switch (node.kind) {
      case 'text': run.out.push(node.text); break;
      case 'print': {
        const value = evaluate(run, node.pipe, dot);
        if (node.pipe.declare.length === 0) run.out.push(showValue(value));
        break;
      }
      case 'if': case 'with': scoped(run, () => {
        const value = evaluate(run, node.pipe, dot);
        if (isTrue(value)) runNodes(run, node.body, node.kind === 'with' ? value : dot);
        else runNodes(run, node.otherwise, dot);
      }); break;
      case 'range': scoped(run, () => runRange(run, node, dot)); break;
      default: unreachable(node);
    }
  }
}

function runRange(run: Run, node: Extract<Node, { kind: 'range' }>, dot: Value): void {
  const entries = entriesOf(evaluate(run, { ...node.pipe, declare: [] }, dot));
  if (entries.length === 0) return runNodes(run, node.otherwise, dot);
  for (const [key, value] of entries) {
    const [first, second] = node.pipe.declare;
    scoped(run, () => {
      if (first !== undefined) declare(run, first, second === undefined ? value : key);
      if (second !== undefined) declare(run, second, value);
      runNodes(run, node.body, value);
    });
  }
}

/** Maps are walked in the order of their keys, as Go does. */
function entriesOf(value: Value): Array<[Value, Value]> {
  if (Array.isArray(value)) return value.map((one: Value, index): [Value, Value] => [index, one]);
  if (value === null || value === undefined) return [];
  if (typeof value === 'number') return Array.from({ length: value }, (_, index): [Value, Value] => [index, index]);
  if (typeof value === 'object') return Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1));
  throw new EngineError('invalid', `range can't iterate over ${showValue(value)}`);
}

function scoped(run: Run, body: () => void): void {
  run.scopes.push(new Map());
  body();
  run.scopes.pop();
}

const declare = (run: Run, name: string, value: Value) => run.scopes.at(-1)?.set(name, value);

function evaluate(run: Run, pipe: Pipe, dot: Value): Value {
  let value: Value;
  for (const [index, command] of pipe.commands.entries()) value = runCommand(run, command, { dot, piped: index === 0 ? [] : [value] });
  for (const name of pipe.declare) {
    const owner = pipe.assign ? run.scopes.findLast((scope) => scope.has(name)) : undefined;
    (owner ?? run.scopes.at(-1))?.set(name, value);
  }
  return value;
}

function runCommand(run: Run, command: readonly Operand[], input: { dot: Value; piped: Value[] }): Value {
  const [first, ...rest] = command;
  if (!first) return undefined;
  const args = () => [...rest.map((operand) => operandValue(run, operand, { dot: input.dot, args: [] })), ...input.piped];
  if (first.kind === 'call') {
    // The second argument of `and`/`or` is not looked at when the first decides.
    if (first.name === 'and' || first.name === 'or') return shortCircuit(run, first.name, { rest, ...input });
    return located(run, first.at, command.map(operandText).join(' '), () => callFunction(first.name, args(), { headers: run.options.headers === true }));
  }
  return operandValue(run, first, { dot: input.dot, args: args() });
}

function shortCircuit(run: Run, name: string, input: { rest: readonly Operand[]; dot: Value; piped: Value[] }): Value {
  let value: Value;
  const thunks = [...input.rest.map((operand) => () => operandValue(run, operand, { dot: input.dot, args: [] })), ...input.piped.map((piped) => () => piped)];
  for (const thunk of thunks) {
    value = thunk();
    if (isTrue(value) === (name === 'or')) return value;
  }
  return value;
}

function operandValue(run: Run, operand: Operand, input: { dot: Value; args: Value[] }): Value {
  switch (operand.kind) {
    case 'constant': return operand.value;
    case 'dot': return input.dot;
    case 'call': return callFunction(operand.name, [], { headers: run.options.headers === true });
    case 'field': return fields(run, input.dot, { ...operand, args: input.args });
    case 'variable': {
      const scope = run.scopes.findLast((one) => one.has(operand.name));
      if (!scope) throw new EngineError('invalid', `template: :1: undefined variable ${JSON.stringify(operand.name)}`);
      return fields(run, scope.get(operand.name), { ...operand, args: input.args });
    }
    case 'pipe': return fields(run, evaluate(run, operand.pipe, input.dot), { ...operand, args: input.args });
    default: return unreachable(operand);
  }
}

function fields(run: Run, start: Value, chain: { names: readonly string[]; at: number; text: string; args: Value[] }): Value {
  let value = start;
  for (const [index, name] of chain.names.entries()) {
    const last = index === chain.names.length - 1;
    const open = last && run.options.openMaps?.has(chain.names[index - 1] ?? '') === true;
    value = open && lacks(value, name) ? undefined : field(run, value, { name, at: chain.at, text: chain.text, args: last ? chain.args : [] });
  }
  return value;
}

const lacks = (map: Value, name: string): boolean => typeof map === 'object' && map !== null && !Array.isArray(map) && !Object.hasOwn(map, name);

/** As messages quote it. */
function operandText(operand: Operand): string {
  switch (operand.kind) {
    case 'constant': return operand.value === null ? 'nil' : JSON.stringify(operand.value);
    case 'dot': return '.';
    case 'call': return operand.name;
    default: return operand.text;
  }
}

function field(run: Run, owner: Value, want: { name: string; at: number; text: string; args: Value[] }): Value {
  if (typeof owner === 'object' && owner !== null && !Array.isArray(owner) && Object.hasOwn(owner, want.name)) {
    const value = (owner as Record<string, Value>)[want.name];
    return typeof value === 'function' ? (value as (...args: Value[]) => Value)(...want.args) : value;
  }
  return located(run, want.at + Math.max(0, want.text.lastIndexOf(`.${want.name}`)), want.text, () => {
    if (run.options.typeName !== undefined && owner === run.top) {
      throw new EngineError('invalid', `can't evaluate field ${want.name} in type ${run.options.typeName}`);
    }
    if (owner === null || owner === undefined) throw new EngineError('invalid', `nil pointer evaluating interface {}.${want.name}`);
    if (typeof owner !== 'object' || Array.isArray(owner)) throw new EngineError('invalid', `can't evaluate field ${want.name} in type interface {}`);
    throw new EngineError('invalid', `map has no entry for key ${JSON.stringify(want.name)}`);
  });
}

function located<T>(_run: Run, at: number, text: string, body: () => T): T {
  try {
    return body();
  } catch (error) {
    if (error instanceof EngineError && !error.message.startsWith('template:')) {
      throw new EngineError('invalid', `template: :1:${at}: executing "" at <${text}>: ${error.message}`);
    }
    throw error;
  }
}

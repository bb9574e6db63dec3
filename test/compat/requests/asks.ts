// Requests one after another: lists with every filter, and verbs with every bad parameter, unknown name and wrong state.
import { differs, GO_WORDS, type AskRow, type Differs } from './rows.ts';

const LOWER = differs.words('lower case since Docker 22');
const GO = differs.words("the words of Go's own parser help nobody");
const BAD_REQUEST = differs.status('it is the request that is wrong, not the engine');

/** Containers, in the order of their creation: run (running, a port exposed), cre (created), exi (exited with 3), pau (paused, on the network of the host). */
const filters = (filter: unknown, differ?: Differs): AskRow => ({ ask: `GET /containers/json?all=1&filters=${encodeURIComponent(JSON.stringify(filter))}`, ...(differ ? { differs: differ } : {}) });
const unlimited = (filter: unknown, query = ''): AskRow => ({ ask: `GET /containers/json?${query}filters=${encodeURIComponent(JSON.stringify(filter))}` });

export const LIST_ROWS: readonly AskRow[] = [
  ...['', '?all=1', '?all=true&limit=2', '?limit=1', '?limit=-1', '?last=2', '?n=2', '?before=exi', '?since=exi', '?all=bogus', '?filters=null', '?filters={}'].map((query) => ({ ask: `GET /containers/json${query}` })),
  { ask: 'GET /containers/json?limit=x', differs: BAD_REQUEST },
  ...['bad', '[]', '"x"', '{"a":1}', '{"status":"running"}', '{"status":{"running":1}}'].map((text) => ({ ask: `GET /containers/json?filters=${encodeURIComponent(text)}`, differs: BAD_REQUEST })),
  unlimited({ status: { running: true } }), unlimited({ status: { running: false } }), unlimited({ status: ['created'] }), unlimited({ exited: ['3'] }), unlimited({ name: ['cre'] }), unlimited({ before: ['exi'] }),
  unlimited({ name: ['cre'] }, 'limit=1&'), unlimited({ status: ['exited'] }, 'limit=1&'),
  filters({ nosuch: ['x'] }, LOWER), filters({ 'label!': ['a'] }, LOWER), filters({ status: ['bogus'] }, LOWER), filters({ 'is-task': ['x'] }, LOWER), filters({ exited: ['x'] }, BAD_REQUEST), filters({ exited: [''] }, BAD_REQUEST),
  ...[
    { status: ['running'] }, { status: ['running', 'exited'] }, { status: ['paused'] }, { status: ['created'] }, { status: ['dead'] }, { status: ['removing'] }, { status: ['restarting'] }, { status: [] }, { exited: ['3'] }, { exited: ['0'] }, { exited: ['0', '3'] },
    { health: ['none'] }, { health: ['healthy'] }, { health: ['bogus'] }, { health: ['starting', 'none'] }, { id: ['zz'] }, { 'is-task': ['true'] }, { 'is-task': ['false'] }, { isolation: ['x'] }, { label: ['a'] }, { label: ['a=b'] }, { label: ['a', 'c'] },
    { label: ['a=b', 'c'] }, { label: ['c='] }, { label: [''] }, { name: ['ru'] }, { name: ['^/run$'] }, { name: ['^run$'] }, { name: ['/'] }, { name: ['['] }, { name: ['r.n'] }, { name: ['run', 'cre'] }, { name: [''] }, { network: ['none'] }, { network: ['host'] },
    { network: ['nosuch'] }, { network: ['non'] }, { publish: ['80'] }, { publish: ['80-90/udp'] }, { expose: ['80'] }, { expose: ['80/tcp'] }, { expose: ['70-90'] }, { volume: ['/x'] }, { volume: ['nosuch'] }, { before: ['exi'] }, { since: ['exi'] },
    { before: ['/exi'] }, { ancestor: ['IMAGE'] }, { ancestor: ['FULLIMAGE'] }, { ancestor: ['nosuch'] }, { ancestor: ['BAD!'] }, { ancestor: ['nosuch', 'IMAGE'] }, { ancestor: ['IMAGEID'] },
    { status: ['exited'], name: ['exi'] }, { status: ['exited'], name: ['run'] },
  ].map((filter) => filters(filter)),
  ...[{ publish: ['x'] }, { expose: ['x'] }, { expose: ['99999'] }, { expose: [''] }, { expose: ['90-80'] }].map((filter) => filters(filter, BAD_REQUEST)),
  filters({ before: ['nosuch'] }, differs.status('404 for what is not there')), filters({ since: ['nosuch'] }, differs.status('404 for what is not there')),
];

const imagesPrune = (filter: unknown, differ?: Differs): AskRow => ({ ask: `POST /images/prune?filters=${encodeURIComponent(JSON.stringify(filter))}`, ...(differ ? { differs: differ } : {}) });

/** Names, removals and prunes of images, of which one runs. */
export const IMAGE_ROWS: readonly AskRow[] = [
  ...['repo=tagged:1&tag=2', 'repo=sha256'].map((query) => ({ ask: `POST /images/IMAGE/tag?${query}` })), { ask: 'POST /images/IMAGE/tag?repo=x&tag=!!', differs: BAD_REQUEST }, { ask: 'POST /images/nosuch/tag?repo=x' },
  { ask: 'GET /images/tagged:2/history' }, { ask: `GET /images/json?filters=${encodeURIComponent('{"reference":["["]}')}`, differs: BAD_REQUEST }, { ask: `GET /images/json?filters=${encodeURIComponent('{"reference":["tagg[a-z]d"],"dangling":["true"]}')}` },
  imagesPrune({ until: ['x'] }, BAD_REQUEST), imagesPrune({ until: ['1h', '2h'] }, BAD_REQUEST), imagesPrune({ nosuch: ['x'] }, LOWER), imagesPrune({ dangling: ['false'], until: ['2019-01-01'] }), imagesPrune({ dangling: ['false'], 'label!': ['from'], until: ['2019-01-01'] }),
  { ask: 'DELETE /images/IMAGEID' }, { ask: 'DELETE /images/IMAGEID?force=1' }, { ask: 'DELETE /images/%20' }, { ask: 'DELETE /images/tagged:2' }, { ask: 'DELETE /images/tagged:2?noprune=1' },
  { ask: 'POST /images/create?fromImage=scratch' }, { ask: 'POST /images/create?fromImage=x&tag=!!' }, { ask: 'GET /distribution/IMAGEID/json', differs: BAD_REQUEST },
];

const JSON_TYPE = { 'Content-Type': 'application/json' };
const create = (body: string, differ: Differs, headers: Readonly<Record<string, string>> = JSON_TYPE): AskRow => ({ ask: 'POST /containers/create', body, headers, differs: differ });
const post = (path: string, differ?: Differs, body?: unknown): AskRow => ({ ask: `POST /containers/${path}`, ...(body === undefined ? {} : { body }), ...(differ ? { differs: differ } : {}) });
const WORDS = differs.words('as Docker says it since 24');
const PLAIN = differs.words('as JSON, as all other errors');

export const VERB_ROWS: readonly AskRow[] = [
  create('', differs.status(GO_WORDS)), create('{', differs.status(GO_WORDS)), create('garbage', differs.status(GO_WORDS)), create('[]', differs.status(GO_WORDS)), create('"x"', differs.status(GO_WORDS)),
  create('{}', WORDS), create('null', WORDS), create('{"foo":1}', WORDS), create('{"HostConfig":{}}', WORDS), create('{}{}', differs.words('one body is one value')), create('{"Image":"nosuch"} x', differs.status('one body is one value')),
  create('{"Image":"nosuch"}', WORDS, {}), create('{"Image":"nosuch"}', WORDS, { 'Content-Type': 'text/plain' }), create('{"Image":"nosuch"}', WORDS, { 'Content-Type': 'application/json;;;' }),
  { ask: 'POST /containers/create', body: '{"Image":"nosuch"}', headers: { 'Content-Type': 'application/json; charset=utf-8' } }, { ask: 'POST /containers/create', body: '{"image":"nosuch","hostconfig":{"memory":1}}', headers: JSON_TYPE },
  ...['start', 'stop', 'restart', 'kill', 'pause', 'unpause', 'rename?name=x', 'resize?h=1&w=1', 'wait'].map((verb) => post(`nosuch/${verb}`)), post('nosuch/exec', undefined, { Cmd: ['x'] }), post('nosuch/attach?stream=1&stdout=1', PLAIN),
  ...['json', 'top', 'logs?stdout=1', 'logs'].map((what) => ({ ask: `GET /containers/nosuch/${what}` })), ...['', '?force=1', '?link=1'].map((query) => ({ ask: `DELETE /containers/nosuch${query}` })),
  ...['cre', 'exi'].flatMap((name) => [...['kill', 'pause', 'unpause', 'resize?h=1&w=1', 'stop'].map((verb) => post(`${name}/${verb}`)), post(`${name}/exec`, undefined, { Cmd: ['x'] }), { ask: `GET /containers/${name}/top` }]),
  ...['start', 'pause', 'kill?signal=BAD'].map((verb) => post(`pau/${verb}`)), post('pau/exec', undefined, { Cmd: ['x'] }), { ask: 'DELETE /containers/pau' }, ...['99', '-1'].map((signal) => post(`pau/kill?signal=${signal}`, BAD_REQUEST)),
  ...['start', 'unpause', 'kill?signal=BAD', 'kill?signal=0', 'kill?signal=CONT', 'kill?signal=SIGCONT', 'kill?signal=sigcont', 'kill?signal=18', 'rename', 'rename?name=', 'rename?name=run', 'rename?name=cre', 'rename?name=_bad', 'rename?name=/cre', 'rename?name=x'].map((verb) => post(`run/${verb}`)),
  ...['resize', 'resize?h=1', 'resize?h=a&w=1', 'resize?h=1&w=b'].map((verb) => post(`run/${verb}`, GO)), post('run/resize?h=0&w=0'),
  ...['resize?h=-1&w=1', 'resize?h=70000&w=1'].map((verb) => post(`run/${verb}`, differs.refusedHere('a terminal has 1 to 65535 rows and columns'))), ...['stop?t=x', 'restart?t=x'].map((verb) => post(`run/${verb}`, BAD_REQUEST)),
  { ask: 'GET /containers/run/logs' }, { ask: 'GET /containers/run/logs?stdout=0&stderr=false' }, { ask: 'GET /containers/run/logs?stdout=1&tail=x' }, { ask: 'GET /containers/run/logs?stdout=1&tail=-1' }, { ask: 'GET /containers/run/logs?stdout=1&since=1.5' },
  ...['since=x', 'until=x'].map((time) => ({ ask: `GET /containers/run/logs?stdout=1&${time}`, differs: BAD_REQUEST })), { ask: 'GET /containers/run/logs?stdout=1&since=10m', differs: differs.takenHere('a duration means the same in all places') },
  post('run/start', undefined, { Memory: 1 }), post('run/start', undefined, {}), post('run/attach?detachKeys=bad', PLAIN), post('run/exec', undefined, {}), post('run/exec', undefined, { Cmd: [] }), post('run/exec', BAD_REQUEST, { Cmd: ['true'], DetachKeys: 'bad' }),
  post('run/exec', GO, { Cmd: 5 }), { ask: 'POST /exec/nosuch/start', body: {} }, { ask: 'GET /exec/nosuch/json' }, { ask: 'POST /exec/nosuch/resize?h=1&w=1' },
  { ask: 'DELETE /containers/run' }, { ask: 'DELETE /containers/run?v=x' }, { ask: 'DELETE /containers/run?link=1' },
  { ask: 'POST /containers/prune?filters=bad', differs: GO }, { ask: `POST /containers/prune?filters=${encodeURIComponent('{"nosuch":["x"]}')}`, differs: LOWER },
  ...['{"until":["x"]}', '{"until":["1h","2h"]}'].map((text) => ({ ask: `POST /containers/prune?filters=${encodeURIComponent(text)}`, differs: BAD_REQUEST })),
  ...['{"until":["1h"]}', '{"label":["zz"]}', '{"label!":["nosuch"],"until":["100h"]}', '{"label":["a=x"]}', '{"label!":["keep"]}'].map((text) => ({ ask: `POST /containers/prune?filters=${encodeURIComponent(text)}` })),
  { ask: 'GET /containers' }, { ask: 'POST /containers' }, { ask: 'PUT /containers/create' }, { ask: 'GET /containers/json/' },
];

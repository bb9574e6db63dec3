// Options of log drivers: what is refused when, what they mean, and what is told of a container with its lines.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { extraAttributes, tagOf } from './attributes.ts';
import type { LogSubject } from './index.ts';
import { cacheLimits, jsonFileLimits, localLimits, validateLogConfig, withLogDefaults } from './options.ts';

test('a creation is refused for what Docker refuses there, and for nothing else', () => {
  const cases: Array<[string, Record<string, string>, string | undefined]> = [
    ['json-file', { 'max-size': 'x', 'max-file': '0', compress: 'maybe', tag: '{{', labels: 'a', env: 'b', 'labels-regex': '(', 'env-regex': '(' }, undefined],
    ['json-file', { nosuch: '' }, "unknown log opt 'nosuch' for json-file log driver"], ['local', { tag: 'x' }, "unknown log opt 'tag' for log driver local"],
    ['journald', { 'max-size': '1m' }, "unknown log opt 'max-size' for journald log driver"], ['none', { anything: 'goes' }, undefined],
    ['fluentd', {}, 'error looking up logging plugin fluentd: plugin "fluentd" not found'], ['constructor', {}, 'error looking up logging plugin constructor: plugin "constructor" not found'],
    ['json-file', { mode: 'non-blocking', 'max-buffer-size': '4m', 'cache-disabled': 'true' }, undefined], ['json-file', { mode: 'x' }, 'logger: logging mode not supported: x'],
    ['json-file', { 'max-buffer-size': '4m' }, "logger: max-buffer-size option is only supported with 'mode=non-blocking'"],
    ['json-file', { mode: 'non-blocking', 'max-buffer-size': 'x' }, "error parsing option max-buffer-size: invalid size: 'x'"],
    ['syslog', { 'cache-disabled': 'x' }, 'invalid value for option cache-disabled: x'],
    ['syslog', { 'syslog-address': 'udp://', 'syslog-facility': 'local7', 'syslog-format': 'rfc5424micro' }, undefined],
    ['syslog', { 'syslog-address': 'foo://x' }, 'syslog-address should be in form proto://address, got foo://x'], ['syslog', { 'syslog-address': 'unix:///nosuch' }, 'stat /nosuch: no such file or directory'],
    ['syslog', { 'syslog-facility': '24' }, 'invalid syslog facility'], ['syslog', { 'syslog-facility': '' }, undefined], ['syslog', { 'syslog-format': 'x' }, 'Invalid syslog format'],
  ];
  for (const [driver, options, message] of cases) {
    const refused = () => validateLogConfig({ driver, options });
    if (message === undefined) refused();
    else assert.throws(refused, { kind: 'invalid', message });
  }
});

test('the daemon’s options are for containers that use its driver', () => {
  const defaults = { driver: 'local', options: { 'max-size': '1m', compress: 'false' } };
  assert.deepEqual(withLogDefaults({ driver: '', options: {} }, defaults), defaults);
  assert.deepEqual(withLogDefaults({ driver: 'local', options: { 'max-size': '2m' } }, defaults), { driver: 'local', options: { 'max-size': '2m', compress: 'false' } });
  assert.deepEqual(withLogDefaults({ driver: 'none', options: {} }, defaults), { driver: 'none', options: {} });
});

test('limits are read as each driver reads them, and refused at the start', () => {
  assert.equal(jsonFileLimits({ 'max-file': '3' }), undefined);
  assert.deepEqual(jsonFileLimits({ 'max-size': '10k', 'max-file': '3', compress: 'true' }), { maxBytes: 10_000, maxFiles: 3, compress: true });
  assert.deepEqual(localLimits({}), { maxBytes: 20 << 20, maxFiles: 5, compress: true });
  assert.deepEqual(localLimits({ 'max-size': '10k', 'max-file': '1', compress: 'false' }), { maxBytes: 10_240, maxFiles: 1, compress: false });
  assert.deepEqual(cacheLimits({ 'cache-max-size': 'x', 'cache-max-file': '1' }), { maxBytes: 20 << 20, maxFiles: 1, compress: false });
  assert.equal(cacheLimits({ 'cache-disabled': 'true' }), undefined);
  const wrong: Array<[() => unknown, string]> = [
    [() => jsonFileLimits({ 'max-size': '-1' }), "invalid size: '-1'"], [() => jsonFileLimits({ 'max-size': '0' }), 'max-size must be a positive number'],
    [() => jsonFileLimits({ 'max-file': 'x' }), 'strconv.Atoi: parsing "x": invalid syntax'], [() => jsonFileLimits({ 'max-file': '0' }), 'max-file cannot be less than 1'],
    [() => jsonFileLimits({ 'max-size': '1k', compress: 'true' }), 'compress cannot be true when max-file is less than 2 or max-size is not set'], [() => jsonFileLimits({ compress: '' }), 'strconv.ParseBool: parsing "": invalid syntax'],
    [() => localLimits({ 'max-size': 'x' }), "invalid value for max-size: x: invalid size: 'x'"], [() => localLimits({ 'max-file': 'x' }), 'invalid value for max-file: x: strconv.Atoi: parsing "x": invalid syntax'],
    [() => localLimits({ 'max-file': '-1' }), 'max file count cannot be less than 0'], [() => localLimits({ 'max-file': '0' }), 'compression cannot be enabled when max file count is 1'],
    [() => localLimits({ compress: 'x' }), 'error reading compress log option: strconv.ParseBool: parsing "x": invalid syntax'],
  ];
  for (const [read, message] of wrong) assert.throws(read, { kind: 'system', message });
});

const subject = (options: Record<string, string>): LogSubject => ({
  id: 'ab'.repeat(32), name: 'web', driver: 'json-file', options, image: { id: `sha256:${'12'.repeat(32)}`, name: 'busybox:1' }, argv: ['echo', 'hi'],
  env: ['PATH=/bin', 'E1=x=y', 'E2='], labels: { role: 'one', 'a.b': 'two' }, folder: '/c',
});

test('labels and variables are chosen by name or by expression, a variable before a label', () => {
  assert.deepEqual(extraAttributes(subject({ labels: 'role,nosuch', env: 'E1' })), { role: 'one', E1: 'x=y' });
  assert.deepEqual(extraAttributes(subject({ 'labels-regex': '^a', 'env-regex': '^E' })), { 'a.b': 'two', E1: 'x=y', E2: '' });
  assert.deepEqual(extraAttributes(subject({ labels: 'role', env: 'E1' }), () => 'SAME'), { SAME: 'x=y' });
  assert.throws(() => extraAttributes(subject({ 'env-regex': '(' })), { message: 'error parsing regexp: missing closing ): `(`' });
});

test('a tag is a template on the container', () => {
  const tag = (template: string) => tagOf(subject({ tag: template, env: 'E1' }), '{{.ID}}', 'host');
  assert.equal(tag(''), 'abababababab');
  assert.equal(tag('{{.Name}}|{{.FullID}}|{{.ImageName}}|{{.ImageID}}|{{.DaemonName}}|{{.Command}}|{{.Hostname}}'), `web|${'ab'.repeat(32)}|busybox:1|sha256:12121|docker|echo hi|host`);
  assert.equal(tag('{{(.ExtraAttributes nil).E1}} {{upper .Name}} {{json .Name}}'), 'x=y WEB "web"');
  assert.throws(() => tag('{{.ID'), { message: 'template: log-tag:1: unclosed action' });
  assert.throws(() => tag('{{.Nope}}'), { message: 'template: log-tag:1:2: executing "log-tag" at <.Nope>: can\'t evaluate field Nope in type *logger.Info' });
});

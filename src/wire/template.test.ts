import assert from 'node:assert/strict';
import test from 'node:test';
import { compileTemplate } from './template.ts';

const data = { Name: '/web', Pid: 7, Big: 268435456, Env: ['A=1', 'B=2'], Labels: { b: '2', a: '1' }, Empty: [], None: null, Ports: { '80/tcp': [{ HostPort: '8080' }] }, State: { Running: true } };

test('templates print what Go prints', () => {
  const cases: Array<[string, string]> = [
    ['plain', 'plain'],
    ['{{.Name}} {{.Big}} {{.Env}} {{.Labels}} {{.None}}', '/web 268435456 [A=1 B=2] map[a:1 b:2] <nil>'],
    ['{{json .Labels}} {{json .Env}} {{json "<"}}', '{"a":"1","b":"2"} ["A=1","B=2"] "<"'],
    ['{{range .Env}}[{{.}}]{{else}}none{{end}}{{range .Empty}}x{{else}}none{{end}}', '[A=1][B=2]none'],
    ['{{range $i, $e := .Env}}{{if $i}},{{end}}{{$e}}{{end}}', 'A=1,B=2'],
    ['{{range $k, $v := .Labels}}{{$k}}={{$v}};{{end}}', 'a=1;b=2;'],
    ['{{with .State}}{{.Running}}{{$.Pid}}{{end}}', 'true7'],
    ['{{if eq .Name "/web" "x"}}yes{{else if .Pid}}no{{end}} {{if .Empty}}x{{else}}empty{{end}}', 'yes empty'],
    ['{{ (index (index .Ports "80/tcp") 0).HostPort }} {{index .Labels "zz"}}|{{len .Env}}', '8080 |2'],
    ['{{.Name | upper | printf "%s!"}} {{printf "%-5s|%05d|%q|%v" "a" 42 "b" .Env}}', '/WEB! a    |00042|"b"|[A=1 B=2]'],
    ['{{join .Env "+"}} {{lower "AB"}} {{title "ab cd"}} {{split "a,b" ","}} {{pad "x" 1 2}}| {{truncate "abcdef" 3}}', 'A=1+B=2 ab Ab Cd [a b]  x  | abc'],
    ['a {{- " b " -}} c{{/* no */}}{{println "x" 1}}', 'a b cx 1\n'],
    ['{{and .Pid .Name}} {{or .None "d"}} {{not .Pid}} {{gt .Pid 3}} {{$x := 5}}{{$x}} {{slice .Name 1 3}} {{`raw\\n`}}', '/web d false true 5 we raw\\n'],
  ];
  for (const [source, wanted] of cases) assert.equal(compileTemplate(source)(data), wanted, source);
});

test('mistakes in templates are refused in the words of Go', () => {
  const cases: Array<[string, string]> = [
    ['{{.Name', 'template: :1: unclosed action'],
    ['{{nofunc .Name}}', 'template: :1: function "nofunc" not defined'],
    ['{{range .Env}}x', 'template: :1: unexpected EOF'],
    ['{{.Foo}}', 'template: :1:2: executing "" at <.Foo>: map has no entry for key "Foo"'],
    ['{{.State.Health.Status}}', 'template: :1:8: executing "" at <.State.Health.Status>: map has no entry for key "Health"'],
    ['{{}}', 'template: :1: missing value for command'],
  ];
  for (const [source, message] of cases) assert.throws(() => compileTemplate(source)(data), { message }, source);
});

test('any text is a template or a refusal', () => {
  const pieces = ['{{', '}}', '.Name', ' ', '"', '(', ')', '|', 'if', 'end', 'range', '$x', ':=', 'else', 'len', '-', '/*', '*/', '`', '5'];
  let state = Number(process.env['FUZZ_SEED'] ?? 1);
  const next = () => (state = (state * 48271) % 2147483647);
  for (let run = 0; run < 3000; run++) {
    const seed = state;
    const source = Array.from({ length: next() % 12 }, () => pieces[next() % pieces.length]).join('');
    try {
      compileTemplate(source)(data);
    } catch (error) {
      if ((error as { kind?: string }).kind !== 'invalid') throw new Error(`FUZZ_SEED=${seed}: ${source}`, { cause: error });
    }
  }
});

// What containers of a network are called and who may ask, and what their own files say of it. Every subnet is the story's own, so that addresses can be compared.
import type { Story } from '../scene.ts';

/** Answers to questions "type name" in one go, addresses sorted: their order is chance. */
const asked = (from: string, ...questions: readonly string[]): string =>
  `exec ${from} sh -c "for q in ${questions.map((question) => question.replace(' ', '=')).join(' ')}; do echo $q; nslookup -type=\${q%%=*} \${q#*=} 127.0.0.11 2>&1 | grep -E '^Address: |name = |has AAAA' | grep -v :53 | sort; done"`;

export const namesStories: readonly Story[] = [
  { name: 'names-asked', once: true, tell: async (scene) => {
    await scene.do('network create --subnet 10.213.1.0/24 @n');
    await scene.do('network create --subnet 10.213.2.0/24 --ipv6 --subnet fd00:213::/64 @m');
    await scene.do('run -d --name @a --hostname host.sub.example --network @n --network-alias Alias --network-alias all IMAGE sleep 1000');
    await scene.do('run -d --name @B --network @n --network-alias all --dns-option ndots:2 IMAGE sleep 1000');
    const nameless = (await scene.do('run -d --network @n IMAGE sleep 1000')).trim();
    await scene.do('run -d --name @linked --network @n --link @a:to-a --link @later:to-later --link alias:to-alias IMAGE sleep 1000');
    await scene.do('network connect --alias six --ip6 fd00:213::66 @m @a');
    await scene.do('network connect @m @B');
    try {
      await scene.say(asked('@B', 'a @a', 'a @A', 'a @a.@n', 'a @a.@m', 'a @b', 'a ALIAS', 'a all', 'a all.@n', 'a host.sub.example', 'a six', 'aaaa six', 'aaaa alias', 'aaaa @a', 'a @linked', 'a nodots', 'ptr 2.1.213.10.in-addr.arpa', 'ptr 3.1.213.10.in-addr.arpa'));
      await scene.say(asked('@linked', 'a to-a', 'a to-a.@n', 'aaaa to-a', 'a to-alias'));
      await scene.do('run -d --name @later --network @n IMAGE sleep 1000');
      await scene.say(asked('@linked', 'a to-later'));
      const name = (await scene.do(`inspect -f "{{.Name}}" ${nameless}`)).trim().slice(1);
      const unnamed = async (what: string, word: string) => { scene.note(what, (await scene.do(asked('@B', `a ${word}`, 'ptr 4.1.213.10.in-addr.arpa'))).replaceAll(nameless.slice(0, 12), '<id>').replaceAll(name, '<invented>')); };
      await unnamed('one that nobody named, by its ID', nameless.slice(0, 12));
      await unnamed('one that nobody named, by the name that was invented', name);
      await scene.do(`rename ${name} @named`);
      await unnamed('by the name that it was given', scene.name('named'));
      await scene.sayAll(
        'exec @a cat /etc/hosts', 'exec @B cat /etc/resolv.conf', 'network disconnect @m @B', asked('@B', 'a @a', 'a @a.@n'),
        'run --rm --network host --add-host extra:127.0.0.9 IMAGE cat /etc/hosts', 'run --rm --hostname one.two --domainname three.four --network @n --ip 10.213.1.99 IMAGE cat /etc/hosts', 'run --rm --network @n --dns-search . --dns 127.0.0.7 --dns-option rotate IMAGE cat /etc/resolv.conf',
      );
    } finally { await scene.do(`rm -f @a @B @linked @later ${nameless}`); }
    await scene.sayAll('network rm @n @m');
  } },
];

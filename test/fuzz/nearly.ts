import fc from 'fast-check';

/** Text that takes longer than this to make sense of would take too long in any header, reference or name. */
const MAX_LENGTH = 64 * 1024;

interface Edit {
  /** Where in the text, as a share of its length. */
  readonly at: number;
  /** How many characters go. */
  readonly removed: number;
  readonly inserted: string;
  readonly times: number;
}

/**
 * Texts that are almost valid: samples with parts left out, put in, or repeated up to thousands of times, and now and then any text at all.
 *
 * @param tokens  what the grammar is made of; they and pieces of the samples are put in.
 */
export function nearly(samples: readonly string[], tokens: readonly string[] = []): fc.Arbitrary<string> {
  const edited = fc
    .tuple(fc.constantFrom(...samples), fc.array(editOf([...samples, ...tokens]), { maxLength: 6 }))
    .map(([sample, edits]) => edits.reduce(apply, sample));
  return fc.oneof({ weight: 15, arbitrary: edited }, { weight: 1, arbitrary: fc.string({ unit: 'binary' }) });
}

/** The same for bytes: a character a byte. */
export function nearlyBytes(samples: readonly Buffer[], tokens: readonly string[] = []): fc.Arbitrary<Buffer> {
  const texts = samples.map((sample) => sample.toString('latin1'));
  return nearly(texts, tokens).map((text) => Buffer.from(text, 'latin1'));
}

/**
 * JSON documents that are almost valid: samples whose values were replaced, removed, renamed or repeated; some of them are no JSON any more.
 */
export function nearlyJson(samples: readonly object[]): fc.Arbitrary<string> {
  const changes = fc.array(jsonChange, { maxLength: 5 });
  const changed = fc
    .tuple(fc.constantFrom(...samples), changes)
    .map(([sample, list]) => JSON.stringify(list.reduce(change, structuredClone(sample) as unknown)));
  const spoilt = fc
    .tuple(changed, fc.array(editOf(JSON_TOKENS), { maxLength: 3 }))
    .map(([text, edits]) => edits.reduce(apply, text));
  return fc.oneof(
    { weight: 6, arbitrary: changed },
    { weight: 2, arbitrary: spoilt },
    { weight: 1, arbitrary: fc.json() },
  );
}

const JSON_TOKENS = [
  '{',
  '}',
  '[',
  ']',
  '[[',
  '{"a":',
  '"',
  '\\',
  '\\ud800',
  ',',
  ':',
  'null',
  '1e999',
  '-',
  '\0',
  '\ufeff',
];

/** Numbers, names and texts that surprise a reader of JSON. */
const surprise: fc.Arbitrary<unknown> = fc.oneof(
  fc.constantFrom<unknown>(null, true, '', 0, -1, 0.5, 2 ** 53, 1e308, [], {}, [null], [[]], 'x'.repeat(5000)),
  fc.constantFrom<unknown>('\u001b[2J', '\u202e', '\ud800', '../../x', 'sha256:', '__proto__', { constructor: 1 }),
  fc.integer(),
  fc.string({ unit: 'binary' }),
  fc.jsonValue({ maxDepth: 3 }),
);

interface JsonChange {
  /** The way from the document's top: at each step, a field by its share of all. */
  readonly way: readonly number[];
  readonly kind: 'replace' | 'remove' | 'repeat' | 'rename';
  readonly value: unknown;
  readonly name: string;
  readonly times: number;
}

const jsonChange: fc.Arbitrary<JsonChange> = fc.record({
  way: fc.array(share(), { minLength: 1, maxLength: 5 }),
  kind: fc.constantFrom('replace', 'replace', 'remove', 'repeat', 'rename'),
  value: surprise,
  name: fc.oneof(fc.constantFrom('__proto__', 'constructor', 'Layers', 'layerſ', 'mediatype', ''), fc.string()),
  times: fc.constantFrom(2, 3, 50),
});

function change(document: unknown, { way, kind, value, name, times }: JsonChange): unknown {
  let holder = document;
  for (const [depth, step] of way.entries()) {
    if (typeof holder !== 'object' || holder === null) return document;
    const keys = Object.keys(holder);
    const key = keys[Math.floor(step * keys.length)];
    if (key === undefined) return document;
    const fields = holder as Record<string, unknown>;
    const below = fields[key];
    const isLast = depth === way.length - 1 || typeof below !== 'object' || below === null;
    if (!isLast) holder = below;
    else {
      if (kind === 'replace') fields[key] = structuredClone(value);
      else if (kind === 'repeat' && Array.isArray(holder)) holder.push(...Array.from({ length: times }, () => below));
      else {
        delete fields[key];
        if (kind === 'rename' && !Array.isArray(holder))
          Object.defineProperty(fields, name, { value: below, enumerable: true, configurable: true, writable: true });
      }
      return document;
    }
  }
  return document;
}

function editOf(tokens: readonly string[]): fc.Arbitrary<Edit> {
  const piece = fc
    .tuple(fc.constantFrom(...tokens), share(), share())
    .map(([token, from, length]) => token.slice(from * token.length).slice(0, 1 + length * token.length));
  const inserted = fc.oneof(
    fc.constant(''),
    fc.constantFrom(...tokens),
    piece,
    fc.string({ unit: 'binary', maxLength: 4 }),
  );
  return fc.record({
    at: share(),
    removed: fc.oneof(fc.constant(0), fc.nat(4), fc.nat(1000)),
    inserted,
    times: fc.oneof(
      { weight: 12, arbitrary: fc.constant(1) },
      { weight: 1, arbitrary: fc.constantFrom(2, 100, 30_000) },
    ),
  });
}

function apply(text: string, { at, removed, inserted, times }: Edit): string {
  const position = Math.floor(at * (text.length + 1));
  const repeated = inserted.repeat(Math.min(times, Math.ceil(MAX_LENGTH / Math.max(1, inserted.length))));
  return `${text.slice(0, position)}${repeated}${text.slice(position + removed)}`.slice(0, MAX_LENGTH);
}

/** From 0 to, and without, 1. */
function share(): fc.Arbitrary<number> {
  return fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
}

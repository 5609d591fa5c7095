import { quote } from '../errors/printable.ts';
import { InvalidManifestError } from './manifest.ts';

/** A JSON object, and where in the document it stands (`layers[2]`), for messages. */
export interface JsonNode {
  readonly fields: Readonly<Record<string, unknown>>;
  /** Empty for the document itself. */
  readonly path: string;
}

/**
 * Reads a JSON object.
 *
 * @param path  where the bytes were found, if they are a part of a document.
 * @throws InvalidManifestError unless the bytes are one JSON object.
 */
export function parseJsonObject(bytes: Buffer, path = ''): JsonNode {
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch (error) {
    throw new InvalidManifestError(`${path || 'it'} is not JSON`, { cause: error });
  }
  return asNode(value, path);
}

/** Whether a field is there. Null counts as absent, here and below: Go writes empty lists and maps so. */
export function isPresent(node: JsonNode, name: string): boolean {
  return node.fields[name] !== undefined && node.fields[name] !== null;
}

/** A string, or undefined where the field is absent. */
export function optionalString(node: JsonNode, name: string): string | undefined {
  if (!isPresent(node, name)) return undefined;
  const value = node.fields[name];
  return typeof value === 'string' ? value : refuse(node, name, 'a string', value);
}

/** A string that must be there. */
export function requiredString(node: JsonNode, name: string): string {
  return optionalString(node, name) ?? refuse(node, name, 'a string', undefined);
}

/** A count of bytes that must be there: a whole number that JavaScript holds exactly. */
export function requiredSize(node: JsonNode, name: string): number {
  const value = node.fields[name];
  const isSize = typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
  return isSize ? value : refuse(node, name, 'a whole number of bytes', value);
}

/** A list of strings, or undefined where the field is absent. */
export function optionalStrings(node: JsonNode, name: string): readonly string[] | undefined {
  if (!isPresent(node, name)) return undefined;
  const value = node.fields[name];
  const isStrings = Array.isArray(value) && value.every((item) => typeof item === 'string');
  return isStrings ? value : refuse(node, name, 'a list of strings', value);
}

/** An object of strings, or undefined where the field is absent. A value that is null counts as absent. */
export function optionalStringMap(node: JsonNode, name: string): Readonly<Record<string, string>> | undefined {
  const map = optionalNode(node, name);
  if (map === undefined) return undefined;
  const entries = Object.keys(map.fields).map((key) => [key, optionalString(map, key)] as const);
  return withoutUndefined(Object.fromEntries(entries)) as Readonly<Record<string, string>>;
}

/** An object, or undefined where the field is absent. */
export function optionalNode(node: JsonNode, name: string): JsonNode | undefined {
  return isPresent(node, name) ? asNode(node.fields[name], pathOf(node, name)) : undefined;
}

/** The objects of a list; none where the field is absent. */
export function nodeList(node: JsonNode, name: string): readonly JsonNode[] {
  if (!isPresent(node, name)) return [];
  const value = node.fields[name];
  if (!Array.isArray(value)) return refuse(node, name, 'a list', value);
  return value.map((item, index) => asNode(item, `${pathOf(node, name)}[${index}]`));
}

/** Throws the InvalidManifestError that says which field should be what. */
export function refuse(node: JsonNode, name: string, expected: string, found: unknown): never {
  throw new InvalidManifestError(`${pathOf(node, name)} should be ${expected}, found ${quoteValue(found)}`);
}

/** The same object without the properties that are undefined. */
export function withoutUndefined<T extends object>(object: T): T {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as T;
}

function asNode(value: unknown, path: string): JsonNode {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return { fields: value as Record<string, unknown>, path };
  }
  throw new InvalidManifestError(`${path || 'it'} should be an object, found ${quoteValue(value)}`);
}

function pathOf(node: JsonNode, name: string): string {
  return node.path === '' ? name : `${node.path}.${name}`;
}

function quoteValue(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object' && value !== null) return 'an object';
  return typeof value === 'string' ? quote(value) : JSON.stringify(value);
}

// Writes all recorded answers as TypeScript literals, in the types of Google's SDK, and runs the
// compiler: a literal may have no member that its type does not have.
//
//   node known.mjs ANSWERS.jsonl

import { readFileSync, writeFileSync } from 'node:fs';
import ts from 'typescript';

// Members that the real service sends although the SDK's types lack them: the name, and its place.
const UNDECLARED = [
  ['object', 'Interaction'], // on the wire of every interaction, always "interaction"
  ['signature', 'function_call'], // needed when steps are sent back
  ['title', 'result'], // results given by a scenario
  ['url', 'result'],
  ['snippet', 'result'],
  ['text', 'result'], // the content of a page
  ['result', 'file_search_result'], // seen on the wire of the real service, with excerpts
  ['file_search_store', 'result'],
  ['document_uri', 'result'],
  ['custom_metadata', 'result'],
  ['promptTokenDetails', 'usageMetadata'], // of embeddings: recorded from the real service
  ['serviceTier', 'usageMetadata'], // recorded from the real service
  ['supportedGenerationMethods', 'Model'], // the SDK calls it supportedActions, and renames it
  ['promptTokensDetails', 'CountTokensResponse'], // documented, and dropped by the SDK
  ['totalBillableCharacters', 'CountTokensResponse'], // of Vertex AI: recorded, and dropped by the SDK
];

// Reasons to stop that google-genai knows for Python, and @google/genai does not.
const REASONS = new Set(['MODEL_ARMOR', 'MISSING_THOUGHT_SIGNATURE']);

function typeOf({ kind, path, status, body }) {
  if (kind === 'event') return typeof body.event_type === 'string' && 'Interactions.InteractionSSEEvent';
  if (status !== 200) return null; // the SDK has no type for these
  if (path.includes('/openai/')) return null; // of another SDK, see tests/clients
  if (kind === 'piece') return 'candidates' in body && 'GenerateContentResponse';
  if (/\/interactions(\/|$)/.test(path)) return 'object' in body && 'Interactions.Interaction';
  if (path.endsWith(':generateContent')) return 'GenerateContentResponse';
  if (path.endsWith(':countTokens')) return 'CountTokensResponse';
  if (path.endsWith(':computeTokens')) return 'ComputeTokensResponse';
  if (path.endsWith(':batchEmbedContents')) return 'EmbedContentResponse';
  // The SDK converts these before it types them.
  if (/:(embedContent|predict)$/.test(path) || path.includes('/publishers/')) return null;
  if (/\/models\/[^/:]+$/.test(path)) return 'models' in body ? null : 'Model';
  if (/\/models$/.test(path)) return 'ListModelsResponse';
  if (/\/cachedContents(\/|$)/.test(path)) {
    if ('name' in body) return 'CachedContent';
    return 'cachedContents' in body && 'ListCachedContentsResponse';
  }
  if (/^\/upload\//.test(path)) return 'file' in body && '{ file: File }';
  if (/^\/v1[a-z]*\/files$/.test(path)) return 'ListFilesResponse';
  if (/^\/v1[a-z]*\/files\/[^:]+$/.test(path)) return 'name' in body && 'File';
  return null;
}

// Steps and contents of other servers are passed on unchanged, and not checked.
const KNOWN = new Set([
  ...['user_input', 'model_output', 'thought', 'code_execution_call', 'code_execution_result', 'function_call'],
  ...['function_result', 'google_search_call', 'google_search_result', 'text', 'image', 'audio', 'video', 'document'],
  ...['url_context_call', 'url_context_result', 'google_maps_call', 'google_maps_result', 'file_search_call'],
  ...['file_search_result', 'mcp_server_tool_call', 'mcp_server_tool_result'],
]);

function without(value, place) {
  if (Array.isArray(value)) {
    const ours = place !== 'steps' && place !== 'content';
    return value.filter((item) => ours || KNOWN.has(item.type)).map((item) => without(item, place));
  }
  if (value === null || typeof value !== 'object') return value;
  const here = [place, value.type];
  const members = Object.entries(value).filter(
    ([name, inside]) =>
      !(name === 'finishReason' && REASONS.has(inside)) &&
      !UNDECLARED.some(([member, where]) => member === name && here.includes(where)),
  );
  // A function's arguments and result are the client's data.
  const free = new Set(['arguments', 'args', 'result', 'annotations']);
  return Object.fromEntries(
    members
      .filter(([name]) => !(free.has(name) && String(value.type ?? '').startsWith('function') || name === 'args'))
      .map(([name, inside]) => [name, without(inside, name === 'models' ? 'Model' : name)]),
  );
}

const lines = readFileSync(process.argv[2], 'utf8').split('\n').filter(Boolean).map((line) => JSON.parse(line));
const counts = {};
let program = `import type { CachedContent, ComputeTokensResponse, CountTokensResponse, EmbedContentResponse, File,
  GenerateContentResponse, Interactions, ListCachedContentsResponse, ListFilesResponse, ListModelsResponse, Model } from '@google/genai';
// Members that are present must be known; missing ones are not checked.
type Loose<T> =
  T extends string ? (string extends T ? string : \`\${T}\`) :
  T extends (...given: any[]) => any ? never :
  T extends (infer Item)[] ? Loose<Item>[] :
  T extends object ? { [Name in keyof T]?: Loose<T[Name]> } :
  T;
`;
const sources = [];
for (const answer of lines) {
  const type = typeOf(answer);
  if (!type) continue;
  counts[type] = (counts[type] ?? 0) + 1;
  const root = type.replace(/^Interactions\./, '');
  const body = without(answer.body, root);
  if (root === 'InteractionSSEEvent' && body.interaction) body.interaction = answer.body.interaction;
  sources.push(answer);
  program += `export const answer${sources.length}: Loose<${type}> = ${JSON.stringify(body)};\n`;
}
writeFileSync('answers.ts', program);

const compiled = ts.createProgram(['answers.ts'], {
  noEmit: true,
  strict: true,
  skipLibCheck: true,
  target: ts.ScriptTarget.ES2022,
  module: ts.ModuleKind.NodeNext,
  moduleResolution: ts.ModuleResolutionKind.NodeNext,
  types: [],
});
const found = ts.getPreEmitDiagnostics(compiled);
for (const mistake of found.slice(0, 20)) {
  const line = mistake.file?.getLineAndCharacterOfPosition(mistake.start).line;
  const text = line === undefined ? '' : mistake.file.text.split('\n')[line].slice(0, 600);
  console.error(`${ts.flattenDiagnosticMessageText(mistake.messageText, '\n')}\n  ${text}\n`);
}
console.log(`@google/genai ${ts.version ? JSON.parse(readFileSync('package.json')).dependencies['@google/genai'] : ''}:`, counts);
if (found.length) {
  console.error(`${found.length} of ${sources.length} answers have something that the SDK's types do not know`);
  process.exit(1);
}

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseTruth } from './truth.ts';

test('the words of Go for true and false, and no others', () => {
  for (const word of ['1', 't', 'T', 'TRUE', 'true', 'True']) assert.equal(parseTruth(word), true, word);
  for (const word of ['0', 'f', 'F', 'FALSE', 'false', 'False']) assert.equal(parseTruth(word), false, word);
  for (const word of ['', 'yes', 'tRue', '2', ' 1', 'true ']) assert.equal(parseTruth(word), undefined, word);
});

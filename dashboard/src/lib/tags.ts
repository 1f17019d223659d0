// tags.ts: `key=value key2="two words"` as an object. Null when it is not that.
export function parseTags(text: string): Record<string, string> | null {
  const tags: Record<string, string> = {};
  let rest = text.trim();
  while (rest) {
    const match = /^([^\s="]+)=(?:"((?:[^"\\]|\\.)*)"|(\S*))\s*/.exec(rest);
    if (!match) return null;
    tags[match[1]!] = match[2] !== undefined ? match[2].replace(/\\(.)/g, '$1') : match[3]!;
    rest = rest.slice(match[0].length);
  }
  return tags;
}

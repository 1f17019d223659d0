// vite.config.ts: builds the page into dist/, which the collector compiles into its binary.
//
// `HMS_COLLECTOR=http://127.0.0.1:9090 npm run dev` serves the page from Vite and passes the collector's paths on to it.
import { defineConfig, type Plugin } from 'vite';
import vue from '@vitejs/plugin-vue';

/// The page may load and reach nothing but the collector it came from. Only in the built page: Vite's own client needs more.
function contentSecurityPolicy(): Plugin {
  const policy =
    "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self' data:; connect-src 'self'; " +
    "base-uri 'none'; form-action 'none'";
  return {
    name: 'content-security-policy',
    apply: 'build',
    transformIndexHtml: () => [
      { tag: 'meta', attrs: { 'http-equiv': 'Content-Security-Policy', content: policy }, injectTo: 'head-prepend' },
    ],
  };
}

const collector = process.env.HMS_COLLECTOR ?? 'http://127.0.0.1:9090';
const collectorPaths = ['/ops', '/api', '/metrics', '/healthz', '/readyz'];

export default defineConfig({
  base: './',
  plugins: [vue(), contentSecurityPolicy()],
  server: { host: '127.0.0.1', proxy: Object.fromEntries(collectorPaths.map((path) => [path, collector])) },
  build: {
    target: 'es2022',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 400,
    reportCompressedSize: true,
  },
});

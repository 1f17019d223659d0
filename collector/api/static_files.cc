#include "collector/api/static_files.h"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "net/http/compress.h"
#include "net/http/reply_text.h"

namespace hms::collector {
namespace {

constexpr std::string_view kSecurityPolicy =
    "default-src 'self'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self' "
    "data:; connect-src 'self'; object-src 'none'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

constexpr std::string_view kNoDashboard =
    "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>HMS-OPS</title><h1>HMS-OPS "
    "collector</h1>"
    "<p>It runs, but this program was built without its dashboard. To have it: <code>./dev "
    "build</code> "
    "(or <code>npm ci &amp;&amp; npm run build</code> in <code>dashboard/</code>, then build the "
    "collector again).</p>"
    "<p>Meanwhile: <a href=\"/metrics\">/metrics</a>, <a "
    "href=\"/ops/ledger\">/ops/ledger</a>.</p></html>\n";

struct Page {
  std::string content_type, etag, cache_control;
  std::string plain, compressed;  // compressed: empty when not worth it
};

std::string_view content_type_of(std::string_view path) {
  static constexpr std::pair<std::string_view, std::string_view> kTypes[] = {
      {".html", "text/html; charset=utf-8"},
      {".js", "text/javascript; charset=utf-8"},
      {".css", "text/css; charset=utf-8"},
      {".svg", "image/svg+xml"},
      {".json", "application/json"},
      {".woff2", "font/woff2"},
      {".png", "image/png"},
      {".ico", "image/x-icon"},
      {".txt", "text/plain; charset=utf-8"},
      {".map", "application/json"},
      {".webmanifest", "application/manifest+json"}};
  for (const auto& [ending, type] : kTypes) {
    if (path.size() >= ending.size() && path.substr(path.size() - ending.size()) == ending)
      return type;
  }
  return "application/octet-stream";
}

/// FNV-1a: tells versions of a file apart; nobody gains from a collision with a file that is ours.
std::string etag_of(std::string_view bytes) {
  uint64_t hash = 0xcbf29ce484222325ULL;
  for (const char c : bytes) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3ULL;
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out = "\"";
  for (int shift = 60; shift >= 0; shift -= 4) out.push_back(kDigits[(hash >> shift) & 15]);
  return out + '"';
}

std::shared_ptr<const Page> make_page(std::string_view path, std::string_view bytes) {
  auto page = std::make_shared<Page>();
  page->content_type = content_type_of(path);
  page->etag = etag_of(bytes);
  page->cache_control =
      path.substr(0, 8) == "/assets/" ? "public, max-age=31536000, immutable" : "no-cache";
  page->plain = std::string(bytes);
  if (page->content_type.find("font/") != 0 && page->content_type != "image/png") {
    std::string compressed = net::gzip_encode(bytes, 9);
    if (compressed.size() < bytes.size()) page->compressed = std::move(compressed);
  }
  return page;
}

void answer(const Page& page, const net::Request& request, net::Reply& reply) {
  net::Headers headers{{"ETag", page.etag},
                       {"Cache-Control", page.cache_control},
                       {"Content-Security-Policy", std::string(kSecurityPolicy)},
                       {"X-Content-Type-Options", "nosniff"},
                       {"X-Frame-Options", "DENY"},
                       {"Referrer-Policy", "no-referrer"},
                       {"Cross-Origin-Opener-Policy", "same-origin"}};
  if (request.header("if-none-match").find(page.etag) != std::string_view::npos) {
    reply.send(304, page.content_type, "", std::move(headers));
    return;
  }
  if (!page.compressed.empty() && net::accepts_gzip(request.header("accept-encoding"))) {
    headers.emplace_back("Vary", "Accept-Encoding");
    headers.emplace_back("Content-Encoding", "gzip");
    reply.send(200, page.content_type, page.compressed, std::move(headers));
    return;
  }
  reply.send(200, page.content_type, page.plain, std::move(headers));
}

void serve(net::HttpServer& server, const std::string& path, std::shared_ptr<const Page> page) {
  server.route("GET", path,
               [page = std::move(page)](net::Request& request, const net::ReplyPtr& reply) {
                 answer(*page, request, *reply);
               });
}

}  // namespace

void register_static_files(net::HttpServer& server) {
  bool has_index = false;
  for (const EmbeddedFile* file = kEmbeddedFiles; file->path != nullptr; ++file) {
    const std::string_view path = file->path;
    const auto page = make_page(
        path, std::string_view(file->begin, static_cast<size_t>(file->end - file->begin)));
    serve(server, std::string(path), page);
    if (path != "/index.html") continue;
    serve(server, "/", page);
    has_index = true;
  }
  if (!has_index) serve(server, "/", make_page("/index.html", kNoDashboard));
}

}  // namespace hms::collector

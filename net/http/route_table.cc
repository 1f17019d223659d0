#include "net/http/route_table.h"

#include <algorithm>

#include "net/core/check.h"

namespace hms::net {
namespace {

constexpr size_t kMaxSegments = 64;

/// "/a/b" gives "a", "b"; "/" gives one empty segment.
std::vector<std::string_view> split_path(std::string_view path) {
  std::vector<std::string_view> segments;
  if (!path.empty() && path.front() == '/') path.remove_prefix(1);
  while (true) {
    const size_t slash = path.find('/');
    segments.push_back(path.substr(0, slash));
    if (slash == std::string_view::npos) return segments;
    path.remove_prefix(slash + 1);
  }
}

}  // namespace

std::vector<RouteTable::Segment> RouteTable::parse(std::string_view pattern) {
  HMS_ENSURE(!pattern.empty() && pattern.front() == '/');
  std::vector<Segment> segments;
  for (const std::string_view text : split_path(pattern)) {
    HMS_ENSURE(segments.empty() || segments.back().kind != SegmentKind::rest);
    if (text == "*") {
      segments.push_back({SegmentKind::rest, {}});
    } else if (text.size() > 2 && text.front() == '{' && text.back() == '}') {
      segments.push_back({SegmentKind::parameter, std::string(text.substr(1, text.size() - 2))});
    } else {
      segments.push_back({SegmentKind::literal, std::string(text)});
    }
  }
  return segments;
}

bool RouteTable::wins_over(const Route& a, const Route& b) {
  for (size_t i = 0; i < a.segments.size() && i < b.segments.size(); ++i) {
    if (a.segments[i].kind != b.segments[i].kind) return a.segments[i].kind < b.segments[i].kind;
  }
  return a.segments.size() > b.segments.size();
}

void RouteTable::add(std::string_view method, std::string_view pattern,
                     HttpServer::Handler handler) {
  auto same = std::find_if(routes_.begin(), routes_.end(),
                           [&](const Route& r) { return r.pattern == pattern; });
  if (same == routes_.end()) {
    Route route{std::string(pattern), parse(pattern), {}};
    const auto place = std::find_if(routes_.begin(), routes_.end(),
                                    [&](const Route& other) { return wins_over(route, other); });
    same = routes_.insert(place, std::move(route));
  }
  same->handlers.emplace_back(std::string(method),
                              std::make_shared<const HttpServer::Handler>(std::move(handler)));
}

bool RouteTable::matches(const Route& route, const std::vector<std::string>& segments,
                         std::vector<std::string>& parameters) {
  parameters.clear();
  for (size_t i = 0; i < route.segments.size(); ++i) {
    const Segment& wanted = route.segments[i];
    if (wanted.kind == SegmentKind::rest) {
      std::string rest;
      for (size_t k = i; k < segments.size(); ++k) {
        if (k > i) rest.push_back('/');
        rest += segments[k];
      }
      parameters.push_back(std::move(rest));
      return i < segments.size();
    }
    if (i >= segments.size()) return false;
    if (wanted.kind == SegmentKind::literal) {
      if (wanted.text != segments[i]) return false;
    } else {
      if (segments[i].empty()) return false;
      parameters.push_back(segments[i]);
    }
  }
  return route.segments.size() == segments.size();
}

void RouteTable::answer_all(HttpServer::Handler handler) {
  every_ = handler ? std::make_shared<const HttpServer::Handler>(std::move(handler)) : nullptr;
}

Result<RouteTable::Match> RouteTable::find(std::string_view method, std::string_view path) const {
  if (every_ != nullptr) return Match{every_, {}, {}};
  Match match;
  if (path.empty() || path.front() != '/') return match;
  const std::vector<std::string_view> raw = split_path(path);
  if (raw.size() > kMaxSegments) return match;
  std::vector<std::string> segments;
  segments.reserve(raw.size());
  for (const std::string_view segment : raw) {
    auto decoded = percent_decode(segment);
    if (!decoded) return std::move(decoded).error();
    segments.push_back(std::move(decoded).value());
  }
  const auto route = std::find_if(routes_.begin(), routes_.end(), [&](const Route& r) {
    return matches(r, segments, match.parameters);
  });
  if (route == routes_.end()) return Match();
  bool has_head = false;
  HandlerPtr get;
  for (const auto& [name, handler] : route->handlers) {
    if (name == method) match.handler = handler;
    if (name == "GET") get = handler;
    has_head = has_head || name == "HEAD";
    match.allow.append(match.allow.empty() ? "" : ", ").append(name);
  }
  if (get != nullptr && !has_head) match.allow.append(", HEAD");
  if (match.handler == nullptr && method == "HEAD") match.handler = get;
  return match;
}

}  // namespace hms::net

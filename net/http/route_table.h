// route_table.h: which handler answers a path. Patterns are compared segment by segment; literals
// win over {name}, those over "*".
//
// The best matching pattern decides alone: if it lacks the method the answer is 405, even where a
// wider pattern has it. Segments are decoded one by one, so an encoded slash stays inside its
// segment. Thread: the loop's. Limits: 16 parameters.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "net/core/result.h"
#include "net/http/server.h"

namespace hms::net {

class RouteTable {
 public:
  /// Shared: a handler may destroy its server, and with it this table, while it runs.
  using HandlerPtr = std::shared_ptr<const HttpServer::Handler>;
  struct Match {
    HandlerPtr handler;  // null: unknown path, or unknown method if `allow` is set
    std::string allow;   // "GET, HEAD, POST"
    std::vector<std::string> parameters;
  };

  void add(std::string_view method, std::string_view pattern, HttpServer::Handler handler);
  /// This handler answers every request; null: the routes do.
  void answer_all(HttpServer::Handler handler);
  /// `path` as sent. HEAD finds the handler of GET unless it has its own. Errors: bad_message for a
  /// broken escape.
  [[nodiscard]] Result<Match> find(std::string_view method, std::string_view path) const;

 private:
  enum class SegmentKind : uint8_t { literal, parameter, rest };
  struct Segment {
    SegmentKind kind;
    std::string text;
  };
  struct Route {
    std::string pattern;
    std::vector<Segment> segments;
    std::vector<std::pair<std::string, HandlerPtr>> handlers;  // by method
  };

  static std::vector<Segment> parse(std::string_view pattern);
  static bool wins_over(const Route& a, const Route& b);
  static bool matches(const Route& route, const std::vector<std::string>& segments,
                      std::vector<std::string>& parameters);

  HandlerPtr every_;
  std::deque<Route> routes_;  // most specific first
};

}  // namespace hms::net

// alerts_api.cc: envelopes around what the alerts room says.
#include "collector/api/alerts_api.h"

#include <nlohmann/json.hpp>

namespace hms::collector {
namespace {

void answer(const net::ReplyPtr& reply, nlohmann::json data) {
  const nlohmann::json body = {{"status", "success"}, {"data", std::move(data)}};
  reply->send(200, "application/json",
              body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

}  // namespace

void register_alerts_api(net::HttpServer& server, Alerts& alerts) {
  server.route("GET", "/api/v1/alerts", [&alerts](net::Request&, const net::ReplyPtr& reply) {
    answer(reply, alerts.alerts_json());
  });
  server.route(
      "GET", "/api/v1/rules", [&alerts](net::Request& request, const net::ReplyPtr& reply) {
        const std::string* type = request.query_value("type");
        if (type != nullptr && !type->empty() && *type != "alert" && *type != "record") {
          net::send_error(*reply, 400, "bad_data",
                          "type is \"" + type->substr(0, 60) + "\", expected alert or record");
          return;
        }
        answer(reply,
               alerts.rules_json(type == nullptr ? std::string_view() : std::string_view(*type)));
      });
}

}  // namespace hms::collector

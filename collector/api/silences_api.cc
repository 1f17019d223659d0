// silences_api.cc: JSON in, JSON out.
#include "collector/api/silences_api.h"

#include <nlohmann/json.hpp>

#include "collector/api/json_body.h"

namespace hms::collector {

void register_silences_api(net::HttpServer& server, Silences& silences) {
  server.route("GET", "/ops/silences", [&silences](net::Request&, const net::ReplyPtr& reply) {
    reply->send(200, "application/json", dump(silences.list()));
  });
  server.route("GET", "/ops/silences/{id}",
               [&silences](net::Request& request, const net::ReplyPtr& reply) {
                 auto found = silences.get(request.path_parameters[0]);
                 if (!found) return answer_error(*reply, found.error());
                 reply->send(200, "application/json", dump(*found));
               });
  server.route("POST", "/ops/silences",
               [&silences](net::Request& request, const net::ReplyPtr& reply) {
                 auto body = read_json_body(request);
                 if (!body) return answer_error(*reply, body.error());
                 silences.put(*body, [&silences, reply](net::Result<std::string> id) {
                   if (!id) return answer_error(*reply, id.error());
                   auto made = silences.get(*id);
                   if (!made) return answer_error(*reply, made.error());
                   (*made)["silenceID"] = *id;
                   reply->send(200, "application/json", dump(*made));
                 });
               });
  server.route("DELETE", "/ops/silences/{id}",
               [&silences](net::Request& request, const net::ReplyPtr& reply) {
                 const std::string id = request.path_parameters[0];
                 silences.expire(id, [&silences, reply, id](net::Result<void> ended) {
                   if (!ended) return answer_error(*reply, ended.error());
                   auto shown = silences.get(id);
                   reply->send(200, "application/json", shown ? dump(*shown) : "{}");
                 });
               });
}

}  // namespace hms::collector
